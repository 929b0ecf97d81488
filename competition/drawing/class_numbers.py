"""The number of a class on each mask, where it has room and covers no other mask's number."""

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.drawing.lettering import Colour, draw_text, text_width
from competition.masks.bit_planes import unpack_class

SIDE = 1024
"""Rows and columns in which places are searched: more would take longer and move a number by a pixel or two."""
ROOM = 0.7
"""Of the largest distance from the outside of a mask: where it is at least that, the place nearest to the middle."""
WHITE = 0.4
"""Share of white in the colour of a number: digits of pure blue can't be read on grey."""


def number_places(
    planes: NDArray[np.uint8], classes: int, size_hw: tuple[float, float]
) -> dict[int, tuple[float, float]]:
    """Return where the number of each class fits best.

    That is inside of its mask, away from other numbers and, if there is room, outside of all other masks: the centroid
    of a bent mask may lie outside of it, and a bone may lie wholly behind another. The smallest mask chooses first.

    Args:
        planes: Label planes (H, W, ceil(C / 8)) uint8.
        classes: C.
        size_hw: Rows and columns of a number.

    Returns:
        Class -> row and column of the middle of its number, of the classes that have a pixel.
    """
    step = max(1, -(-max(planes.shape[:2]) // SIDE))
    coarse = planes[::step, ::step]
    masks = [unpack_class(coarse, index) for index in range(classes)]
    alone = np.asarray(np.sum(masks, axis=0, dtype=np.uint16) == 1)
    free = np.ones_like(alone)
    places: dict[int, tuple[float, float]] = {}
    for index in np.argsort([mask.sum() for mask in masks], kind="stable").tolist():
        if masks[index].any():
            row, column = _best_place(masks[index], alone, free, max(0.5, min(size_hw) / 2 / step))
            high, wide = (round(side / step) for side in size_hw)
            free[max(0, row - high) : row + high + 1, max(0, column - wide) : column + wide + 1] = False
            places[index] = row * step, column * step
        elif (pixels := np.argwhere(unpack_class(planes, index))).size:  # it lies between two rows of the coarse grid
            places[index] = float(pixels[0, 0]), float(pixels[0, 1])
    return places


def _best_place(
    mask: NDArray[np.bool_], alone: NDArray[np.bool_], free: NDArray[np.bool_], room: float
) -> tuple[int, int]:
    """Return row and column of the place in a mask that is alone there, else free, else anywhere in it."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    mask, alone, free = mask[window], alone[window], free[window]
    for own, needed in ((mask & alone & free, room), (mask & free, 0.5), (mask, 0.5)):
        # A frame of background, because the border of an image is the end of a mask.
        distances = cv2.distanceTransform(np.pad(own.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        if distances.max() >= needed:
            break
    places = np.argwhere(distances >= ROOM * distances.max())
    middle = np.argwhere(own).mean(axis=0)
    row, column = places[np.argmin(((places - middle) ** 2).sum(axis=1))].tolist()
    return int(rows[0]) + row, int(columns[0]) + column


def draw_class_numbers(picture: NDArray[np.uint8], planes: NDArray[np.uint8], colours: list[Colour], size: int) -> None:
    """Write the number of each class, from 1, onto its mask, whole also at the border of the picture.

    Args:
        picture: (h, w, 3) RGB, of any size; changed in place.
        planes: Label planes (H, W, ceil(C / 8)) uint8.
        colours: (C,) RGB.
        size: Of the digits, in pixels of the picture.
    """
    (height, width), scale = picture.shape[:2], picture.shape[0] / planes.shape[0]
    widest = text_width(str(len(colours)), size)
    for index, (row, column) in number_places(planes, len(colours), (size / scale, widest / scale)).items():
        x = min(max(round((column + 0.5) * scale), widest // 2 + 1), width - widest // 2 - 1)
        y = min(max(round((row + 0.5) * scale), size // 2 + 1), height - size // 2 - 1)
        red, green, blue = (round(255 - (1 - WHITE) * (255 - part)) for part in colours[index])
        draw_text(picture, str(index + 1), (x, y), size, (red, green, blue), anchor="mm", halo=max(1, size // 9))
