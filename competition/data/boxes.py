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
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def window(self) -> tuple[slice, slice]:
        """Return what picks the box out of an array whose first axes are rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def box_around(mask: NDArray[np.bool_], margin: float) -> Box | None:
    """Return the box around the largest component (8 neighbours) of a mask: a stray pixel must not stretch it.

    Args:
        mask: (H, W).
        margin: Added on every side, as a share of the component's rows and columns; cut off at the image's borders.

    Returns:
        The box, or None where the mask is empty.
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
    """Says how large boxes are, and names the smallest, which shows a first stage that went astray."""
    smallest = min(boxes, key=lambda sample: math.prod(boxes[sample].size_hw))
    rows, columns = np.median([box.size_hw for box in boxes.values()], axis=0).astype(int)
    least = size_text(boxes[smallest].size_hw)
    median = f"{rows}x{columns} (rows x columns; median of {len(boxes)})"
    return f"looks at boxes of {median}, the smallest {least} ({smallest})"
