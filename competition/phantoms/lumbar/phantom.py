"""Synthetic lateral radiographs of the lower back, in the form of the lumbar course's data.

Under the data root::

    train/img/7.dcm          uint16, sizes differ; two images per person, who is the PatientID
    train/label/007.mat      label_separated: T12, L1 ... L5 from the top down, then the background
    test/img/33.dcm
    truth/label/033.mat      the test images' labels: the organisers do NOT give these

The numbers of images are not padded and those of labels are, so that pairing by sorted names goes wrong as it did in
the report. Other differences between the real files are in ``form_of``. Neighbours look alike: the lowest thoracic
vertebrae above are not labelled, and where the topmost lies above the image its plane is empty.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gdcm
import h5py
import numpy as np
import pydicom
import scipy.io
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

from competition.errors import CompetitionError
from competition.files import whole_file
from competition.phantoms.lumbar.picture import draw_spine

IMAGES_PER_PERSON = 2
Compression = Literal["none", "rle", "jpeg_lossless"]
BRIGHTEST = 4095  # 12 bits in 16, as detectors have it
# What MATLAB writes before the HDF5 part of a 7.3 file; the block has 512 bytes.
_HEADER_73 = b"MATLAB 7.3 MAT-file, Platform: PCWIN64, Created on: Mon Jan  1 00:00:00 2018 HDF5 schema 1.00 ."
_HEADER_5 = b"MATLAB 5.0 MAT-file, Platform: PCWIN64, Created on: Mon Jan  1 00:00:00 2018"
_HEADER_TEXT = 116  # bytes of it that are free text
_USER_BLOCK = 512


def draw(root: Path, people: int, test_people: int, size: int, seed: int, advance: Callable[[], None]) -> None:
    """Draw two radiographs per person and their labels, of test persons in the plainest form; see ``Draw``."""
    for person in range(1, people + test_people + 1):
        train = person <= people
        images, labels = ("train/img", "train/label") if train else ("test/img", "truth/label")
        for visit in range(IMAGES_PER_PERSON):
            number = IMAGES_PER_PERSON * (person - 1) + visit + 1
            form = form_of(number)
            light, masks, mm = draw_spine(seed, person, visit, size)
            image = root / images / f"{number}.{'DCM' if form.capitals else 'dcm'}"
            write_dicom(image, light, f"SPINE-{person:04d}", mm, form)
            write_label(root / labels / f"{number:03d}.mat", masks, form if train else Form())
            advance()


@dataclass(frozen=True)
class Form:
    """How one image and its label are stored."""

    inverted: bool = False  # the image is MONOCHROME1: its smallest value is white
    rescaled: bool = False  # the image has a rescale slope and intercept
    capitals: bool = False  # the image's ending is .DCM
    compression: Compression = "none"  # of the image's pixel data
    version_73: bool = False  # the label is a MATLAB 7.3 file
    background_255: bool = False  # the label's background plane holds 0 and 255
    transposed: bool = False  # the label is (columns, rows, planes)


def form_of(number: int) -> Form:
    """Return the form of an image and its label by their number; every trap occurs among 1 to 8."""
    compressions: dict[int, Compression] = {2: "jpeg_lossless", 7: "rle"}
    return Form(
        inverted=number % 4 == 3,
        rescaled=number % 5 == 1,
        capitals=number % 6 == 0,
        compression=compressions.get(number % 8, "none"),
        version_73=number % 5 == 2,
        background_255=number % 3 == 0,
        transposed=number % 7 == 4,
    )


def write_dicom(path: Path, light: NDArray[np.float32], patient: str, mm: float, form: Form) -> None:
    """Write a radiograph as a DICOM file.

    Args:
        path: Where to; its folder is made.
        light: (H, W) from 0 to 1, bright is dense.
        patient: PatientID.
        mm: Side of a pixel.
        form: How it is stored.
    """
    stored = np.round(light * BRIGHTEST).astype(np.uint16)
    if form.inverted:
        stored = np.asarray(BRIGHTEST - stored, np.uint16)
    dataset = _empty_dicom(path.stem, patient, mm)
    dataset.PhotometricInterpretation = "MONOCHROME1" if form.inverted else "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    if form.rescaled:
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", "-200"
    dataset.PixelData = stored.tobytes()
    with whole_file(path) as part:
        if form.compression == "rle":
            dataset.compress(RLELossless, generate_instance_uid=False)
        if form.compression == "jpeg_lossless":
            dataset.save_as(part, enforce_file_format=True)
            _compress_jpeg(part, dataset)
        dataset.save_as(part, enforce_file_format=True)


def _empty_dicom(name: str, patient: str, mm: float) -> FileDataset:
    """Return a radiograph without its image; nothing in it depends on the time of writing."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[patient, name])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.Laterality = "CR", "R"
    dataset.PatientID, dataset.PatientName = patient, "Drawn^Phantom"
    dataset.ImagerPixelSpacing = [f"{mm:.5f}", f"{mm:.5f}"]
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    return dataset


def _compress_jpeg(plain: Path, dataset: FileDataset) -> None:
    """Put a plain file's pixel data into a data set as JPEG Lossless, which only GDCM can write."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(plain))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    read = reader.Read()
    change.SetInput(reader.GetImage())
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(plain))
    writer.SetFile(reader.GetFile())
    if not (read and change.Change()):
        raise CompetitionError("GDCM can't compress the image", plain)
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise CompetitionError("the image could not be written", plain, "Check the disk's space and rights")
    compressed = pydicom.dcmread(plain)
    dataset.file_meta.TransferSyntaxUID = compressed.file_meta.TransferSyntaxUID
    dataset["PixelData"] = compressed["PixelData"]


def write_label(path: Path, masks: NDArray[np.bool_], form: Form) -> None:
    """Write masks (6, H, W), from the top down, as a MATLAB file with the key ``label_separated``."""
    background = ~masks.any(axis=0) * np.uint8(255 if form.background_255 else 1)
    planes = np.stack([*masks.astype(np.uint8), background], axis=-1)
    if form.transposed:
        planes = planes.transpose(1, 0, 2)
    with whole_file(path) as part:
        if form.version_73:
            with h5py.File(part, "w", userblock_size=_USER_BLOCK) as file:
                # MATLAB stores columns first, so that HDF5 sees the axes reversed.
                stored = file.create_dataset("label_separated", data=planes.T, compression="gzip")
                stored.attrs["MATLAB_class"] = np.bytes_("uint8")
            with part.open("r+b") as file:
                file.write(_HEADER_73.ljust(_HEADER_TEXT) + bytes(8) + b"\x00\x02IM")
        else:
            content = io.BytesIO()
            scipy.io.savemat(content, {"label_separated": planes}, do_compression=True)
            # scipy's own text holds the time, and the same seed must give the same bytes.
            part.write_bytes(_HEADER_5.ljust(_HEADER_TEXT) + content.getvalue()[_HEADER_TEXT:])
