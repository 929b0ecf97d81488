"""Pictures from disk, as unsigned bytes; a damaged file is an error that names it, never half a picture."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from competition.errors import CompetitionError

Image.MAX_IMAGE_PIXELS = 20_000 * 20_000  # an X-ray larger than Pillow's default limit is no attack


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Reads a PNG or JPEG as grey values.

    Sixteen-bit pictures are stretched from their own minimum and maximum to 0..255, because a 12-bit X-ray in a 16-bit
    file would come out black otherwise. Colour is turned to luminance.

    Args:
        path: The file.

    Returns:
        (H, W) uint8.

    Raises:
        CompetitionError: The file is missing, truncated or no picture.
    """
    picture = _decode(path)
    if picture.mode.startswith(("I", "F")):
        return stretch(np.asarray(picture, dtype=np.float64))
    return np.asarray(picture.convert("L"))


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Reads a picture as (H, W, 3) uint8; grey is repeated. Errors as ``read_grey``."""
    picture = _decode(path)
    if picture.mode.startswith(("I", "F")):
        return np.repeat(stretch(np.asarray(picture, dtype=np.float64))[..., None], 3, axis=2)
    return np.asarray(picture.convert("RGB"))


def read_values(path: Path) -> NDArray[np.integer]:
    """Reads a label picture's stored values: palette indices stay indices and nothing is stretched.

    Returns:
        (H, W) of the file's own integer type. Of colour files whose channels are equal, one channel.

    Raises:
        CompetitionError: As ``read_grey``, or the file has unequal colour channels (then no value is *the* label).
    """
    values = np.asarray(_decode(path))
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.ndim == 3:
        colour = values[..., : 1 if values.shape[2] == 2 else 3]  # what follows is opacity
        if not (colour == colour[..., :1]).all():
            raise CompetitionError("label picture is in colour, so its values name no class", path)
        values = np.ascontiguousarray(colour[..., 0])
    return values


def _decode(path: Path) -> Image.Image:
    try:
        picture = Image.open(path)
        picture.load()
    except FileNotFoundError as error:
        raise CompetitionError("image not found", path) from error
    except (OSError, SyntaxError, ValueError) as error:
        # Pillow reports broken chunks of a PNG as SyntaxError.
        raise CompetitionError(f"image can't be read ({str(error) or type(error).__name__})", path) from error
    return picture


def stretch(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Stretches a picture's own minimum and maximum to 0..255; a constant picture comes out black."""
    low, high = float(values.min()), float(values.max())
    if high == low:
        return np.zeros(values.shape, np.uint8)
    return np.round((values - low) * (255 / (high - low))).astype(np.uint8)
