"""The scores, each from the smallest thing that determines it: whole-number counts for Dice, ranks for AUROC."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from competition.masks.bit_planes import check_planes


def dice(intersection: ArrayLike, area_a: ArrayLike, area_b: ArrayLike) -> NDArray[np.float64]:
    """Dice = 2 |A and B| / (|A| + |B|) from pixel counts.

    Counts from dense masks, label planes or run lengths are the same whole numbers, so all three give the same score,
    with none of the smoothing terms that move it. Two empty masks agree: 1.

    Args:
        intersection: Pixels in both, any shape.
        area_a: Pixels in the one.
        area_b: Pixels in the other.

    Returns:
        float64 of the common shape.

    Raises:
        ValueError: Counts that no two masks can have (an intersection larger than an area, or below 0).
    """
    both, one, other = (np.asarray(count, dtype=np.int64) for count in (intersection, area_a, area_b))
    if (both < 0).any() or (both > one).any() or (both > other).any():
        raise ValueError("an intersection is at least 0 and at most the smaller of the two areas")
    total = one + other
    return np.where(total == 0, 1.0, 2.0 * both / np.maximum(total, 1))


def pooled_dice(intersection: ArrayLike, area_a: ArrayLike, area_b: ArrayLike) -> NDArray[np.float64]:
    """Dice of all samples taken together: counts are summed over axis 0 (samples) before they are divided.

    Args:
        intersection: (samples, ...) pixels in both, for instance (samples, classes).
        area_a: Likewise, pixels in the one.
        area_b: Likewise, pixels in the other.

    Returns:
        float64, one score per class.

    Raises:
        ValueError: Counts that no masks can have.
    """
    both, one, other = (np.asarray(count, dtype=np.int64).sum(axis=0) for count in (intersection, area_a, area_b))
    return dice(both, one, other)


def measured_mean(values: NDArray[np.float64], present: NDArray[np.bool_]) -> float:
    """Returns the mean Dice over images and those classes that occur in the truth of any of them.

    The Dice of two empty masks is 1, so a class that occurs nowhere would lift the mean without saying anything.

    Args:
        values: float64 (n, C), one score per image and class.
        present: bool (n, C), whether the class occurs in the image's truth.

    Returns:
        The mean, NaN where no class occurs.
    """
    return float(measured(values, present).mean()) if present.any() else float("nan")


def measured(values: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns the columns of the classes that occur in the truth of any image; arguments as ``measured_mean``."""
    occurs = present.any(axis=0)
    return values if occurs.all() else values[:, occurs]


def false_positive_owners(
    decided: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts to whom the pixels belong that each class claims wrongly: an index finger seen in a ring finger, say.

    Args:
        decided: Label planes uint8 (H, W, ceil(C / 8)).
        truth: Label planes of the truth, of the same shape.
        classes: C.

    Returns:
        int64 (C, C + 1): entry (c, d) is how many false-positive pixels of class c lie in class d; the last column is
        how many lie in no class. A pixel where two classes overlap belongs to both. And int64 (C,), all false-positive
        pixels of each class.

    Raises:
        ValueError: Different sizes, or planes that don't fit the number of classes.
    """
    if decided.shape != truth.shape:
        raise ValueError(f"label planes of different sizes: {decided.shape} and {truth.shape}")
    check_planes(truth, classes)
    wrong = decided & ~truth
    somewhere = wrong.any(axis=2)  # few pixels, so that their bits can be unpacked
    claimed, owned = (
        np.unpackbits(planes[somewhere], axis=1, count=classes, bitorder="little").astype(np.float64)
        for planes in (wrong, truth)
    )
    nobody = ~owned.any(axis=1, keepdims=True)
    # Whole numbers below 2^53, so products of floats are exact: 9 ms for 42,000 pixels, where integers take 246 ms.
    counts = claimed.T @ np.concatenate([owned, nobody], axis=1)
    return counts.astype(np.int64), claimed.sum(axis=0).astype(np.int64)
