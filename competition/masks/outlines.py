"""Outlines of masks as polygons, and masks of polygons: the form in which annotation tools draw.

Coordinates are x and y in pixels, with (0, 0) at the upper left corner of the first pixel, so that its centre lies at
(0.5, 0.5). A pixel belongs to a polygon if its centre lies inside.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.formats.drawn_objects import DrawnImage, DrawnObject
from competition.masks.bit_planes import pack_masks

Ring = NDArray[np.float64]
"""A closed polygon (n, 2) of x, y; the last point is joined to the first."""

TOLERANCE = 0.75
"""Pixels by which an outline may be off, so that a synthetic bone of 1024 pixels has 28 points on average instead of
345. The Dice of a mask with its own outline is then 0.995 on average and 0.989 at least."""


def outline_mask(mask: NDArray[np.bool_]) -> list[list[Ring]]:
    """Return the outlines of a mask (H, W): a list for each component (8 neighbours), holes after the outer ring."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    contours, tree = cv2.findContours(_corner_grid(part), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    components: dict[int, list[Ring]] = {}
    for number, contour in enumerate(contours):
        outer = int(tree[0, number, 3])  # of a hole the ring around it, else -1
        # The middles of the pixels' edges alone, because stairs of corners need twice as many points.
        middles = contour[contour[:, 0].sum(axis=1) % 2 == 1]
        simple = cv2.approxPolyDP(middles, 2 * TOLERANCE, closed=True)
        kept = simple if len(simple) > 2 else middles  # a line has no inside
        ring = (kept[:, 0].astype(np.float64) - 1) / 2 + (left, top)
        rings = components.setdefault(number if outer < 0 else outer, [])
        rings.insert(0 if outer < 0 else len(rings), ring)
    return list(components.values())


def _corner_grid(part: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a mask on a grid of half pixels, (2H + 3, 2W + 3), in which contours run along the pixels' corners.

    Pixel (r, c) is the block of 3x3 that begins at (2r + 1, 2c + 1); neighbours share a row or column of it.
    """
    height, width = part.shape
    grid = np.zeros((2 * height + 3, 2 * width + 3), np.uint8)
    for down in range(3):
        for right in range(3):
            grid[1 + down : 1 + down + 2 * height : 2, 1 + right : 1 + right + 2 * width : 2] |= part.view(np.uint8)
    return grid


def fill_rings(rings: Sequence[Ring], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask (H, W) of the pixels whose centre lies inside an odd number of rings.

    A ring within another is a hole in it; what lies outside of the image is cut off.
    """
    height, width = size_hw
    flips = np.zeros((height, width + 1), np.bool_)
    for ring in rings:
        starts, ends = ring, np.roll(ring, -1, axis=0)
        for (x0, y0), (x1, y1) in zip(starts.tolist(), ends.tolist(), strict=True):
            low, high = min(y0, y1), max(y0, y1)
            # Rows whose centre lies in [low, high): an end that two edges share counts once.
            rows = np.arange(max(0, int(np.ceil(low - 0.5))), min(height, int(np.ceil(high - 0.5))))
            if len(rows):
                crossings = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
                columns = np.clip(np.ceil(crossings - 0.5), 0, width).astype(np.int64)
                flips[rows, columns] ^= True
    return np.logical_xor.accumulate(flips, axis=1)[:, :width]


def fill_objects(objects: Sequence[DrawnObject], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask (H, W) of the pixels that belong to any of the objects."""
    mask = np.zeros(size_hw, np.bool_)
    for drawn in objects:
        mask |= _fill_object(drawn, size_hw) if drawn.mask is None else drawn.mask
    return mask


def _fill_object(drawn: DrawnObject, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    if not drawn.joined:
        return fill_rings(drawn.rings, size_hw)
    mask: NDArray[np.bool_] = np.logical_or.reduce([fill_rings([ring], size_hw) for ring in drawn.rings])
    return mask


def drawn_planes(image: DrawnImage, classes: Sequence[str]) -> NDArray[np.uint8]:
    """Return label planes (H, W, ceil(C/8)) uint8 of drawn objects.

    Where objects of two classes overlap, both have the pixel. An object without a class is not drawn;
    ``drawn_objects.require_known`` rejects it.
    """
    of_class = ([drawn for drawn in image.objects if drawn.label == name] for name in classes)
    return pack_masks(np.stack([fill_objects(objects, image.size_hw) for objects in of_class]))
