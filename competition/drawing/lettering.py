"""Text on pictures, in the font that Pillow carries and at any size."""

import unicodedata
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # without a size it would be a font of fixed pixels
    return font


def drawable(text: str) -> str:
    """Return a text with the characters that the font has: no accents, and "?" for other writing systems."""
    letters = (sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return "".join(sign if sign.isascii() else "?" for sign in letters)


def text_width(text: str, size: int) -> int:
    """Return how many columns a text takes at a size in pixels."""
    left, _, right, _ = _font(size).getbbox(drawable(text))
    return round(right - left)


def draw_text(
    picture: NDArray[np.uint8],
    text: str,
    at: tuple[int, int],
    size: int,
    colour: Colour,
    anchor: str = "lm",
    halo: int = 0,
) -> None:
    """Draw a text onto an RGB picture (h, w, 3), in place; what is outside of the picture is cut off.

    Args:
        picture: The picture, which may be a part of a larger array.
        text: See ``drawable``.
        at: Column and row of the anchor.
        size: Of the font in pixels.
        colour: RGB.
        anchor: Where the text lies from there, as Pillow names it: "lm" begins there, "mm" is centred, "rm" ends there.
        halo: Pixels of black around each letter, which keeps it readable on any picture.
    """
    text, font = drawable(text), _font(size)
    box = font.getbbox(text, anchor=anchor, stroke_width=halo)
    (column, row), (height, width) = at, picture.shape[:2]
    left, top = max(0, int(column + box[0]) - 1), max(0, int(row + box[1]) - 1)
    right, bottom = min(width, int(column + box[2]) + 2), min(height, int(row + box[3]) + 2)
    if left >= right or top >= bottom:
        return
    # Only the part under the text becomes an image of Pillow's, because a large picture would be copied each time.
    part = Image.fromarray(np.ascontiguousarray(picture[top:bottom, left:right]))
    ImageDraw.Draw(part).text(
        (column - left, row - top), text, colour, font, anchor=anchor, stroke_width=halo, stroke_fill=(0, 0, 0)
    )
    picture[top:bottom, left:right] = np.asarray(part)
