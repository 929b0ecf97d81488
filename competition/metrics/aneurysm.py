"""The aneurysm competition's score: AUROC of the first column, accuracy of the locations."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.metrics.tables import auroc


@dataclass(frozen=True)
class AneurysmScore:
    """The scores of the aneurysm competition, and figures that explain them.

    Attributes:
        auroc: Of the first column, aneurysm or not. It ranks first.
        accuracy: Of the locations: 1 - mean |truth - output|. A probability p costs |truth - p|.
        all_zero_accuracy: The accuracy of "no aneurysm anywhere", about 0.97: accuracy alone means little.
        cells_gained: How many location entries (rows x locations) better than all zeros; negative where worse.
        location_aurocs: AUROC of each location in column order; nan where it never or always occurs.
    """

    auroc: float
    accuracy: float
    all_zero_accuracy: float
    cells_gained: float
    location_aurocs: tuple[float, ...]


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
