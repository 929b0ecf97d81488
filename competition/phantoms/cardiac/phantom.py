"""Drawn short-axis slices of the heart, in the three forms of the Sunnybrook cardiac data.

The form that is drawn where nobody asks for another, under the data root::

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

from competition.formats.tfrecords import write_records
from competition.phantoms.cardiac.files import slice_record, write_contour, write_dicom, write_link
from competition.phantoms.cardiac.picture import SLICES, draw_slice, person_name
from competition.phantoms.drawing import write_png

IMAGES_PER_PERSON = 2 * SLICES


@dataclass(frozen=True)
class Slice:
    """One slice of a data set.

    Attributes:
        person: From 1.
        number: Of the slice in its series.
        grey: (size, size) uint8.
        pool: (size, size) uint8, 0 or 255.
        contracted: Whether at the end of contraction.
    """

    person: int
    number: int
    grey: NDArray[np.uint8]
    pool: NDArray[np.uint8]
    contracted: bool

    @property
    def file_name(self) -> str:
        """Of its pictures."""
        return f"{person_name(self.person)}-IM-0001-{self.number:04d}.dcm.png"


def _slices(people: range, size: int, seed: int) -> Iterator[Slice]:
    for person in people:
        for level in range(SLICES):
            for contracted in (False, True):
                number = 20 * (level + 1) + 7 + person % 3 + (13 if contracted else 0)
                yield Slice(person, number, *draw_slice(seed, person, level, contracted, size), contracted)


def _parts(people: int, test_people: int) -> dict[str, range]:
    """Return the people of each part, from 1; the test's numbers follow those of training."""
    return {"train": range(1, people + 1), "test": range(people + 1, people + test_people + 1)}


def draw(root: Path, people: int, test_people: int, size: int, seed: int, advance: Callable[[], None]) -> None:
    """Draw a whole data set: ``IMAGES_PER_PERSON`` slices per person and their labels, for the test part too.

    Args:
        root: Data folder to write into.
        people: How many for training.
        test_people: How many for the test; their numbers follow.
        size: Width and height of the images in pixels.
        seed: The same seed gives the same bytes; a person doesn't depend on how many others are drawn.
        advance: Called after each image written.

    Raises:
        CompetitionError: A file could not be written.
    """
    for part, persons in _parts(people, test_people).items():
        for drawn in _slices(persons, size, seed):
            write_png(root / part / "images" / drawn.file_name, drawn.grey, channels=3)
            write_png(root / part / "labels" / drawn.file_name, drawn.pool, channels=3)
            advance()


def draw_dicom(root: Path, people: int, test_people: int, size: int, seed: int, advance: Callable[[], None]) -> None:
    """Draw the same slices as DICOM files with contours and link.csv; arguments and errors as ``draw``.

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
    write_link(root / "link.csv", links)


def draw_tfrecords(
    root: Path, people: int, test_people: int, size: int, seed: int, advance: Callable[[], None]
) -> None:
    """Draw the same slices as train_images.tfrecords and test_images.tfrecords; arguments and errors as ``draw``."""

    def records(persons: range) -> Iterator[bytes]:
        for drawn in _slices(persons, size, seed):
            yield slice_record(drawn.file_name, drawn.grey, drawn.pool)
            advance()

    for part, persons in _parts(people, test_people).items():
        write_records(root / f"{part}_images.tfrecords", records(persons))
