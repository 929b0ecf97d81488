"""Metrics of probabilities: log loss, probabilistic F1, and the error of the mean grade."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
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
)

# As scikit-learn clips float64: the log of 0 would make one sure mistake infinitely wrong.
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class LogLoss(TableMetric):
    """The negative of the mean of -log p of what is true, over all rows at once: sum of weight * loss / sum of weights.

    Of independent classes each cell (sample, class) counts, with the weight of its class, times ``positive_weight``
    where it is positive. RSNA 2022 differs: it divides by the weights of each row, then takes the mean over rows. Of
    classes that exclude each other each sample counts, with the weight of its true class. ``any_of`` adds a column "any
    of these classes" with the weight ``any_weight`` to each row, whose probability is the highest of theirs, or the sum
    where they exclude each other. RSNA 2024 differs: its "any severe" is the maximum over the levels of a study.
    """

    name: ClassVar[str] = "log_loss"
    label: ClassVar[str] = "-log loss"
    outputs: ClassVar[Outputs] = "probabilities"
    bounds: ClassVar[Bounds] = (-np.inf, 0)

    positive_weight: float = 1.0
    any_of: tuple[str, ...] = ()
    any_weight: float = 1.0

    @property
    def title(self) -> str:
        """Return that it is negative."""
        return "negative log loss"

    @property
    def key(self) -> str:
        """Return the metric with its options."""
        positive = f", positive {self.positive_weight:g}" * (self.positive_weight != 1)
        return super().key + positive + (f", any of {'+'.join(self.any_of)} {self.any_weight:g}" * bool(self.any_of))

    def of(self, targets: Targets, classes: Sequence[str]) -> Self:
        """Return the metric of a track's classes; errors as of ``TableMetric.of``."""
        if unknown := [name for name in self.any_of if name not in classes]:
            raise CompetitionError(f"metric log_loss: any names {unknown[0]!r}, which is no class")
        if targets != "multilabel" and self.positive_weight != 1:
            raise CompetitionError("metric log_loss: positive is for independent classes; weights are by true class")
        return super().of(targets, classes)

    @property
    def total_weight(self) -> float:
        """Return the sum of the weights of all columns."""
        return super().total_weight + self.any_weight * bool(self.any_of)

    def figures(self, truth: Truth, outputs: NDArray[Any], times: Times) -> NDArray[np.float64]:
        """Return the negative weighted mean loss."""
        losses, weights = self._cells(truth, outputs)
        total = times @ weights.sum(axis=1)
        return -divide(times @ (losses * weights).sum(axis=1), total, np.nan)

    def class_scores(self, truth: Truth, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the negative mean loss of every class: over all samples, or over those of the class."""
        losses, weights = self._cells(truth, outputs)
        classes = truth.shape[1]
        weights = weights[:, :classes] if self.targets == "multilabel" else truth.astype(np.float64)
        return -divide((losses[:, :classes] * weights).sum(axis=0), weights.sum(axis=0), np.nan)

    def _cells(self, truth: Truth, outputs: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return losses and weights, (n, C) or with the column "any" (n, C + 1)."""
        probs = np.asarray(outputs, dtype=np.float64)
        wanted, by_class = truth.astype(np.float64), self.class_weights(truth.shape[1])
        exclusive = self.targets != "multilabel"
        weights = by_class * (wanted if exclusive else 1 + (self.positive_weight - 1) * wanted)
        losses = _losses(wanted, probs)
        if self.any_of:
            here = [self.classes.index(name) for name in self.any_of]
            some = wanted[:, here].max(axis=1, keepdims=True)
            # The classes exclude each other, so the probability of any is their sum; of independent ones the highest.
            joined = probs[:, here].sum(axis=1) if exclusive else probs[:, here].max(axis=1)
            losses = np.column_stack([losses, _losses(some, np.clip(joined, 0, 1)[:, None])])
            weights = np.column_stack([weights, self.any_weight * (1 + (self.positive_weight - 1) * some)])
        return losses, weights


def _losses(truth: NDArray[np.float64], probs: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(probs, EPSILON, 1 - EPSILON)
    return np.asarray(-np.where(truth > 0, np.log(clipped), np.log1p(-clipped)))


@dataclass(frozen=True)
class ProbabilisticF1(TableMetric):
    """F1 of probabilities: 2 * sum of p over positives / (positives + sum of all p).

    (Yacouby and Axman, Probabilistic extension of precision, recall and F1, 2020; RSNA mammography 2022.) A sample
    called with 0.3 counts as three tenths of a call, so decided 0/1 cells may score higher than probabilities.
    """

    name: ClassVar[str] = "pf1"
    label: ClassVar[str] = "pF1"
    outputs: ClassVar[Outputs] = "probabilities"

    def figures(self, truth: Truth, outputs: NDArray[Any], times: Times) -> NDArray[np.float64]:
        """Return the mean over classes."""
        return mean_of_classes(self._by_class(truth, outputs, times), self.class_weights(truth.shape[1]))

    def class_scores(self, truth: Truth, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the score of every class."""
        return np.asarray(self._by_class(truth, outputs, np.ones((1, len(truth)), dtype=np.int64))[0])

    def _by_class(self, truth: Truth, outputs: NDArray[Any], times: Times) -> NDArray[np.float64]:
        probs = np.asarray(outputs, dtype=np.float64)
        return divide(2 * (times @ (truth * probs)), times @ (truth + probs), 0.0)


@dataclass(frozen=True)
class MeanGradeError(TableMetric):
    """The negative root of the mean squared error of the mean grade, sum of k * p_k."""

    name: ClassVar[str] = "rmse"
    label: ClassVar[str] = "-RMSE"
    outputs: ClassVar[Outputs] = "mean grade"
    fits: ClassVar[tuple[Targets, ...]] = ("ordinal",)
    bounds: ClassVar[Bounds] = (-np.inf, 0)

    @property
    def title(self) -> str:
        """Return that it is negative."""
        return "negative RMSE of the mean grade"

    def figures(self, truth: Truth, outputs: NDArray[Any], times: Times) -> NDArray[np.float64]:
        """Return the negative error."""
        squares = (mean_grades(truth) - mean_grades(outputs)) ** 2
        return np.asarray(-np.sqrt(times @ squares / times.sum(axis=1)))

    def class_scores(self, truth: Truth, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the negative error over the samples of each grade."""
        squares = (mean_grades(truth) - mean_grades(outputs)) ** 2
        return -np.sqrt(divide(squares @ truth, truth.sum(axis=0).astype(np.float64), np.nan))


def log_loss_metric(
    weights: Mapping[str, float] | None = None, positive: float = 1, any: Sequence[str] = (), any_weight: float = 1
) -> LogLoss:
    """Return the negative log loss.

    Args:
        weights: Class -> weight.
        positive: Factor of positive cells of independent classes.
        any: Classes of a further column, "any of these".
        any_weight: Weight of that column.

    Raises:
        ValueError: A weight is negative or no number.
    """
    checked_weights({"positive": positive, "any": any_weight})
    return LogLoss(weights=checked_weights(weights), positive_weight=positive, any_of=tuple(any), any_weight=any_weight)


def pf1_metric(weights: Mapping[str, float] | None = None, column: str | int | None = None) -> ProbabilisticF1:
    """Return the probabilistic F1: the mean over classes, weighted, or of one ``column``."""
    return ProbabilisticF1(weights=checked_weights(weights), column=column)


def rmse_metric() -> MeanGradeError:
    """Return the negative RMSE of the mean grade."""
    return MeanGradeError()
