"""Labels that contradict what was predicted by networks that did not learn from them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from competition.data.checks.label_outliers import Suspicion
from competition.data.checks.robust_scores import middle_and_sigma, outlier_score
from competition.review.out_of_fold import Agreement
from competition.review.wrong_targets import wrong_log_odds

SMALLEST_DICE_SIGMA = 0.02
"""Dice of a class differs by as much from image to image however good the network is."""

SEEN_SHARE = 0.5
"""Of the class's median area: as many predicted pixels are more than specks where nothing is labelled."""

SMALLEST_SCORE = 0.01
"""Of a target that is listed: most of a table's targets are beyond doubt."""


def mask_suspicions(agreement: Agreement, classes: Sequence[str]) -> list[Suspicion]:
    """Judge labels by their Dice with the out-of-fold masks, relative to the Dice that is usual for the class.

    A class that is predicted and not labelled counts as Dice 0 where at least half of its median area is
    predicted; below, its Dice falls in proportion. Where the network is poor at a class, its Dice varies much and
    nothing stands out.
    """
    found = []
    for index, name in enumerate(classes):
        labelled, predicted = agreement.labelled[:, index], agreement.predicted[:, index]
        if not (labelled > 0).any():
            continue
        usual_area = float(np.median(labelled[labelled > 0]))
        seen = 1 - np.minimum(predicted / (SEEN_SHARE * usual_area), 1)
        dice = np.where(labelled > 0, agreement.dice[:, index], seen)
        # Of labelled images alone: empty masks that agree would make the usual Dice 1 for a class that few images have.
        usual, sigma = middle_and_sigma(agreement.dice[:, index], SMALLEST_DICE_SIGMA)
        scores = outlier_score((usual - dice) / sigma)
        for row in np.flatnonzero(scores > 0).tolist():
            reason = _reason(dice[row], labelled[row], predicted[row], usual)
            found.append(Suspicion(agreement.samples[row], name, reason, float(scores[row])))
    return found


def _reason(dice: float, labelled: float, predicted: float, usual: float) -> str:
    if not labelled:
        return f"not labelled, but {predicted:,.0f} pixels are predicted out-of-fold"
    if predicted < 1:
        return f"labelled with {labelled:,.0f} pixels, but nothing is predicted out-of-fold"
    return f"Dice {dice:.3f} with the out-of-fold mask, where {usual:.3f} is usual"


def target_suspicions(
    samples: Sequence[str], targets: NDArray[np.int64], probabilities: NDArray[np.float64], classes: Sequence[str]
) -> list[Suspicion]:
    """Judge targets by how much likelier their other value is (see ``wrong_log_odds``).

    The score is 0.5 where both are equally likely, were labels wrong as often as right; what is below 0.01 is left out.

    Args:
        samples: Keys (n,).
        targets: 0 or 1 (n, C).
        probabilities: Out-of-fold (n, C).
        classes: Names (C,).
    """
    scores = (1 + np.tanh(wrong_log_odds(targets, probabilities) / 2)) / 2  # the logistic function without overflow
    found = []
    for row, index in np.argwhere(scores >= SMALLEST_SCORE).tolist():
        reason = f"labelled {targets[row, index]}, but its out-of-fold probability is {probabilities[row, index]:.3f}"
        found.append(Suspicion(samples[row], classes[index], reason, float(scores[row, index])))
    return found
