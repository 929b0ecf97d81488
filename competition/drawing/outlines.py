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


def outline(
    picture: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    classes: int,
    thickness: int = 1,
    colour_of_all: tuple[int, int, int] | None = None,
) -> None:
    """Draw the outlines of every class and its holes onto an RGB picture (h, w, 3) of any size, in place.

    ``planes`` are label planes (H, W, P) uint8 at native size. ``colour_of_all`` replaces the colour of each class.
    """
    scale = np.array([picture.shape[1] / planes.shape[1], picture.shape[0] / planes.shape[0]])
    colours = class_colours(classes) if colour_of_all is None else [colour_of_all] * classes
    for index, colour in enumerate(colours):
        mask = unpack_class(planes, index).astype(np.uint8)
        contours = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]  # those of holes too
        scaled = [np.round((contour + 0.5) * scale - 0.5).astype(np.int32) for contour in contours]
        cv2.polylines(picture, scaled, isClosed=True, color=colour, thickness=thickness, lineType=cv2.LINE_AA)


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
