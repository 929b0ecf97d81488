"""Boxes: the part of an image that the second of two stages looks at."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.text import size_text


@dataclass(frozen=True)
class Box:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of an image at native size, the ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size_hw(self) -> tuple[int, int]:
        """Return rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def window(self) -> tuple[slice, slice]:
        """Return the slices of the box in an array whose first axes are rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def box_around(mask: NDArray[np.bool_], margin: float) -> Box | None:
    """Return the box around the largest component (8 neighbours) of a mask (H, W), None where the mask is empty.

    ``margin`` is added on every side as a share of the component's rows and columns, up to the image's borders. A stray
    pixel does not stretch the box.
    """
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if len(stats) == 1:  # the background alone
        return None
    left, top, columns, rows = stats[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), :4].tolist()
    beside, above = round(margin * columns), round(margin * rows)
    return Box(
        top=max(0, top - above),
        left=max(0, left - beside),
        bottom=min(mask.shape[0], top + rows + above),
        right=min(mask.shape[1], left + columns + beside),
    )


def describe_boxes(boxes: Mapping[str, Box]) -> str:
    """Return how large boxes are, and the smallest, which reveals a first stage that failed."""
    smallest = min(boxes, key=lambda sample: math.prod(boxes[sample].size_hw))
    rows, columns = np.median([box.size_hw for box in boxes.values()], axis=0).astype(int)
    least = size_text(boxes[smallest].size_hw)
    median = f"{rows}x{columns} (rows x columns; median of {len(boxes)})"
    return f"looks at boxes of {median}, the smallest {least} ({smallest})"
