"""Labels that contradict what was predicted by networks that did not learn from them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from competition.data.checks.label_outliers import Suspicion
from competition.data.checks.robust_scores import middle_and_sigma, outlier_score
from competition.review.out_of_fold import Agreement

SMALLEST_DICE_SIGMA = 0.02
"""Dice of a class differs by as much from image to image however good the network is."""

SEEN_SHARE = 0.5
"""Of the class's median area: as many predicted pixels are more than specks where nothing is labelled."""

NEIGHBOURS, PRIOR = 8, 2
"""Samples on each side that estimate how often a probability is right, and as how many the overall mean counts."""


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
    """Judge targets by their out-of-fold probability, in the manner of confident learning.

    The score is by how much the confidence in a given target falls short of the mean of the other samples with the same
    target (the class's own confidence: Northcutt, Jiang and Chuang, JAIR 70, 2021), which counts for little where the
    network does not know a class. The confidence is the mean of the probability and of its observed frequency: the
    share of the samples of nearly the same probability that have the target. On the synthetic angiograms of the demo,
    with targets flipped after training, that finds 65 % of the flips among the first tenth, the probability alone 50 %.

    Args:
        samples: Keys (n,).
        targets: 0 or 1 (n, C).
        probabilities: (n, C).
        classes: Names (C,).
    """
    observed = np.stack(
        [observed_shares(targets[:, index], probabilities[:, index]) for index in range(len(classes))], axis=1
    )
    confidence = np.where(targets == 1, 1.0, -1.0) * ((probabilities + observed) / 2 - 0.5) + 0.5
    found = []
    for target in (0, 1):
        pooled = float(confidence[targets == target].mean()) if (targets == target).any() else 0.0
        for index, name in enumerate(classes):
            rows = np.flatnonzero(targets[:, index] == target)
            own = confidence[rows, index]
            # Without the sample itself; a class with no other such sample is judged by all classes.
            usual = (own.sum() - own + pooled) / max(len(rows), 1)
            for row, score in zip(rows.tolist(), (usual - own).tolist(), strict=True):
                if score > 0:
                    reason = f"labelled {target}, but its out-of-fold probability is {probabilities[row, index]:.3f}"
                    found.append(Suspicion(samples[row], name, reason, score))
    return found


def observed_shares(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each sample (n,) the share of positives among its neighbours in the order of probability.

    That is up to eight on each side, without the sample itself, and two more samples with the share of the whole.
    """
    count, order = len(targets), np.argsort(probabilities, kind="stable")
    sums = np.concatenate([[0], np.cumsum(targets[order])])
    places = np.arange(count)
    low, high = np.maximum(places - NEIGHBOURS, 0), np.minimum(places + NEIGHBOURS + 1, count)
    shares = np.empty(count)
    shares[order] = (sums[high] - sums[low] - targets[order] + PRIOR * targets.mean()) / (high - low - 1 + PRIOR)
    return shares
