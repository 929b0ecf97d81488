"""Scores of tables of truth and prediction: AUROC, and the score of the aneurysm competition."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class TableMetric:
    """A score of one true and one predicted column."""

    name: str  # in a track or YAML: "auroc"
    label: str  # in tables and messages: "AUROC"
    # (truth (n,), prediction (n,)) -> the score; nan where it is not defined
    score: Callable[[ArrayLike, ArrayLike], float]

    @property
    def title(self) -> str:
        """Return the metric in a few words."""
        return self.label

    @property
    def key(self) -> str:
        """Return the metric as a decision records it."""
        return self.label


def auroc_metric() -> TableMetric:
    """Return the area under the ROC curve."""
    return TableMetric("auroc", "AUROC", auroc)


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


AUROC = auroc_metric()
"""Of the first class of a table."""
