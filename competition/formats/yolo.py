"""YOLO's labels: a text file per image, each line a class number and a polygon in shares of width and height.

https://docs.ultralytics.com/datasets/segment/. There are no holes. An empty file is an image without objects.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from competition.errors import CompetitionError
from competition.files import read_text
from competition.formats.drawn_objects import DrawnImage, DrawnObject, box_points, make_ring
from competition.text import shown

REPAIR = "A line is the number of a class and x y of three points or more, in shares of width and height"
LARGEST_SHARE = 2.0
"""A point may lie outside of the image, but a larger number is one of pixels."""


def read_yolo(path: Path, size_hw: tuple[int, int], classes: Sequence[str], boxes: bool = False) -> DrawnImage:
    """Read the objects of an image of ``size_hw``; class n is ``classes[n]``.

    Args:
        path: The text file.
        size_hw: Rows and columns of the image.
        classes: Names in the order of YOLO's numbers.
        boxes: Whether a line of four numbers, centre and size of a box, is a mask; otherwise it is an error.

    Raises:
        CompetitionError: The file is missing, a line is malformed, or a number is that of no class.
    """
    try:
        lines = read_text(path).splitlines()
    except FileNotFoundError as error:
        raise CompetitionError("annotation missing", path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise CompetitionError(f"can't be read as text ({error})", path) from error
    scale = np.array(size_hw[::-1], np.float64)
    objects = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        label, values = _split(line, classes, place)
        if len(values) == 4:
            if not boxes:
                what = f"an object of {shown(label)} has four numbers: a box, or a polygon of two points"
                raise CompetitionError(what, place, f"{REPAIR}; boxes: true under masks makes boxes masks")
            x, y, width, height = values
            values = box_points(x - width / 2, y - height / 2, x + width / 2, y + height / 2).ravel().tolist()
        objects.append(
            DrawnObject(label, (make_ring(np.reshape(values, (-1, 2)) * scale, label, size_hw, place, REPAIR),))
        )
    return DrawnImage(size_hw, tuple(objects))


def _split(line: str, classes: Sequence[str], place: str) -> tuple[str, list[float]]:
    """Return class and numbers of a line."""
    first, *rest = line.split()
    try:
        values = [float(value) for value in rest]
    except ValueError as error:
        raise CompetitionError(f"{shown(line)} holds what is no number", place, REPAIR) from error
    if not first.isdecimal() or len(first) > 9 or int(first) >= len(classes):
        listed = ", ".join(f"{number} {name}" for number, name in enumerate(classes))
        what = f"the class number {shown(first)} is none of classes ({listed})"
        raise CompetitionError(what, place, "List all classes of the data in the YAML, in YOLO's order")
    if len(values) % 2 or not values:
        raise CompetitionError(f"{len(values)} numbers follow the class, which are no pairs x y", place, REPAIR)
    if not all(abs(value) <= LARGEST_SHARE for value in values):
        raise CompetitionError(f"{shown(line)} holds pixels, not shares of width and height", place, REPAIR)
    return classes[int(first)], values
