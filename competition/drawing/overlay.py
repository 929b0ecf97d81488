"""The overlay of an image: outlines, the number of each class on its mask, and a key of the numbers beside it."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.drawing.class_key import PAPER, KeyLayout, KeyRow, draw_key
from competition.drawing.class_numbers import draw_class_numbers
from competition.drawing.lettering import Colour
from competition.drawing.outlines import class_colours, outline
from competition.masks.bit_planes import class_areas
from competition.masks.objects import Objects, separated_planes

SHOWN_SIDE = 900
"""A smaller image is enlarged by the whole number that brings its longer side nearest to this many pixels: numbers on
the bones of a hand of 128 pixels would cover them."""
PIXELS_PER_LINE = 700
"""Outlines of a picture shown on a screen stay visible where they have a pixel for so many of its long side."""
PIXELS_PER_LETTER = 66
"""Likewise the height of letters, which is at least ``SMALLEST_LETTERS``."""
SMALLEST_LETTERS = 15
LANDSCAPE = 1.4
"""The key is below an image that is so many times wider than high, else on its right."""


def draw_overlay(
    image: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    classes: Sequence[str],
    spacing_mm: tuple[float, float] | None,
    objects: Objects | None = None,
) -> NDArray[np.uint8]:
    """Draw what was found in an image.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        planes: Label planes (H, W, ceil(C / 8)) uint8.
        classes: (C,) names.
        spacing_mm: Distance of pixel centres between rows and between columns: sizes are areas in mm2; None: in pixels.
        objects: Those of the masks, each with an outline of its own; None where masks are not split.

    Returns:
        RGB (h, w, 3) uint8; the image is in its top left, enlarged by a whole number.
    """
    areas = class_areas(planes, len(classes)).tolist()
    palette = class_colours(len(classes))
    colours = {index: palette[index] for index, area in enumerate(areas) if area}
    factor = max(1, round(SHOWN_SIDE / max(image.shape[:2])))
    height, width = (factor * side for side in image.shape[:2])
    letters = max(SMALLEST_LETTERS, round(max(height, width) / PIXELS_PER_LETTER))
    layout = KeyLayout(_key_rows(areas, classes, colours, spacing_mm), letters)
    below = width > LANDSCAPE * height
    columns = layout.columns_below(width) if below else layout.columns_beside(height)
    key_h, key_w = layout.size_hw(columns)
    shape = (height + key_h, max(width, key_w)) if below else (max(height, key_h), width + key_w)
    # Drawn in parts of one array: that of 12,000 x 12,000 pixels takes half a gigabyte.
    canvas = np.full((*shape, 3), PAPER, np.uint8)
    picture = canvas[:height, :width]
    shown = image if factor == 1 else cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    picture[:] = shown if shown.ndim == 3 else shown[..., None]
    drawn = planes if objects is None else separated_planes(objects, len(classes))
    outline(picture, drawn, len(classes), max(1, round(max(height, width) / PIXELS_PER_LINE)))
    draw_class_numbers(picture, planes, palette, letters)
    draw_key(canvas[height:] if below else canvas[:, width:], layout, columns)
    return canvas


def _key_rows(
    areas: Sequence[int], classes: Sequence[str], colours: dict[int, Colour], spacing_mm: tuple[float, float] | None
) -> list[KeyRow]:
    """Return a line for each class that was found, and how many were not."""
    rows = [
        KeyRow(str(index + 1), classes[index], _size(areas[index], spacing_mm), colour)
        for index, colour in colours.items()
    ]
    if not rows:
        return [KeyRow("", "no class found")]
    if len(rows) < len(classes):
        rows.append(KeyRow("", f"not found: {len(classes) - len(rows)} of {len(classes)}"))
    return rows


def _size(pixels: int, spacing_mm: tuple[float, float] | None) -> str:
    if spacing_mm is None:
        return f"{pixels:,} px"
    area = pixels * spacing_mm[0] * spacing_mm[1]
    return f"{area:,.0f} mm2" if area >= 100 else f"{area:.1f} mm2"
