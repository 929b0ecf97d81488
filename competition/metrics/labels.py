"""Metrics of decided labels: accuracy, F1 and the quadratic weighted kappa, all from counts of (truth, decided).

Probabilities are decided without tuning: above 0.5 of independent classes, the most probable of classes that exclude
each other, the rounded mean grade for kappa. Tuned decisions are 0/1 rows, which stay as they are.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from competition.metrics.counts import Bounds
from competition.metrics.ratios import divide
from competition.metrics.tables import (
    Outputs,
    TableMetric,
    Targets,
    Times,
    Truth,
    checked_weights,
    mean_grades,
    mean_of_classes,
    one_hot,
)

Average = Literal["macro", "micro", "binary"]
Counts = NDArray[np.float64]


@dataclass(frozen=True)
class LabelMetric(TableMetric):
    """A score that follows from how often each class is decided for each true class."""

    outputs: ClassVar[Outputs] = "labels"

    @property
    def class_label(self) -> str:
        """Return the metric of independent classes; of one that excludes others, how many of its samples are found."""
        return self.label if self.targets == "multilabel" else "recall"

    def plain(self, scores: NDArray[np.floating]) -> NDArray[Any]:
        """Return decisions 0/1 (n, C): above 0.5, or the most probable class (of equal ones the first)."""
        if self.targets == "multilabel":
            return np.asarray(scores > 0.5, dtype=np.int64)
        return one_hot(np.argmax(scores, axis=1), scores.shape[1])

    def figures(self, truth: Truth, outputs: NDArray[Any], times: Times) -> NDArray[np.float64]:
        """Return the score from counts."""
        cells = [truth * outputs, outputs, truth] if self.targets == "multilabel" else [_pairs(truth, outputs)]
        counts: list[Counts] = [np.asarray(times @ np.asarray(cell, dtype=np.float64)) for cell in cells]
        if self.targets != "multilabel":
            return self.of_confusion(counts[0].reshape(len(times), *2 * truth.shape[1:]))
        return self.of_cells(counts[0], counts[1], counts[2], times.sum(axis=1).astype(np.float64)[:, None])

    def of_cells(self, both: Counts, decided: Counts, truth: Counts, samples: Counts) -> NDArray[np.float64]:
        """Return the score (k,) of independent classes from counts (k, C) and the number of samples (k, 1)."""
        return mean_of_classes(self._cell_scores(both, decided, truth, samples), self.class_weights(both.shape[1]))

    @abstractmethod
    def of_confusion(self, confusion: Counts) -> NDArray[np.float64]:
        """Return the score (k,) of exclusive classes from counts (k, C true, C decided)."""

    def class_scores(self, truth: Truth, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the score of each independent class, or the recall of each class that excludes the others."""
        both, decided, wanted = (
            (one[None]).astype(np.float64)
            for one in ((truth * outputs).sum(axis=0), outputs.sum(axis=0), truth.sum(axis=0))
        )
        if self.targets == "multilabel":
            return np.asarray(self._cell_scores(both, decided, wanted, np.array([[float(len(truth))]]))[0])
        return np.asarray(divide(both, wanted, np.nan)[0])

    def _cell_scores(self, both: Counts, decided: Counts, truth: Counts, samples: Counts) -> NDArray[np.float64]:
        """Return the scores (k, C) of independent classes; only a metric that fits "multilabel" has them."""
        raise NotImplementedError


def _pairs(truth: Truth, outputs: NDArray[Any]) -> NDArray[np.int64]:
    """Return one-hot pairs (n, C * C) of true and decided class."""
    count = truth.shape[1]
    return one_hot(np.argmax(truth, axis=1) * count + np.argmax(outputs, axis=1), count * count)


@dataclass(frozen=True)
class Accuracy(LabelMetric):
    """The share of right cells (independent classes) or samples; balanced: the mean recall of what is in the truth."""

    name: ClassVar[str] = "accuracy"
    label: ClassVar[str] = "accuracy"

    balanced: bool = False

    @property
    def title(self) -> str:
        """Return whether it is balanced."""
        return f"balanced {super().title}" if self.balanced else super().title

    @property
    def weighs_classes(self) -> bool:
        """Return whether classes are independent; others are found by one decision for all."""
        return self.targets == "multilabel"

    def of_confusion(self, confusion: Counts) -> NDArray[np.float64]:
        """Return the share of samples, or the mean recall over the classes in the truth."""
        right = np.diagonal(confusion, axis1=1, axis2=2)
        if not self.balanced:
            return divide(right.sum(axis=1), confusion.sum(axis=(1, 2)), np.nan)
        return mean_of_classes(divide(right, confusion.sum(axis=2), np.nan), np.ones(right.shape[1]))

    def _cell_scores(self, both: Counts, decided: Counts, truth: Counts, samples: Counts) -> NDArray[np.float64]:
        neither = samples - decided - truth + both
        if not self.balanced:
            return (both + neither) / np.maximum(samples, 1)
        recalls = np.stack([divide(both, truth, np.nan), divide(neither, samples - truth, np.nan)], axis=2)
        shape = both.shape
        return mean_of_classes(recalls.reshape(-1, 2), np.ones(2)).reshape(shape)


@dataclass(frozen=True)
class F1(LabelMetric):
    """2 TP / (2 TP + FP + FN).

    macro: the mean over classes; micro: of the counts of all classes; binary: of one class. As in scikit-learn, a class
    that is neither true nor decided scores 0 among independent classes, and is left out of classes that exclude each
    other.
    """

    name: ClassVar[str] = "f1"
    label: ClassVar[str] = "F1"

    average: Average = "macro"

    @property
    def title(self) -> str:
        """Return the average."""
        return super().title if self.average == "binary" else f"{self.average} F1"

    @property
    def weighs_classes(self) -> bool:
        """Return whether it is a mean over classes."""
        return self.average == "macro"

    def of_cells(self, both: Counts, decided: Counts, truth: Counts, samples: Counts) -> NDArray[np.float64]:
        """Return the mean over classes, or F1 of the summed counts."""
        if self.average == "micro":
            both, decided, truth = (count.sum(axis=1) for count in (both, decided, truth))
            return divide(2 * both, decided + truth, 0.0)
        return super().of_cells(both, decided, truth, samples)

    def of_confusion(self, confusion: Counts) -> NDArray[np.float64]:
        """Return the same of exclusive classes."""
        both = np.diagonal(confusion, axis1=1, axis2=2)
        decided, truth = confusion.sum(axis=1), confusion.sum(axis=2)
        if self.average == "micro":
            return divide(both.sum(axis=1), decided.sum(axis=1), np.nan)
        nothing = 0.0 if self.average == "binary" else np.nan
        return mean_of_classes(divide(2 * both, decided + truth, nothing), self.class_weights(both.shape[1]))

    def _cell_scores(self, both: Counts, decided: Counts, truth: Counts, samples: Counts) -> NDArray[np.float64]:
        return divide(2 * both, decided + truth, 0.0)


@dataclass(frozen=True)
class Kappa(LabelMetric):
    """Quadratic weighted kappa: 1 - squared errors / those expected of independent grades (Cohen, 1968)."""

    name: ClassVar[str] = "kappa"
    label: ClassVar[str] = "kappa"
    fits: ClassVar[tuple[Targets, ...]] = ("ordinal",)
    bounds: ClassVar[Bounds] = (-1, 1)

    @property
    def title(self) -> str:
        """Return its whole name."""
        return "quadratic weighted kappa"

    def plain(self, scores: NDArray[np.floating]) -> NDArray[Any]:
        """Return the rounded mean grade, one-hot."""
        grades = np.floor(mean_grades(scores) + 0.5).astype(np.int64)
        return one_hot(np.clip(grades, 0, scores.shape[1] - 1), scores.shape[1])

    def of_confusion(self, confusion: Counts) -> NDArray[np.float64]:
        """Return kappa; nan where truth and decisions are all of one grade."""
        grades = np.arange(confusion.shape[1])
        squares = (grades[:, None] - grades) ** 2.0
        samples = confusion.sum(axis=(1, 2))
        expected = np.einsum("ki,ij,kj->k", confusion.sum(axis=2), squares, confusion.sum(axis=1))
        # As 1 - x, so that complete agreement is exactly 1
        return 1 - divide(samples * (confusion * squares).sum(axis=(1, 2)), expected, np.nan)


def accuracy_metric(balanced: bool = False, weights: Mapping[str, float] | None = None) -> Accuracy:
    """Return the accuracy; weights are of independent classes."""
    return Accuracy(balanced=balanced, weights=checked_weights(weights))


def f1_metric(
    average: Average | None = None, weights: Mapping[str, float] | None = None, column: str | int | None = None
) -> F1:
    """Return F1: "macro" by default, and "binary" where a ``column`` is given.

    Raises:
        ValueError: The average is unknown, or contradicts ``column``.
    """
    chosen: Average = average or ("macro" if column is None else "binary")
    if chosen not in get_args(Average):
        raise ValueError(f"average is {average!r}, not one of {', '.join(get_args(Average))}")
    if (chosen == "binary") != (column is not None):
        raise ValueError("average: binary is of one class: give column, the positive class, with it alone")
    return F1(average=chosen, weights=checked_weights(weights), column=column)


def kappa_metric() -> Kappa:
    """Return the quadratic weighted kappa."""
    return Kappa()
