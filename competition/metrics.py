"""The scores, each from the smallest thing that determines it: whole-number counts for Dice, ranks for AUROC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from competition.imaging.planes import check_planes


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


def mean_by_stratum(values: ArrayLike, strata: Sequence[str]) -> dict[str, float]:
    """The mean of each kind of picture.

    Args:
        values: (n,) one score per image.
        strata: (n,) the stratum of each image.

    Returns:
        Stratum -> mean, in alphabetical order.

    Raises:
        ValueError: Not one stratum per value.
    """
    scores, names = np.asarray(values, dtype=np.float64), np.asarray(strata)
    if scores.shape != names.shape:
        raise ValueError(f"{scores.size} values of {names.size} strata")
    return {str(name): float(scores[names == name].mean()) for name in np.unique(names)}


def reweighted_mean(values: ArrayLike, strata: Sequence[str], mix: Mapping[str, float]) -> float | None:
    """What the mean would be if the strata had other shares: the sum over strata of share * mean of the stratum.

    (Post-stratification: Cochran, Sampling Techniques, ch. 5A.9.)

    Args:
        values: (n,) one score per image.
        strata: (n,) the stratum of each image; one of which it is not known, or none of the mix, does not count.
        mix: Stratum -> its share where the score is to hold; the shares sum to 1.

    Returns:
        The mean, or None where a stratum of the mix has no image here.
    """
    means = mean_by_stratum(values, strata)
    if not set(mix) <= set(means):
        return None
    return float(sum(share * means[name] for name, share in mix.items()))


def auroc(truth: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties counting half.

    Args:
        truth: (n,) 0 or 1.
        score: (n,) float, higher means more likely positive.

    Returns:
        0 to 1; nan where the truth holds one class only, because then there is no pair to rank.
    """
    labels = np.asarray(truth)
    if np.unique(labels).size < 2:
        return float("nan")
    # Here, because scikit-learn takes a second to import, and training a segmentation does not need it.
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, np.asarray(score)))


def accuracy(truth: ArrayLike, decision: ArrayLike) -> float:
    """The share of equal entries of two arrays of one shape.

    Raises:
        ValueError: Different shapes, or nothing to compare.
    """
    expected, given = np.asarray(truth), np.asarray(decision)
    if expected.shape != given.shape or not expected.size:
        raise ValueError(f"accuracy compares two filled arrays of one shape, not {expected.shape} and {given.shape}")
    return float((expected == given).mean())


def pixel_accuracy(truth_mask: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """The share of pixels on which two masks agree, background included.

    Raises:
        ValueError: Different sizes, or no pixels.
    """
    return accuracy(truth_mask, mask)


def f1(truth: ArrayLike, decision: ArrayLike) -> float:
    """F1 = 2 TP / (2 TP + FP + FN) of 0/1 vectors; 0 where neither holds a positive, as scikit-learn has it.

    Raises:
        ValueError: Different shapes.
    """
    expected, given = np.asarray(truth, dtype=np.bool_), np.asarray(decision, dtype=np.bool_)
    if expected.shape != given.shape:
        raise ValueError(f"F1 compares two vectors of one shape, not {expected.shape} and {given.shape}")
    positives = int(expected.sum()) + int(given.sum())
    return 2 * int((expected & given).sum()) / positives if positives else 0.0


@dataclass(frozen=True)
class AneurysmScore:
    """What the aneurysm competition counts, and what it means.

    Attributes:
        auroc: Of the first column, aneurysm or not. It ranks first.
        accuracy: Of the locations: 1 - mean |truth - output|. A probability p costs |truth - p|.
        all_zero_accuracy: What saying "no aneurysm anywhere" scores; about 0.97, so that accuracy alone says little.
        cells_gained: How many location entries (rows x locations) better than all zeros; negative where worse.
        location_aurocs: AUROC of each location in column order; nan where it never or always occurs.
    """

    auroc: float
    accuracy: float
    all_zero_accuracy: float
    cells_gained: float
    location_aurocs: tuple[float, ...]


def score_aneurysm(truth: NDArray[np.integer], outputs: NDArray[np.floating | np.integer]) -> AneurysmScore:
    """Scores aneurysm predictions as the organisers' script does, without rounding.

    Args:
        truth: (n, 22) 0 or 1: aneurysm, then the 21 locations.
        outputs: (n, 22) in the same order of rows and columns: probabilities, or 0/1 decisions for the locations.

    Returns:
        The score.

    Raises:
        ValueError: Different shapes, or no location columns.
    """
    if truth.shape != outputs.shape or truth.ndim != 2 or truth.shape[1] < 2 or not len(truth):
        raise ValueError(f"truth and outputs are (samples, 1 + locations) alike, not {truth.shape} and {outputs.shape}")
    locations = truth[:, 1:].astype(np.float64)
    wrong = float(np.abs(locations - outputs[:, 1:]).sum())
    wrong_all_zero = float(locations.sum())
    return AneurysmScore(
        auroc=auroc(truth[:, 0], outputs[:, 0]),
        accuracy=1 - wrong / locations.size,
        all_zero_accuracy=1 - wrong_all_zero / locations.size,
        cells_gained=wrong_all_zero - wrong,
        location_aurocs=tuple(auroc(truth[:, column], outputs[:, column]) for column in range(1, truth.shape[1])),
    )
