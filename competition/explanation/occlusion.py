"""Occlusion: how much a class loses when a grey square hides a part of the image.

It asks the network itself and makes no assumption about its layers, so it is a check on Grad-CAM; it costs a few
hundred predictions an image.

Reference:
    Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks, section 4.2.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

SQUARES_PER_SIDE = 8
"""Squares side by side along the long side of an image; they overlap by half."""
MOST_PIXELS = 1024**2
"""Pixels of the occluded copies that are predicted at once: 113 of 96x96, one of 1024x1024."""
MEAN_GREY = 0.0
"""The image's mean grey in the standardised input."""
DECIMALS = 6
"""Of a fall in probability: below them is the rounding of float32, which would give places without effect an order."""
LEAST_AGREEMENT = 0.3
"""Below this rank correlation, Grad-CAM and occlusion disagree."""

Answer = Callable[[torch.Tensor], torch.Tensor]
"""Images (P, channels, H, W) -> the numbers that are explained, (P, K): of each class one."""
Square = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True)
class Occlusion:
    """What was hidden, and what it cost.

    Attributes:
        squares: The places, row by row.
        drops: (n,) float64, by how much the answer fell; negative where hiding the place raised it.
        size_hw: Rows and columns of the image.
    """

    squares: tuple[Square, ...]
    drops: NDArray[np.float64]
    size_hw: tuple[int, int]

    def as_map(self) -> NDArray[np.float32]:
        """Return the mean drop of the squares that hide each pixel, (H, W) float32."""
        total, count = np.zeros(self.size_hw), np.zeros(self.size_hw)
        for square, drop in zip(self.squares, self.drops, strict=True):
            total[square] += drop
            count[square] += 1
        return (total / count).astype(np.float32)

    def means_of(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the mean of another map (H, W) within each square, (n,) float64."""
        return np.array([values[square].mean() for square in self.squares])


def occlude(
    answer: Answer, image: torch.Tensor, size_hw: tuple[int, int], advance: Callable[[], None]
) -> list[Occlusion]:
    """Slide a grey square over an image, half its side at a time, and note how far each of the K answers falls.

    Args:
        answer: The network, and what is explained.
        image: (channels, H, W) standardised.
        size_hw: Rows and columns of the image at the upper left of a padded canvas; only these are hidden.
        advance: Called after every square of ``squares_of``.
    """
    squares = squares_of(size_hw)
    at_once = max(1, MOST_PIXELS // (image.shape[-2] * image.shape[-1]))
    answers = []
    with torch.inference_mode():
        whole = answer(image[None])
        for first in range(0, len(squares), at_once):
            hidden = squares[first : first + at_once]
            copies = image.repeat(len(hidden), 1, 1, 1)
            for copy, (rows, columns) in zip(copies, hidden, strict=True):
                copy[:, rows, columns] = MEAN_GREY
            answers.append(answer(copies))
            for _ in hidden:
                advance()
        drops = (whole - torch.cat(answers)).double().cpu().numpy().round(DECIMALS)
    return [Occlusion(tuple(squares), of_class, size_hw) for of_class in drops.T]


def mean_occlusion(occlusions: Sequence[Occlusion]) -> Occlusion:
    """Return the mean over several networks, whose squares are the same."""
    first = occlusions[0]
    return Occlusion(first.squares, np.mean([one.drops for one in occlusions], axis=0), first.size_hw)


def squares_of(size_hw: tuple[int, int]) -> list[Square]:
    """Return the squares that cover an image, row by row: their side is an eighth of its long side.

    The last row and column of squares end at the image's edge, so every pixel is hidden by at least one.
    """
    side = max(2, round(max(size_hw) / SQUARES_PER_SIDE))
    starts = [sorted({*range(0, max(length - side, 0), side // 2), max(length - side, 0)}) for length in size_hw]
    return [(slice(top, top + side), slice(left, left + side)) for top, left in product(*starts)]


def agreement(maps: Sequence[NDArray[np.float32]], occlusions: Sequence[Occlusion]) -> float:
    """Return the rank correlation (Spearman) of Grad-CAM and occlusion over the squares of all views, -1 to 1.

    Falls below 0 count as 0, because Grad-CAM shows only what raises a class. On the synthetic hands that sets maps
    that find the bone (0.4 to 0.6) apart from maps of the background (-0.5 to 0.1).

    NaN where one of the two is the same everywhere, so that there is nothing to compare.

    Args:
        maps: (H, W) of each view, on the grid that was occluded.
        occlusions: Of the same views.
    """
    means = np.concatenate([occlusion.means_of(values) for values, occlusion in zip(maps, occlusions, strict=True)])
    drops = np.concatenate([np.maximum(occlusion.drops, 0) for occlusion in occlusions])
    if np.ptp(means) == 0 or np.ptp(drops) == 0:
        return float("nan")
    return float(spearmanr(means, drops).statistic)


def advice(correlation: float) -> str:
    """Return the sentence on a correlation of the two maps that is too low or undefined; "" for a good one."""
    if math.isnan(correlation):
        return "Grad-CAM or occlusion is empty, so they can't be compared: do not rely on the map"
    if correlation >= LEAST_AGREEMENT:
        return ""
    return "Grad-CAM and occlusion disagree: do not rely on the map"
