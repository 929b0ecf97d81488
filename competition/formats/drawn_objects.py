"""Objects that a person has drawn onto an image, as annotation tools store them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DrawnObject:
    """One object: polygons, or the pixels themselves.

    Attributes:
        label: Name of its class.
        rings: Closed polygons (n, 2) of x, y in pixels, (0, 0) being the corner of the first pixel; those after the
            first are holes.
        mask: The pixels (H, W) bool in place of polygons, or None.
    """

    label: str
    rings: tuple[NDArray[np.float64], ...] = ()
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class DrawnImage:
    """All objects of one image, whose rows and columns are ``size_hw``."""

    size_hw: tuple[int, int]
    objects: tuple[DrawnObject, ...]
