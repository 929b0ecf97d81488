"""Preprocessing: filters of every image, in training and at inference alike.

Filters of single pixels, or of shares of the image, work at native size, before the image is brought to the training
grid. Sharpness works on the training grid: what it adds to edges of single pixels at 2048 is averaged away at 512,
where it moves a grey value by 0.1 instead of 0.5 on average. It is applied before an image is augmented and cut to
crops or tiles, so it is always that of the whole image. (A network is trained on a finer grid than it predicts on;
``grid.picture_on_grid`` gives the same image on both.)
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from competition.errors import CompetitionError
from competition.text import nearest_hint

Picture = NDArray[np.uint8]
"""(H, W) or (H, W, 3) uint8."""

CLAHE_CLIP_LIMIT = 2.0  # 4.0 lowered the score of the team that tried both
CLAHE_TILES = (8, 8)
_SQUARES = np.rint((np.arange(256) / 255) ** 2 * 255).astype(np.uint8)


def _doubled(enhancer: Callable[[Image.Image], Any], picture: Picture) -> Picture:
    return np.asarray(enhancer(Image.fromarray(picture)).enhance(2.0))


def _clahe(picture: Picture) -> Picture:
    """Equalise the histogram adaptively with limited contrast; of a colour image only the lightness.

    At native size: its tiles are shares of the image, so the grid makes no difference.
    """
    equalise = cv2.createCLAHE(CLAHE_CLIP_LIMIT, CLAHE_TILES)
    if picture.ndim == 2:
        return np.asarray(equalise.apply(picture), dtype=np.uint8)
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)
    lab[..., 0] = equalise.apply(lab[..., 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), dtype=np.uint8)


PREPROCESSINGS: dict[str, Callable[[Picture], Picture]] = {
    # Twice the image minus its 3x3 average, the outermost pixels as they are.
    "sharpness": partial(_doubled, ImageEnhance.Sharpness),
    # Double the distance of every pixel from the image's mean grey, from 0, or from its own grey.
    "contrast": partial(_doubled, ImageEnhance.Contrast),
    "brightness": partial(_doubled, ImageEnhance.Brightness),
    "saturation": partial(_doubled, ImageEnhance.Color),
    # Square the values, as a share of 255: dark parts get darker.
    "gamma": lambda picture: np.asarray(_SQUARES[picture]),
    "clahe": _clahe,
    "invert": lambda picture: 255 - picture,
    # Stained tissue becomes dark with bright nuclei, as fluorescence is: on 9 images, 2 of them stained, the Dice of a
    # network that learned from 36 images, 7 of them stained, rises from 0.78 to 0.90.
    "invert_bright": lambda picture: 255 - picture if picture.mean() > 127.5 else picture,
    # The middle value of every 3x3 window, against noise of single pixels. At native size, because on a training grid
    # of some 100 or 200 pixels it would erase vessels one pixel wide.
    "median": lambda picture: np.asarray(cv2.medianBlur(np.ascontiguousarray(picture), 3), dtype=np.uint8),
}

# Those that look at the neighbours on the training grid.
ON_TRAINING_GRID = {"sharpness"}


def by_grid(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split preprocessings into those at native size and those on the training grid.

    They keep their order, so all that follow the first one on the training grid are applied there too.
    """
    first = next((place for place, name in enumerate(names) if name in ON_TRAINING_GRID), len(names))
    return tuple(names[:first]), tuple(names[first:])


def check_preprocessing(names: Sequence[str]) -> None:
    """Reject names that are not in ``PREPROCESSINGS``."""
    for name in names:
        if name not in PREPROCESSINGS:
            raise CompetitionError(f"unknown preprocessing {name!r}{nearest_hint(name, list(PREPROCESSINGS))}")


def preprocess(picture: Picture, names: Sequence[str]) -> Picture:
    """Apply preprocessings to an image (H, W) or (H, W, 3) uint8, in order; the image itself is not changed."""
    for name in names:
        picture = PREPROCESSINGS[name](picture)
    return picture
