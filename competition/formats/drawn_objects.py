"""Objects that a person has drawn onto an image, as annotation tools store them.

Coordinates are x and y in pixels, with (0, 0) at the upper left corner of the first pixel, so that its centre lies at
(0.5, 0.5). ``masks.outlines.drawn_planes`` turns objects of all formats into label planes.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.formats.contours import require_fillable
from competition.text import nearest_hint, shown, size_text

FARTHEST = 1e7
"""Pixels from the origin; a point farther away is no point of a picture."""
SAGITTA = 0.005
"""Pixels by which the polygon of a circle may lie within it."""


@dataclass(frozen=True)
class DrawnObject:
    """One object: polygons, or the pixels themselves.

    Attributes:
        label: Name of its class.
        rings: Closed polygons (n, 2) of x, y in pixels; one within another is a hole.
        mask: The pixels (H, W) bool in place of polygons, or None.
        joined: Whether the polygons are parts of the object, none of them a hole, as in COCO.
    """

    label: str
    rings: tuple[NDArray[np.float64], ...] = ()
    mask: NDArray[np.bool_] | None = None
    joined: bool = False


@dataclass(frozen=True)
class DrawnImage:
    """All objects of one image, the lowest first, whose rows and columns are ``size_hw``."""

    size_hw: tuple[int, int]
    objects: tuple[DrawnObject, ...]


@dataclass(frozen=True)
class DrawnFile:
    """One file of the objects of many images.

    Attributes:
        images: Name of each image as in the file -> what reads its objects. They are read one image at a time, because
            run lengths become masks: 5,000 objects on images of a megapixel would take 5 GB.
        labels: Names of the classes that have objects.
        remarks: Sentences on what is odd and yet readable.
    """

    images: Mapping[str, Callable[[], DrawnImage]]
    labels: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def require_known(labels: Iterable[str], classes: Sequence[str], what: str, where: Path | str) -> None:
    """Reject the first label that is no class; ``what`` follows its name in the message (" of sample 'a'").

    Raises:
        CompetitionError: A label is unknown; it names the nearest class.
    """
    for label in labels:
        if label not in classes:
            raise CompetitionError(f"unknown class {shown(label)}{what}{nearest_hint(label, classes)}", where)


def make_ring(points: object, label: str, size_hw: tuple[int, int], place: str, repair: str) -> NDArray[np.float64]:
    """Return a polygon (n, 2) float64 of points x, y in pixels, in any nesting.

    Points outside of the image are kept: an outline that crosses the border is cut off there when it is filled.

    Raises:
        CompetitionError: It has fewer than three points or one that is not finite, lies outside of the image as a
            whole, or as ``require_fillable``; ``place`` is its image and number.
        ValueError: These are no pairs of numbers.
    """
    ring = np.array(points, dtype=np.float64).reshape(-1, 2)
    if len(ring) < 3:
        what = f"a polygon of {shown(label)} has {len(ring)} point{'s' * (len(ring) != 1)}, three are needed"
        raise CompetitionError(what, place, repair)
    if not (np.abs(ring) < FARTHEST).all():  # also where a point is not a number
        raise CompetitionError(f"a polygon of {shown(label)} has a point that is not a finite number", place, repair)
    if (ring.max(axis=0) <= 0).any() or (ring.min(axis=0) >= size_hw[::-1]).any():
        what = f"a polygon of {shown(label)} lies outside of its image of {size_text(size_hw)} (rows x columns)"
        raise CompetitionError(what, place, repair)
    require_fillable(ring, f"polygon of {shown(label)}", place)
    return ring


def box_points(left: float, top: float, right: float, bottom: float, degrees: float = 0.0) -> NDArray[np.float64]:
    """Return the corners (4, 2) of a box, turned clockwise about its centre."""
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    return _turned(corners, degrees) if degrees else corners


def ellipse_points(
    centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0
) -> NDArray[np.float64]:
    """Return an ellipse as a polygon (n, 2) that lies at most ``SAGITTA`` within it; no points if a radius is 0."""
    largest = max(radii)
    if not (min(radii) > 0 and largest < FARTHEST):
        return np.empty((0, 2))
    number = max(16, math.ceil(math.pi / math.acos(max(0.0, 1 - SAGITTA / largest))))
    angles = np.arange(number) * (2 * np.pi / number)
    points = np.asarray(centre) + np.stack([radii[0] * np.cos(angles), radii[1] * np.sin(angles)], axis=1)
    return _turned(points, degrees) if degrees else points


def _turned(points: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """Return points turned clockwise, as an image with y downwards shows it, about the centre of their bounds."""
    centre, angle = (points.min(axis=0) + points.max(axis=0)) / 2, math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return np.asarray(centre + (points - centre) @ turn)
