"""What a table metric is, and the score of the aneurysm competition.

A table metric scores outputs (n, C) against a truth 0/1 (n, C) of C classes. Outputs are probabilities, or what a
decision rule makes of them: 0/1 cells, or one-hot rows of classes that exclude each other. A higher score is better for
every metric: an error (log loss, RMSE) is scored as its negative, as in scikit-learn's "neg_log_loss", so that the
search for weights, the leaderboard and every comparison need no direction.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from competition.errors import CompetitionError
from competition.metrics.counts import Bounds, Tuned
from competition.metrics.weighted_ranking import weighted_aurocs
from competition.text import nearest_hint

Targets = Literal["multilabel", "multiclass", "ordinal"]
"""How classes relate: independent; one per sample; one per sample, and in order (class k is grade k)."""

TARGETS: tuple[Targets, ...] = ("multilabel", "multiclass", "ordinal")

Outputs = Literal["probabilities", "order", "labels", "mean grade"]
"""What a metric scores: probabilities; only their order; 0/1 cells or one-hot rows; the mean grade, sum of k * p_k."""

Truth = NDArray[np.integer]
Times = NDArray[np.integer]
"""(selections, n): how often each sample is taken, as by a bootstrap."""


@dataclass(frozen=True)
class TableMetric(ABC):
    """A score of a table."""

    name: ClassVar[str]  # in a track or YAML: "auroc"
    label: ClassVar[str]  # in tables and messages: "AUROC"
    outputs: ClassVar[Outputs]
    fits: ClassVar[tuple[Targets, ...]] = TARGETS
    # Weights, thresholds and cut points are all compared by the score itself.
    tuned: ClassVar[Tuned] = "exactly"
    bounds: ClassVar[Bounds] = (0, 1)

    targets: Targets = "multilabel"
    classes: tuple[str, ...] = ()  # of the track; empty until ``of`` binds the metric to it
    column: str | int | None = None  # the one class that is scored, by name or position; None for all
    weights: Mapping[str, float] | None = None  # class -> weight; None for equal weights

    @abstractmethod
    def figures(self, truth: Truth, outputs: NDArray[Any], times: Times) -> NDArray[np.float64]:
        """Return the score of many selections of the same samples at once.

        Args:
            truth: 0/1 (n, C).
            outputs: (n, C), as ``Outputs`` says.
            times: (selections, n).

        Returns:
            float64 (selections,); nan where the score is not defined.
        """

    @abstractmethod
    def class_scores(self, truth: Truth, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the score of every class by itself, float64 (C,); nan where it is not defined."""

    def plain(self, scores: NDArray[np.floating]) -> NDArray[Any]:
        """Return the outputs of probabilities (n, C) without tuning; what is an output already stays the same."""
        return scores

    def score_table(self, truth: ArrayLike, scores: ArrayLike) -> float:
        """Return the score of probabilities or outputs (n, C) for a truth 0/1 (n, C).

        Raises:
            ValueError: Different shapes, or no sample.
        """
        wanted, given = np.asarray(truth), np.asarray(scores)
        if wanted.shape != given.shape or wanted.ndim != 2 or not wanted.size:
            raise ValueError(f"truth and scores are (samples, classes) alike, not {wanted.shape} and {given.shape}")
        outputs = self.plain(given)
        return float(self.figures(wanted.astype(np.int64), outputs, np.ones((1, len(wanted)), dtype=np.int64))[0])

    @property
    def title(self) -> str:
        """Return the metric in a few words."""
        return self.label if self.column is None else f"{self.label} of {self._column_name}"

    @property
    def class_label(self) -> str:
        """Return what ``class_scores`` are."""
        return self.label

    @property
    def key(self) -> str:
        """Return the metric with its options, as a decision records it."""
        weights = ", ".join(f"{name} {weight:g}" for name, weight in (self.weights or {}).items())
        return self.title + (f", weights {weights}" if weights else "")

    @property
    def _column_name(self) -> str:
        return self.column if isinstance(self.column, str) else f"column {self.column}"

    def of(self, targets: Targets, classes: Sequence[str]) -> Self:
        """Return the metric of a track's classes.

        Raises:
            CompetitionError: It does not fit the task, an option names no class, or weights have no effect or are
                all 0.
        """
        if targets not in self.fits:
            raise CompetitionError(f"metric {self.name} does not fit the task {targets}")
        if not (self.column is None or isinstance(self.column, str) or _is_position(self.column, len(classes))):
            what = f"column is {self.column!r}, neither a class nor a whole number from 0 to {len(classes) - 1}"
            raise CompetitionError(f"metric {self.name}: {what}")
        named = [*(self.weights or {}), *([self.column] if isinstance(self.column, str) else [])]
        for name in named:
            if name not in classes:
                raise CompetitionError(f"metric {self.name}: unknown class {name!r}{nearest_hint(name, list(classes))}")
        bound = replace(self, targets=targets, classes=tuple(classes))
        if self.weights and not bound.weighs_classes:
            what = f"weights have no effect on {self.title} (task {targets}), so leave them out"
            raise CompetitionError(f"metric {self.name}: {what}")
        if not bound.total_weight > 0:
            raise CompetitionError(f"metric {self.name}: the weights of all classes are 0, so nothing is scored")
        return bound

    @property
    def weighs_classes(self) -> bool:
        """Return whether ``weights`` have an effect."""
        return self.column is None

    @property
    def total_weight(self) -> float:
        """Return the sum of all weights."""
        return float(self.class_weights(len(self.classes)).sum())

    def class_weights(self, count: int) -> NDArray[np.float64]:
        """Return the weight of each of ``count`` classes; 0 of those that are not scored."""
        if self.column is not None:
            chosen = self.column if isinstance(self.column, int) else self.classes.index(self.column)
            return np.asarray(np.eye(count)[chosen])
        if self.weights is None:
            return np.ones(count)
        return np.array([float(self.weights.get(name, 1.0)) for name in self.classes])


def checked_weights(weights: Mapping[str, float] | None) -> Mapping[str, float] | None:
    """Return class weights; a class that is not named weighs 1.

    Raises:
        ValueError: One is negative or no number.
    """
    if weights is None:
        return None
    for name, weight in dict(weights).items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1e9:
            raise ValueError(f"the weight of {name} is {weight!r}, not a number from 0 up")
    return {str(name): weight for name, weight in dict(weights).items()}


def _is_position(column: object, classes: int) -> bool:
    return isinstance(column, int) and not isinstance(column, bool) and 0 <= column < classes


def mean_of_classes(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weighted mean (selections,) of class scores (selections, C) over the classes that have one, else nan.

    A class of which a selection has no positive sample, say, has no AUROC there.
    """
    counted = np.where(np.isnan(values), 0.0, weights)
    total = counted.sum(axis=1)
    sums = np.where(np.isnan(values), 0.0, values) @ np.diag(weights)
    return np.where(total > 0, sums.sum(axis=1) / np.where(total > 0, total, 1), np.nan)


def one_hot(classes: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """Return int64 (n, count) with a 1 in the column of each sample's class (n,)."""
    return np.asarray(np.eye(count, dtype=np.int64)[classes])


def mean_grades(probs: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean grade (n,) of probabilities of grades (n, C), the sum of k * p_k."""
    return np.asarray(probs, dtype=np.float64) @ np.arange(probs.shape[1], dtype=np.float64)


def auroc(truth: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the ROC curve: how often a positive scores above a negative, ties counting half.

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


@dataclass(frozen=True)
class AneurysmScore:
    """The scores of the aneurysm competition, and figures that explain them."""

    auroc: float  # of the first column, aneurysm or not; it ranks first
    accuracy: float  # of the locations: 1 - mean |truth - output|; a probability p costs |truth - p|
    all_zero_accuracy: float  # of "no aneurysm anywhere", about 0.97: accuracy alone means little
    cells_gained: float  # location entries (rows x locations) better than all zeros; negative where worse
    location_aurocs: tuple[float, ...]  # of each in column order; nan where it never or always occurs


def score_aneurysm(truth: NDArray[np.integer], outputs: NDArray[np.floating | np.integer]) -> AneurysmScore:
    """Score aneurysm predictions as the organisers' script does, without rounding.

    Args:
        truth: (n, 22) 0 or 1: aneurysm, then the 21 locations.
        outputs: (n, 22) in the same order of rows and columns: probabilities, or 0/1 decisions for the locations.

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


@dataclass(frozen=True)
class AneurysmMetric(TableMetric):
    """The AUROC of the first class; the others are submitted as 0 or 1 and scored by cells (``AneurysmScore``)."""

    name: ClassVar[str] = "auroc"
    label: ClassVar[str] = "AUROC"
    outputs: ClassVar[Outputs] = "order"

    def score_table(self, truth: ArrayLike, scores: ArrayLike) -> float:
        """Return the AUROC of the first column by scikit-learn, to the last digit as in decisions made before."""
        return auroc(np.asarray(truth)[:, 0], np.asarray(scores)[:, 0])

    def figures(self, truth: Truth, outputs: NDArray[Any], times: Times) -> NDArray[np.float64]:
        """Return the AUROC of the first column."""
        return weighted_aurocs(truth[:, 0], outputs[:, 0], times)

    def class_scores(self, truth: Truth, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the AUROC of every column."""
        return np.array([auroc(truth[:, index], outputs[:, index]) for index in range(truth.shape[1])])


AUROC = AneurysmMetric()
"""Of the first class of a table, as the aneurysm competition ranks."""
