"""How far the folds of a vote differ on an image: where, and by how much of each class's mask."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from competition.masks.bit_planes import unpack_class

ROWS = 512
"""Rows in work at once: the maps of five folds of 12,000 x 12,000 pixels would take 2.9 GB as float32."""


def find_disagreement(
    folds_of: Callable[[int], Sequence[NDArray[np.uint8]]], voted: NDArray[np.uint8], levels: Sequence[int]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Compare the folds with each other and with their vote, all on one grid (H, W).

    Args:
        folds_of: Class -> the probability map (H, W) uint8 of each fold that votes on it.
        voted: Label planes (H, W, ceil(C / 8)) of the vote, before post-processing.
        levels: (C,) of the decision.

    Returns:
        (H, W) uint8, the standard deviation (divisor n) of the folds' probabilities, the largest of all classes; 0.5,
        its largest possible value, is 255. And (C,) float64, the mean Dice of each fold's own mask (above the class's
        level) with the vote's: 1 where a fold agrees that nothing is there, NaN where all do.
    """
    largest = np.zeros(voted.shape[:2], np.uint8)
    dice = np.full(len(levels), np.nan)
    for index, level in enumerate(levels):
        maps = folds_of(index)
        mask = unpack_class(voted, index)
        shared, sizes = np.zeros(len(maps), np.int64), np.zeros(len(maps), np.int64)
        for part in _parts(maps):
            stack = np.stack([values[part] for values in maps])
            # Twice the deviation of levels 0..255, which is at most 127.5.
            spread = np.round(2 * stack.std(axis=0, dtype=np.float32)).astype(np.uint8)
            np.maximum(largest[part], spread, out=largest[part])
            above = stack > level
            sizes += np.count_nonzero(above, axis=(1, 2))
            shared += np.count_nonzero(above & mask[part], axis=(1, 2))
        totals = sizes + np.count_nonzero(mask)
        if totals.any():
            dice[index] = np.mean(np.where(totals > 0, 2 * shared / np.maximum(totals, 1), 1.0))
    return largest, dice


def _parts(maps: Sequence[NDArray[np.uint8]]) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns in which any map is above 0, some rows at a time: where all are 0, none differs."""
    filled = [(values.any(axis=1), values.any(axis=0)) for values in maps]
    rows, columns = (np.flatnonzero(np.any(ends, axis=0)) for ends in zip(*filled, strict=True))
    if len(rows):
        for top in range(rows[0], rows[-1] + 1, ROWS):
            yield slice(top, min(top + ROWS, rows[-1] + 1)), slice(columns[0], columns[-1] + 1)
