"""Parsers of images and masks: pictures, DICOM, MATLAB, TFRecords, contours."""

import io
import tempfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gdcm
import h5py
import numpy as np
import pydicom
import scipy.io
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless
from trust_parser import Parser

from competition.formats import pictures as readers
from competition.formats.contours import fill_contour, read_contour
from competition.formats.dicom import read_dicom_grey, read_patient_id, read_spacing_mm
from competition.formats.matlab import read_matlab
from competition.formats.tfrecords import build_example, parse_example, read_record, read_records, write_records
from competition.inference.images import read_any
from competition.tracks.aneurysm.track import read_image
from competition.tracks.cardiac.records import find_records, list_records, read_record_image, read_record_label
from competition.tracks.hand_bone.track import HAND_BONE

_RANDOM = np.random.default_rng(0)
_GREY = _RANDOM.integers(0, 256, (24, 20), dtype=np.uint8)
_WIDE = _RANDOM.integers(0, 4096, (23, 31)).astype(np.uint16)
_COLOUR = np.stack([_GREY] * 3, axis=2)


def picture_parsers() -> list[Parser]:
    """Makes the valid files, and returns what reads them."""
    return [*_pictures(), *_dicom(), *_matlab(), *_records(), *_contours()]


def _saved(kind: str, array: NDArray[Any] = _GREY, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def _made(write: Callable[[Path], object], name: str = "valid") -> bytes:
    """The bytes that a function writes to a path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()


def _pictures() -> list[Parser]:
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds = {
        "png": (_saved("PNG"), _saved("PNG", _WIDE), _saved("PNG", _COLOUR), _saved("PNG", exif=turned)),
        "jpg": (_saved("JPEG"), _saved("JPEG", _COLOUR, exif=turned)),
        "tif": (
            _saved("TIFF"),
            _saved("TIFF", compression="tiff_lzw"),
            _saved("TIFF", _GREY.astype(np.float32)),
            _saved("TIFF", _GREY > 99, compression="group4"),
            _saved("TIFF", _COLOUR, compression="jpeg"),
        ),
        "bmp": (_saved("BMP"),),
        "gif": (_saved("GIF"),),
        "webp": (_saved("WEBP", _COLOUR),),
        "ppm": (_saved("PPM"),),
    }
    grey = [Parser(f"read_grey ({kind})", f"a.{kind}", valid, readers.read_grey) for kind, valid in kinds.items()]
    others = (readers.read_rgb, readers.read_values, readers.read_ordered_values)
    return [
        *grey,
        *(Parser(read.__name__, "a.png", kinds["png"], read) for read in others),
        Parser("read_colours", "a.png", (kinds["png"][0], kinds["png"][2]), readers.read_colours),
        Parser("aneurysm.read_image", "0001LI-A.jpg", kinds["jpg"], read_image),
        Parser("read_any (png)", "a.png", kinds["png"], partial(read_any, HAND_BONE)),
        Parser("read_any (npy)", "a.npy", tuple(map(_npy, (_GREY, _WIDE))), partial(read_any, HAND_BONE)),
    ]


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _dicom() -> list[Parser]:
    def plain(path: Path) -> None:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3.4"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *_WIDE.shape, 1
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelSpacing, dataset.RescaleSlope, dataset.RescaleIntercept = [0.5, 0.5], "2", "-4"
        dataset.PixelPaddingValue, dataset.PatientID = 0, "x"
        dataset.PixelData = _WIDE.tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.save_as(path, enforce_file_format=True)

    def deflated(path: Path) -> None:
        plain(path)
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        dataset.save_as(path, enforce_file_format=True)

    def run_length(path: Path) -> None:
        plain(path)
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)

    def lossless(path: Path) -> None:
        plain(path)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()

    def deflate_again(path: Path) -> NDArray[np.uint8]:
        """Reads a deflated file whose content was damaged before: what does not inflate is refused at once."""
        inner = path.read_bytes()
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        path.with_name("again.dcm").write_bytes(head + packer.compress(inner) + packer.flush())
        return read_dicom_grey(path.with_name("again.dcm"))

    packed = _made(deflated)
    start = 144 + pydicom.dcmread(io.BytesIO(packed)).file_meta.FileMetaInformationGroupLength
    head, inflated = packed[:start], zlib.decompress(packed[start:], -zlib.MAX_WBITS)
    files = {write.__name__: (_made(write),) for write in (plain, deflated, run_length, lossless)}
    return [
        *(Parser(f"read_dicom_grey ({kind})", "a.dcm", valid, read_dicom_grey) for kind, valid in files.items()),
        Parser("read_dicom_grey (deflated, damaged before)", "content", (inflated,), deflate_again),
        Parser("read_patient_id", "a.dcm", files["plain"] + files["deflated"], read_patient_id),
        Parser("read_spacing_mm", "a.dcm", files["plain"] + files["deflated"], read_spacing_mm),
    ]


def _matlab() -> list[Parser]:
    label = _RANDOM.integers(0, 2, (9, 8, 7)).astype(np.uint8)

    def version_5(path: Path) -> None:
        scipy.io.savemat(path, {"label": label, "other": "x"})

    def compressed(path: Path) -> None:
        scipy.io.savemat(path, {"label": label.astype(float)}, do_compression=True)

    def version_7_3(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file.create_dataset("label", data=label.T, compression="gzip")

    def read(path: Path) -> NDArray[Any]:
        return read_matlab(path, "label")

    def compress_again(path: Path) -> NDArray[Any]:
        inner = zlib.compress(path.read_bytes())
        path.with_name("again.mat").write_bytes(packed[:132] + len(inner).to_bytes(4, "little") + inner)
        return read(path.with_name("again.mat"))

    packed = _made(lambda path: scipy.io.savemat(path, {"label": label}, do_compression=True), "a.mat")
    variable = zlib.decompress(packed[136:])
    return [
        Parser("read_matlab (v5, damaged before it is compressed)", "variable", (variable,), compress_again),
        Parser("read_matlab (v5)", "a.mat", (_made(version_5, "a.mat"), _made(compressed, "a.mat")), read),
        Parser("read_matlab (v7.3)", "a.mat", (_made(version_7_3, "a.mat"),), read),
    ]


def _records() -> list[Parser]:
    slice_of = {"height": 5, "width": 4, "image_raw": bytes(20), "label_raw": bytes(20), "name": b"SC-HF-I-02-IM-0001"}
    example = build_example(slice_of)
    file = _made(lambda path: write_records(path, [example, example]))
    reads: dict[str, Callable[[Path], Any]] = {
        "read_records": lambda path: list(read_records(path)),
        "read_record": lambda path: read_record(path, 1),
        "list_records": lambda path: list_records(path.parent),
        "find_records": lambda path: find_records(path.parent),
        "read_record_image": lambda path: read_record_image(path, 1),
        "read_record_label": lambda path: read_record_label(path, 0),
    }
    # Each record has a checksum that hardly any damaged one passes, so what is in a record is damaged by itself too.
    inside: dict[str, Callable[[Path], Any]] = {
        "parse_example": lambda path: parse_example(path.read_bytes(), path.name),
        "read_record_image (checksum kept)": lambda path: read_record_image(_recorded(path), 0),
        "read_record_label (checksum kept)": lambda path: read_record_label(_recorded(path), 0),
    }
    return [
        *(Parser(name, "train.tfrecord", (file,), read) for name, read in reads.items()),
        *(Parser(name, "example", (example,), read) for name, read in inside.items()),
    ]


def _recorded(path: Path) -> Path:
    file = path.with_name("example.tfrecord")
    write_records(file, [path.read_bytes()])
    return file


def _contours() -> list[Parser]:
    angles = np.linspace(0, 6, 40)
    text = "\n".join(f"{20 + 9 * np.cos(angle):.2f} {20 + 9 * np.sin(angle):.2f}" for angle in angles).encode()

    def fill(path: Path) -> NDArray[np.bool_]:
        return fill_contour(read_contour(path, (40, 40)), (40, 40))

    return [Parser("read_contour, fill_contour", "IM-0001-0060-icontour-manual.txt", (text,), fill)]
