"""Probability maps kept on the grid they were predicted on, and brought to native size a class at a time.

Of an image of 12,000 x 12,000 pixels a map of 29 classes at native size takes 4.2 GB, and a member and each of its
folds have one. On a grid of 512 pixels it takes 30 MB, and the class in work 144 MB.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.data.boxes import Box

# A float32 map of 29x2048x2048 is 486 MB; brought to native size in pieces of this many pixels it never exists whole. A
# processor's cache holds a piece of 4 MB: 29x1024x1024 takes a third less time than in pieces of 64 MB.
NATIVE_CHUNK_PIXELS = 1024**2

ToNative = Callable[[Any, tuple[int, int]], NDArray[np.uint8]]
"""Probabilities (C, h, w) float32, size (H, W) -> map values (C, H, W): ``native_size.to_native``, or that of an
exported model, which has no torch."""


class GridMap:
    """A map of ``shape`` (C, H, W) that has exactly the values of ``predict_map``, read by class and tile."""

    def __init__(self, probs: Any, box: Box, size_hw: tuple[int, int], to_native: ToNative) -> None:
        """Keep probabilities (C, h, w) float32 of the part ``box`` of an image of ``size_hw``; nothing is resized yet.

        Outside of the box the map is 0. The probabilities are an array of the kind that ``to_native`` takes.
        """
        self.shape = (probs.shape[0], *size_hw)
        self._probs = probs
        self._box = box
        self._to_native = to_native
        self._first = -1
        self._piece = np.empty((0, 0, 0), np.uint8)

    @property
    def sharpest_hw(self) -> tuple[int, int]:
        """Return the image's size (H, W) at which a pixel is one of the map's grid; at most the native one."""
        sides = zip(self.shape[1:], self._probs.shape[1:], self._box.size_hw, strict=True)
        height, width = (min(side, round(side * grid / own)) for side, grid, own in sides)
        return height, width

    def at_size(self, size_hw: tuple[int, int]) -> "GridMap":
        """Return the map of the same image at another size; its box grows to whole pixels there."""
        tops = (self._box.top, self._box.left)
        ends = (self._box.bottom, self._box.right)
        sides = list(zip(size_hw, self.shape[1:], strict=True))
        top, left = (at * new // old for at, (new, old) in zip(tops, sides, strict=True))
        bottom, right = (-(-at * new // old) for at, (new, old) in zip(ends, sides, strict=True))
        return GridMap(self._probs, Box(top, left, bottom, right), size_hw, self._to_native)

    def __getitem__(self, part: tuple[int, slice, slice]) -> NDArray[np.uint8]:
        """Return rows and columns of one class, uint8 (h, w)."""
        index, rows, columns = part
        at_once = classes_at_once(self._box.size_hw)
        first = index - index % at_once
        if first != self._first:
            # The pieces of ``to_native``, so that the values are the same to the last digit.
            self._piece, self._first = self._native(self._probs[first : first + at_once]), first
        return self._piece[index - first, rows, columns]

    def _native(self, probs: Any) -> NDArray[np.uint8]:
        values = self._to_native(probs, self._box.size_hw)
        if self._box.size_hw == self.shape[1:]:
            return values
        pasted = np.zeros((len(values), *self.shape[1:]), np.uint8)
        pasted[:, *self._box.window] = values
        return pasted


def classes_at_once(size_hw: tuple[int, int]) -> int:
    """Return how many classes of an image of this size are brought to native size in one piece."""
    return max(1, NATIVE_CHUNK_PIXELS // (size_hw[0] * size_hw[1]))
