"""The forms in which a cardiac slice comes besides a pair of pictures: DICOM with contours, and a TFRecord."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from competition.files import whole_file, write_csv, write_text
from competition.formats.tfrecords import build_example

_BRIGHTNESS = 4  # scanner units per grey level: real slices reach 700 to 1000
_SPACING_MM = 350 / 256


def write_dicom(path: Path, grey: NDArray[np.uint8], patient_id: str, number: int) -> None:
    """Write a slice as the scanner does: int16, MONOCHROME2, with its number and pixel spacing.

    Args:
        path: Where to; its folder is made.
        grey: (H, W) uint8.
        patient_id: PatientID.
        number: InstanceNumber.

    Raises:
        CompetitionError: The file could not be written.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[patient_id, str(number)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PatientID, dataset.PatientName = "MR", patient_id, patient_id
    dataset.InstanceNumber = number
    dataset.PixelSpacing = [f"{_SPACING_MM:.6f}"] * 2
    dataset.SamplesPerPixel, dataset.PixelRepresentation, dataset.PhotometricInterpretation = 1, 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.Rows, dataset.Columns = grey.shape
    dataset.PixelData = (grey.astype("<i2") * _BRIGHTNESS).tobytes()
    with whole_file(path) as part:
        dataset.save_as(part, enforce_file_format=True)


def write_contour(path: Path, mask: NDArray[np.uint8]) -> None:
    """Write the outline of a mask in one piece as an expert's contour: text, points at halves of a pixel.

    Args:
        path: Where to; its folder is made.
        mask: (H, W), not 0 in the organ, without holes.

    Raises:
        CompetitionError: The file could not be written.
    """
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = max(outlines, key=len).reshape(-1, 2)
    # Half a pixel more does not change the pixel that a coordinate is cut to.
    halves = np.indices(points.shape).sum(axis=0) % 2 * 0.5
    write_text(path, "".join(f"{x:.2f} {y:.2f}\n" for x, y in points + halves))


def write_link(path: Path, original_of: Mapping[str, str]) -> None:
    """Write the table that links the scanner's patients to the experts'."""
    write_csv(path, [{"patient_id": ours, "original_id": theirs} for ours, theirs in original_of.items()])


def slice_record(name: str, grey: NDArray[np.uint8], mask: NDArray[np.uint8]) -> bytes:
    """Make a slice's ``tf.train.Example``: int64 scanner units and a label of 0 and 1, as the lab stored them.

    Args:
        name: Of the slice.
        grey: (H, W) uint8.
        mask: (H, W), not 0 in the organ.
    """
    height, width = grey.shape
    return build_example(
        {
            "height": height,
            "width": width,
            "depth": 1,
            "name": name.encode(),
            "img_raw": (grey.astype("<i8") * _BRIGHTNESS).tobytes(),
            "label_raw": (mask > 0).astype(np.uint8).tobytes(),
        }
    )
