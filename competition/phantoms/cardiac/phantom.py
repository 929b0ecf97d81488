"""Synthetic short-axis slices of the heart, in the three forms of the Sunnybrook cardiac data.

The usual form, under the data root::

    train/images/SC-HF-I-01-IM-0001-0027.dcm.png    256x256, three equal channels
    train/labels/SC-HF-I-01-IM-0001-0027.dcm.png    the left ventricle's blood pool: 0 or 255, three equal channels
    test/images/..., test/labels/...                equal names; the test labels are for scoring only

The name up to ``-IM`` is the person. All forms hold the same slices with the same labels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from competition.files import whole_file, write_csv, write_text
from competition.formats.tfrecords import build_example, write_records
from competition.phantoms.cardiac.picture import SLICES, draw_slice, person_name
from competition.phantoms.drawing import write_png

IMAGES_PER_PERSON = 2 * SLICES
_BRIGHTNESS = 4  # scanner units per grey level: real slices reach 700 to 1000
_SPACING_MM = 350 / 256


@dataclass(frozen=True)
class Slice:
    """One slice of a data set."""

    person: int  # from 1
    number: int  # of the slice in its series
    grey: NDArray[np.uint8]  # (size, size) uint8
    pool: NDArray[np.uint8]  # (size, size) uint8, 0 or 255
    contracted: bool  # whether at the end of contraction

    @property
    def file_name(self) -> str:
        """Return the name of its image and label."""
        return f"{person_name(self.person)}-IM-0001-{self.number:04d}.dcm.png"


def _slices(people: range, size: int, seed: int) -> Iterator[Slice]:
    for person in people:
        for level in range(SLICES):
            for contracted in (False, True):
                number = 20 * (level + 1) + 7 + person % 3 + (13 if contracted else 0)
                yield Slice(person, number, *draw_slice(seed, person, level, contracted, size), contracted)


def _parts(people: int, test_people: int) -> dict[str, range]:
    """Return the persons of each part, from 1."""
    return {"train": range(1, people + 1), "test": range(people + 1, people + test_people + 1)}


def draw(root: Path, people: int, test_people: int, size: int, seed: int, advance: Callable[[], None]) -> None:
    """Draw ``IMAGES_PER_PERSON`` slices per person and their labels, of test persons too; see ``Draw``."""
    for part, persons in _parts(people, test_people).items():
        for drawn in _slices(persons, size, seed):
            write_png(root / part / "images" / drawn.file_name, drawn.grey, channels=3)
            write_png(root / part / "labels" / drawn.file_name, drawn.pool, channels=3)
            advance()


def draw_dicom(root: Path, people: int, test_people: int, size: int, seed: int, advance: Callable[[], None]) -> None:
    """Draw the same slices as DICOM files with contours and link.csv.

    As in the real series, only filled hearts have an epicardial contour, and some files have no contour at all: one per
    level, between filling and contraction. The test part's contours are for scoring only.
    """
    links = {}
    for part, persons in _parts(people, test_people).items():
        folder = root if part == "train" else root / part
        for drawn in _slices(persons, size, seed):
            patient_id = f"SCD{drawn.person:05d}01"
            disease, _, count = person_name(drawn.person).rpartition("-")
            links[patient_id] = f"{disease}-{int(count)}"  # the experts' names have no leading zeros
            write_dicom(folder / "dicom" / patient_id / f"{drawn.number}.dcm", drawn.grey, patient_id, drawn.number)
            contours, name = folder / "contours" / links[patient_id], f"IM-0001-{drawn.number:04d}"
            write_contour(contours / "i-contours" / f"{name}-icontour-manual.txt", drawn.pool)
            if not drawn.contracted:
                unlabelled = drawn.number + 6
                picture = np.ascontiguousarray(drawn.grey[:, ::-1])
                write_dicom(folder / "dicom" / patient_id / f"{unlabelled}.dcm", picture, patient_id, unlabelled)
                wall = cv2.dilate(drawn.pool, np.ones((7, 7), np.uint8))
                write_contour(contours / "o-contours" / f"{name}-ocontour-manual.txt", np.asarray(wall, np.uint8))
            advance()
    rows = [{"patient_id": ours, "original_id": theirs} for ours, theirs in links.items()]
    write_csv(root / "link.csv", rows)  # links the scanner's patients to the experts'


def draw_tfrecords(
    root: Path, people: int, test_people: int, size: int, seed: int, advance: Callable[[], None]
) -> None:
    """Draw the same slices as train_images.tfrecords and test_images.tfrecords."""

    def records(persons: range) -> Iterator[bytes]:
        for drawn in _slices(persons, size, seed):
            yield slice_record(drawn.file_name, drawn.grey, drawn.pool)
            advance()

    for part, persons in _parts(people, test_people).items():
        write_records(root / f"{part}_images.tfrecords", records(persons))


def write_dicom(path: Path, grey: NDArray[np.uint8], patient_id: str, number: int) -> None:
    """Write a slice (H, W) uint8 as the scanner does: int16, MONOCHROME2, with its number and pixel spacing."""
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
    """Write the outline of a mask without holes as an expert's contour: text, points at halves of a pixel."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = max(outlines, key=len).reshape(-1, 2)
    # Half a pixel more does not change the pixel that a coordinate is cut to.
    halves = np.indices(points.shape).sum(axis=0) % 2 * 0.5
    write_text(path, "".join(f"{x:.2f} {y:.2f}\n" for x, y in points + halves))


def slice_record(name: str, grey: NDArray[np.uint8], mask: NDArray[np.uint8]) -> bytes:
    """Return a slice as ``tf.train.Example``: int64 scanner units and a label of 0 and 1, as the lab stored them."""
    features = {"height": grey.shape[0], "width": grey.shape[1], "depth": 1, "name": name.encode()}
    features["img_raw"] = (grey.astype("<i8") * _BRIGHTNESS).tobytes()
    features["label_raw"] = (mask > 0).astype(np.uint8).tobytes()
    return build_example(features)
