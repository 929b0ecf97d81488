"""Metrics of the order of samples: AUROC and average precision, each class by itself, then their mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from competition.metrics.tables import Outputs, TableMetric, Times, Truth, checked_weights, mean_of_classes
from competition.metrics.weighted_ranking import weighted_aurocs, weighted_average_precisions


@dataclass(frozen=True)
class RankingMetric(TableMetric):
    """The mean of a score of each class's order, over the classes that have one."""

    outputs: ClassVar[Outputs] = "order"
    area: ClassVar[Callable[[Truth, NDArray[Any], Times], NDArray[np.float64]]]

    @property
    def title(self) -> str:
        """Return "mean AUROC", or the one class that counts."""
        return f"mean {self.label}" if self.column is None else super().title

    def figures(self, truth: Truth, outputs: NDArray[Any], times: Times) -> NDArray[np.float64]:
        """Return the weighted mean over the classes that a selection can rank."""
        weights = self.class_weights(truth.shape[1])
        areas = np.full((len(times), len(weights)), np.nan)
        for index in np.flatnonzero(weights):
            areas[:, index] = type(self).area(truth[:, index], outputs[:, index], times)
        return mean_of_classes(areas, weights)

    def class_scores(self, truth: Truth, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the score of every class."""
        once, area = np.ones((1, len(truth)), dtype=np.int64), type(self).area
        return np.array([area(truth[:, index], outputs[:, index], once)[0] for index in range(truth.shape[1])])


@dataclass(frozen=True)
class MeanAuroc(RankingMetric):
    """Area under the ROC curve; of classes that exclude each other, each against the rest."""

    name: ClassVar[str] = "auroc"
    label: ClassVar[str] = "AUROC"
    area: ClassVar[Callable[[Truth, NDArray[Any], Times], NDArray[np.float64]]] = weighted_aurocs


@dataclass(frozen=True)
class MeanAveragePrecision(RankingMetric):
    """Average precision: the mean precision at each positive sample."""

    name: ClassVar[str] = "average_precision"
    label: ClassVar[str] = "average precision"
    area: ClassVar[Callable[[Truth, NDArray[Any], Times], NDArray[np.float64]]] = weighted_average_precisions


def auroc_metric(weights: Mapping[str, float] | None = None, column: str | int | None = None) -> MeanAuroc:
    """Return the AUROC: the mean over classes, weighted, or of one ``column``."""
    return MeanAuroc(weights=checked_weights(weights), column=column)


def average_precision_metric(
    weights: Mapping[str, float] | None = None, column: str | int | None = None
) -> MeanAveragePrecision:
    """Return the average precision: the mean over classes, weighted, or of one ``column``."""
    return MeanAveragePrecision(weights=checked_weights(weights), column=column)
