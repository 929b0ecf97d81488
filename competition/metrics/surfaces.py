"""Distances between the outlines of two masks: Hausdorff, its 95th percentile, and the surface Dice.

The outline of a mask is its pixels that have a neighbour (of 4) outside it; what lies outside the image is outside the
mask. Distances are those of pixel centres, in float64, to the nearest pixel of the other outline. They are taken slice
by slice (2D): where slices make up a volume, neighbouring slices are not looked at.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Spacing = Sequence[float]
"""Distance of pixel centres between rows and between columns."""
PIXELS = (1.0, 1.0)
"""Spacing where distances are counted in pixels."""
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=np.uint8)


def outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return rows and columns (n, 2) of the outline of a mask (H, W), found within its box."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.empty((0, 2))
    box = np.ascontiguousarray(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    inner = cv2.erode(box.view(np.uint8), _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    found = np.argwhere(box & (np.asarray(inner) == 0)).astype(np.float64)
    corner = np.array([rows[0], columns[0]], dtype=np.float64)
    return np.asarray(found + corner, dtype=np.float64)


def outline_distances(
    one: NDArray[np.bool_], other: NDArray[np.bool_], spacing: Spacing = PIXELS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distance from each outline pixel of each of two masks (H, W) to the other's outline, (n,) and (m,).

    It is infinite where the other mask is empty. Trees of the outlines' points are exact for any spacing: for discs of
    360 pixels in 1024x1024 they take 3 ms, distance transforms of the whole image 130.
    """
    scale = np.asarray(spacing, dtype=np.float64)
    first, second = outline(one) * scale, outline(other) * scale
    if not len(first) or not len(second):
        return np.full(len(first), np.inf), np.full(len(second), np.inf)
    return KDTree(second).query(first)[0], KDTree(first).query(second)[0]


def hausdorff_distance(
    one: NDArray[np.bool_], other: NDArray[np.bool_], percentile: float = 100, spacing: Spacing = PIXELS
) -> float:
    """Return the larger of the two directed Hausdorff distances of two masks (H, W).

    (Huttenlocher et al., IEEE TPAMI 15, 1993; the percentile of each direction as MONAI's ``HausdorffDistanceMetric``.)

    Args:
        one: A mask.
        other: A mask.
        percentile: Of the distances of each direction, linearly interpolated; 100 is the largest.
        spacing: Of the pixels.

    Returns:
        The distance in the unit of the spacing; 0 for two empty masks, infinite where one of them is empty.
    """
    there, back = outline_distances(one, other, spacing)
    if not len(there) and not len(back):
        return 0.0
    if not len(there) or not len(back):
        return float("inf")
    return float(max(np.percentile(there, percentile), np.percentile(back, percentile)))


def hausdorff_score(
    one: NDArray[np.bool_], other: NDArray[np.bool_], percentile: float = 100, spacing: Spacing = PIXELS
) -> float:
    """Return 1 less the Hausdorff distance over the image's diagonal; 0 where one mask is empty, nan where both are."""
    distance = hausdorff_distance(one, other, percentile, spacing)
    if np.isinf(distance):
        return 0.0
    diagonal = float(np.hypot(one.shape[0] * spacing[0], one.shape[1] * spacing[1]))
    return float("nan") if not one.any() else 1 - distance / diagonal


def surface_dice(
    one: NDArray[np.bool_], other: NDArray[np.bool_], tolerance: float, spacing: Spacing = PIXELS
) -> float:
    """Return the share of both outlines that lies within a tolerance of the other; nan where both masks are empty.

    (Nikolov et al., J Med Internet Res 23, 2021; outline pixels are counted, as MONAI's ``SurfaceDiceMetric`` does.)
    """
    there, back = outline_distances(one, other, spacing)
    if not len(there) + len(back):
        return float("nan")
    return float((there <= tolerance).sum() + (back <= tolerance).sum()) / (len(there) + len(back))
