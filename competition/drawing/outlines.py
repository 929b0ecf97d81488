"""Outlines, colours and names of classes on pictures; needs no torch, so that an exported model can draw them."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.files import whole_file
from competition.masks.bit_planes import unpack_class

CAPTION = 22
FONT = (cv2.FONT_HERSHEY_SIMPLEX, 0.42)


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write an RGB picture (H, W, 3) whole or not at all."""
    encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    with whole_file(path) as part:
        part.write_bytes(encoded.tobytes())


def class_colours(classes: int) -> list[tuple[int, int, int]]:
    """Return well-spread RGB colours; neighbours in class order are far apart in hue."""
    golden = 0.61803398875  # the fraction of the circle that keeps successive hues apart, however many there are
    colours = []
    for index in range(classes):
        red, green, blue = colorsys.hsv_to_rgb((index * golden) % 1, 0.75, 1.0)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


Window = tuple[slice, slice]
"""Rows and columns of an image."""
WHOLE: Window = (slice(None), slice(None))
MARGIN = 2
"""Native pixels around a window in which lines run where nobody sees them: a smoothed line is up to 3 pixels wide."""


def outline(
    picture: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    classes: int,
    thickness: int = 1,
    colour_of_all: tuple[int, int, int] | None = None,
    window: Window = WHOLE,
) -> None:
    """Draw the outlines of every class and its holes onto an RGB picture (h, w, 3) of any size, in place.

    Args:
        picture: uint8, of the pixels in ``window``.
        planes: Label planes (H, W, P) uint8 at native size.
        classes: C.
        thickness: Pixels of the picture.
        colour_of_all: Replaces the colour of each class.
        window: As of ``outline_mask``.
    """
    around, inside = _with_margin(window, planes.shape[:2])
    seen = np.ascontiguousarray(planes[around])
    colours = class_colours(classes) if colour_of_all is None else [colour_of_all] * classes
    for index, colour in enumerate(colours):
        outline_mask(picture, unpack_class(seen, index), colour, thickness, inside)


def outline_mask(
    picture: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    colour: tuple[int, int, int],
    thickness: int = 1,
    window: Window = WHOLE,
) -> None:
    """Draw the outlines of a mask (H, W) and its holes onto an RGB picture (h, w, 3) of any size, in place.

    ``window`` is the part of the mask that the picture shows, in native pixels. A mask that goes on beyond it has no
    line along the border of the window.
    """
    around, (rows, columns) = _with_margin(window, mask.shape)
    corner = np.array([columns.start, rows.start])
    scale = np.array([picture.shape[1] / (columns.stop - columns.start), picture.shape[0] / (rows.stop - rows.start)])
    seen = np.ascontiguousarray(mask[around], dtype=np.uint8)
    contours = cv2.findContours(seen, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]  # those of holes too
    scaled = [np.round((contour - corner + 0.5) * scale - 0.5).astype(np.int32) for contour in contours]
    cv2.polylines(picture, scaled, isClosed=True, color=colour, thickness=thickness, lineType=cv2.LINE_AA)


def frame(picture: NDArray[np.uint8], window: Window, size_hw: tuple[int, int], thickness: int = 1) -> None:
    """Draw a white frame around a window of an image onto an RGB picture (h, w, 3) of the whole image, in place.

    ``size_hw`` is the image's, in the pixels that ``window`` counts.
    """
    scales = (shown / whole for shown, whole in zip(picture.shape[:2], size_hw, strict=True))
    (top, bottom), (left, right) = (
        (int(side.start * scale), int(side.stop * scale)) for side, scale in zip(window, scales, strict=True)
    )
    cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), (255, 255, 255), thickness)


def _with_margin(window: Window, size_hw: Sequence[int]) -> tuple[Window, Window]:
    """Return a window with some pixels more on each side that is not the image's border, and its place in that."""
    around, inside = [], []
    for side, length in zip(window, size_hw, strict=True):
        start, stop, _ = side.indices(length)
        first = max(0, start - MARGIN)
        around.append(slice(first, min(length, stop + MARGIN)))
        inside.append(slice(start - first, stop - first))
    return (around[0], around[1]), (inside[0], inside[1])


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey or RGB image as a new RGB array."""
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image.copy()


def coloured(classes: Sequence[str]) -> list[tuple[str, tuple[int, int, int]]]:
    """Return each class with its colour."""
    return list(zip(classes, class_colours(len(classes)), strict=True))


def legend(width: int, names: Sequence[tuple[str, tuple[int, int, int]]]) -> NDArray[np.uint8]:
    """Return names in their RGB colours on black, (h, width, 3) uint8, in as many lines as they need."""
    lines = [np.zeros((CAPTION, width, 3), np.uint8)]
    left = 6
    for name, colour in names:
        needed = cv2.getTextSize(name, *FONT, 1)[0][0]
        if left > 6 and left + needed > width:
            lines.append(np.zeros_like(lines[0]))
            left = 6
        cv2.putText(lines[-1], name, (left, 15), *FONT, colour, 1, cv2.LINE_AA)
        left += needed + 14
    return np.vstack(lines)
