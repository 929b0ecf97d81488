"""Sizes of decided masks, in pixels and mm, and how far folds agree on an image; needs no torch."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.masks.bit_planes import class_areas


@dataclass(frozen=True)
class MaskMeasures:
    """The size of one class's mask; lengths are None where the spacing is unknown or the mask is empty.

    Attributes:
        pixels: How many belong to the mask.
        area_mm2: Pixels times the area of one.
        equivalent_diameter_mm: Of the circle of that area.
        height_mm: Rows between the outermost pixels, both included, times the distance of rows.
        width_mm: Columns likewise.
        centroid_row: Mean row of the pixels, 0 for the first; None where the mask is empty.
        centroid_column: Mean column likewise.
    """

    pixels: int
    area_mm2: float | None = None
    equivalent_diameter_mm: float | None = None
    height_mm: float | None = None
    width_mm: float | None = None
    centroid_row: float | None = None
    centroid_column: float | None = None


def measure_mask(mask: NDArray[np.bool_], spacing_mm: tuple[float, float] | None) -> MaskMeasures:
    """Measure a mask (H, W) of an image whose pixel centres have a distance between rows and between columns."""
    by_row, by_column = (np.count_nonzero(mask, axis=axis) for axis in (1, 0))
    pixels = int(by_row.sum())
    if not pixels:
        return MaskMeasures(0)
    row, column = (float(counts @ np.arange(len(counts)) / pixels) for counts in (by_row, by_column))
    if spacing_mm is None:
        return MaskMeasures(pixels, centroid_row=row, centroid_column=column)
    height, width = (np.flatnonzero(counts) for counts in (by_row, by_column))
    area = pixels * spacing_mm[0] * spacing_mm[1]
    return MaskMeasures(
        pixels=pixels,
        area_mm2=area,
        equivalent_diameter_mm=2 * math.sqrt(area / math.pi),
        height_mm=float(height[-1] - height[0] + 1) * spacing_mm[0],
        width_mm=float(width[-1] - width[0] + 1) * spacing_mm[1],
        centroid_row=row,
        centroid_column=column,
    )


def mean_agreement(planes: NDArray[np.uint8], fold_dice: NDArray[np.float64]) -> float | None:
    """Return the mean Dice (C,) of the classes that have a pixel in label planes; None where none has."""
    present = (class_areas(planes, len(fold_dice)) > 0) & ~np.isnan(fold_dice)
    return float(fold_dice[present].mean()) if present.any() else None
