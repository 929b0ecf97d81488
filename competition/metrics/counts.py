"""Count metrics: Dice, IoU and F-beta from whole-number pixel counts, whatever counted them.

Counts from dense masks, label planes or run lengths are the same whole numbers, so all three give the same score, with
none of the smoothing terms that move it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from competition.masks.bit_planes import check_planes
from competition.metrics.class_weights import ClassWeights, class_means, weigh_classes
from competition.metrics.ratios import Ratios, divide

Tuned = Literal["exactly", "by re-ranking", "scored only"]
"""How a decision is tuned for a metric: exactly, among the best few that a count metric proposes, or not at all."""
Bounds = tuple[float, float]
"""The worst and the best score that a metric can have."""
Unit = Literal["image", "group", "all"]
Empty = Literal[0, 1, "skip"]
Counts = NDArray[np.float64]
"""Whole numbers below 2^53, which float64 holds exactly."""

Formula = Callable[[Counts, Counts, Counts], tuple[Counts, Counts]]
"""Pixels in both, predicted pixels, true pixels -> numerator and denominator of the score, of one shape."""


@dataclass(frozen=True)
class CountMetric:
    """A score that follows from the pixels of prediction, truth and both: 1 is best, 0 is worst."""

    name: str  # as a track or YAML names it: "dice"
    label: str  # as tables and messages call it: "Dice"
    formula: Formula
    # What is scored by itself before the mean over units is taken: an image, all images of a group (a person), or all
    # images together (pooled).
    unit: Unit = "image"
    empty: Empty = 1  # score of a unit where neither the truth nor the prediction has a pixel; "skip" leaves it out
    weights: ClassWeights | None = None  # of the classes in their mean; None where all count alike

    tuned: ClassVar[Tuned] = "exactly"
    bounds: ClassVar[Bounds] = (0, 1)

    def ratios(self, both: ArrayLike, predicted: ArrayLike, truth: ArrayLike) -> Ratios:
        """Return the ratios whose sums give the score of any set of units.

        Args:
            both: Pixels in prediction and truth, (n, C) or (n, C, K): n units (see ``pool``), C classes.
            predicted: Predicted pixels, likewise.
            truth: True pixels, likewise; all three are broadcast together.

        Raises:
            ValueError: Counts that no two masks can have (an intersection larger than an area, or below 0).
        """
        numerators, denominators = self.formula(*checked_counts(both, predicted, truth))
        # With "skip" a class that no unit has scores alike at every threshold, so it decides nothing; ``score`` leaves
        # it out, and so does the score of a submission.
        nothing = 1.0 if self.empty == "skip" else float(self.empty)
        if self.unit == "all":
            return Ratios(numerators, denominators, nothing)
        if self.empty != "skip":
            return Ratios(divide(numerators, denominators, nothing))
        return Ratios(divide(numerators, denominators, 0.0), (denominators > 0).astype(np.float64), nothing)

    def score(self, counts: NDArray[np.int64], groups: Sequence[str]) -> float:
        """Return the mean score over units and those classes that occur in the truth of any of them.

        Args:
            counts: int64 (n, 3, C) of images: pixels in both, predicted pixels, true pixels.
            groups: (n,) the group of each image.

        Returns:
            The score; nan where no class occurs.
        """
        pooled = self.pool(counts, groups)
        values = self.ratios(*np.moveaxis(pooled, 1, 0)).values()
        return measured_mean(values, pooled[:, 2] > 0, self.class_weights)

    @property
    def class_weights(self) -> NDArray[np.float64] | None:
        """Return the weight of each class, (C,); None where all count alike."""
        return None if self.weights is None else self.weights.array

    def for_classes(self, classes: Sequence[str]) -> "CountMetric":
        """Return the metric of a track with these classes, whose weights are in their order."""
        return self if self.weights is None else replace(self, weights=self.weights.ordered(classes))

    @property
    def skips(self) -> bool:
        """Return whether units where neither side has a pixel are left out."""
        return self.empty == "skip"

    @property
    def is_mean_over_images(self) -> bool:
        """Whether the score is the plain mean of every image's own score, so that it can be split by kind of image."""
        return self.unit == "image" and not self.skips

    @property
    def title(self) -> str:
        """Return the metric in a few words: "mean Dice", "mean Dice per group" or, of all images, "pooled Dice"."""
        kinds = {"image": "mean {}", "group": "mean {} per group", "all": "pooled {}"}
        return kinds[self.unit].format(self.label)

    @property
    def key(self) -> str:
        """Return the metric with its options, as a decision records it: "F2, unit group, empty skip"."""
        return f"{self.label}, unit {self.unit}, empty {self.empty}" + (f", {self.weights}" if self.weights else "")

    def pool(self, counts: NDArray[np.int64], groups: Sequence[str]) -> NDArray[np.int64]:
        """Return the counts of units: of images as they are, of groups summed over the images of each.

        Args:
            counts: int64 (n, ...), of images.
            groups: (n,) the group of each image.

        Returns:
            int64 (units, ...); groups in the order of their first image.
        """
        if self.unit != "group":
            return counts
        unit_of, units = self.units(groups)
        pooled = np.zeros((len(units), *counts.shape[1:]), dtype=np.int64)
        np.add.at(pooled, unit_of, counts)
        return pooled

    def units(self, groups: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the unit of each image and the first image of each unit.

        Args:
            groups: (n,) the group of each image.

        Returns:
            int64 (n,) positions of units, and int64 (units,) positions of images.
        """
        if self.unit != "group":
            return np.arange(len(groups)), np.arange(len(groups))
        _, first, unit_of = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
        order = np.argsort(first)
        return np.argsort(order)[unit_of], first[order]


def checked_counts(both: ArrayLike, predicted: ArrayLike, truth: ArrayLike) -> tuple[Counts, Counts, Counts]:
    """Return counts as arrays of one shape.

    Raises:
        ValueError: Counts that no two masks can have (an intersection larger than an area, or below 0).
    """
    whole = (np.asarray(count, dtype=np.int64).astype(np.float64) for count in (both, predicted, truth))
    shared, one, other = np.broadcast_arrays(*whole)
    if (shared < 0).any() or (shared > one).any() or (shared > other).any():
        raise ValueError("an intersection is at least 0 and at most the smaller of the two areas")
    return shared, one, other


@dataclass(frozen=True)
class FBetaFormula:
    """F-beta = (1 + beta^2) TP / ((1 + beta^2) TP + beta^2 FN + FP): 1 is Dice, 2 weighs recall higher.

    (van Rijsbergen, Information Retrieval, 1979.)
    """

    beta: float

    def __call__(self, both: Counts, predicted: Counts, truth: Counts) -> tuple[Counts, Counts]:
        """Return numerator and denominator."""
        squared = float(self.beta) ** 2
        return (1 + squared) * both, squared * truth + predicted


def iou_formula(both: Counts, predicted: Counts, truth: Counts) -> tuple[Counts, Counts]:
    """Return numerator and denominator of the intersection over union (Jaccard, 1901)."""
    return both, predicted + truth - both


def dice_metric(unit: Unit = "image", empty: Empty = 1, weights: Mapping[str, float] | None = None) -> CountMetric:
    """Return Dice = 2 |A and B| / (|A| + |B|); two empty masks agree, unless ``empty`` is another score."""
    return CountMetric("dice", "Dice", FBetaFormula(1), unit, empty, weigh_classes(weights))


def iou_metric(unit: Unit = "image", empty: Empty = 1, weights: Mapping[str, float] | None = None) -> CountMetric:
    """Return the intersection over union."""
    return CountMetric("iou", "IoU", iou_formula, unit, empty, weigh_classes(weights))


def f_beta_metric(
    beta: float = 2, unit: Unit = "image", empty: Empty = 1, weights: Mapping[str, float] | None = None
) -> CountMetric:
    """Return F-beta, F2 by default.

    Raises:
        ValueError: ``beta`` is not a positive number.
    """
    if not 0 < beta < 1e3:
        raise ValueError(f"beta must be above 0 and below 1000, not {beta}")
    return CountMetric("f_beta", f"F{beta:g}", FBetaFormula(beta), unit, empty, weigh_classes(weights))


AP_STEPS = range(10, 20)
"""The thresholds of IoU 0.5, 0.55 ... 0.95 in twentieths, so that whole numbers are compared."""


def ap_formula(both: Counts, predicted: Counts, truth: Counts) -> tuple[Counts, Counts]:
    """Return the share of the thresholds 0.5, 0.55 ... 0.95 that the IoU of a unit exceeds, and 1, or 0 without pixels.

    The average precision of one object per image: at each threshold it is right (TP = 1) or wrong (FP or FN = 1).
    """
    union = predicted + truth - both
    passed = np.zeros_like(union)
    for step in AP_STEPS:
        passed += 20 * both > step * union
    return passed / len(AP_STEPS), (union > 0).astype(np.float64)


def mask_ap_metric(empty: Empty = 1, weights: Mapping[str, float] | None = None) -> CountMetric:
    """Return the AP over IoU 0.5:0.95 of a mask taken as one object, as of the TGS salt competition (Kaggle, 2018)."""
    return CountMetric("mask_ap", "mask AP", ap_formula, "image", empty, weigh_classes(weights))


DICE = dice_metric()
"""Mean over images and classes, empty against empty 1."""


def dice(intersection: ArrayLike, area_a: ArrayLike, area_b: ArrayLike) -> NDArray[np.float64]:
    """Return the Dice of each entry of pixel counts; two empty masks agree: 1.

    Args:
        intersection: Pixels in both, any shape.
        area_a: Pixels in the one.
        area_b: Pixels in the other.

    Returns:
        float64 of the common shape.

    Raises:
        ValueError: Counts that no two masks can have (an intersection larger than an area, or below 0).
    """
    return divide(*DICE.formula(*checked_counts(intersection, area_a, area_b)), 1.0)


def pooled_dice(intersection: ArrayLike, area_a: ArrayLike, area_b: ArrayLike) -> NDArray[np.float64]:
    """Return the Dice of all samples together: counts are summed over axis 0 (samples) before they are divided.

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


def measured_mean(
    values: NDArray[np.float64], present: NDArray[np.bool_], weights: NDArray[np.float64] | None = None
) -> float:
    """Return the mean Dice over images and those classes that occur in the truth of any of them.

    The Dice of two empty masks is 1, so a class that occurs nowhere would raise the mean without any evidence.

    Args:
        values: float64 (n, C), one score per image and class.
        present: bool (n, C), whether the class occurs in the image's truth.
        weights: (C,) of the classes; None where all count alike.

    Returns:
        The mean, NaN where no class occurs.
    """
    if weights is not None and present.any():
        return float(measured_means(values, present, weights).mean())
    return float(measured(values, present).mean()) if present.any() else float("nan")


def measured_means(
    values: NDArray[np.float64], present: NDArray[np.bool_], weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return each image's mean (n,) over the classes that occur in the truth of any; arguments as ``measured_mean``."""
    kept = None if weights is None else weights[present.any(axis=0)]
    return class_means(measured(values, present), kept)


def measured(values: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the columns of the classes that occur in the truth of any image; arguments as ``measured_mean``."""
    occurs = present.any(axis=0)
    return values if occurs.all() else values[:, occurs]


def false_positive_owners(
    decided: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the true classes of the pixels that each class claims wrongly, such as an index finger in a ring finger.

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
    # Whole numbers below 2^53, so products of floats are exact: 9 ms for 42,000 pixels, where integers take 246 ms.
    counts = claimed.T @ np.concatenate([owned, ~owned.any(axis=1, keepdims=True)], axis=1)
    return counts.astype(np.int64), claimed.sum(axis=0).astype(np.int64)
