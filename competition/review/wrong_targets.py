"""How likely each target of a table is wrong: log odds of the other value against the given one, out-of-fold.

Probabilities of networks are neither calibrated nor comparable between classes, and a class of two positives can't be
calibrated by itself. One logistic regression therefore calibrates all classes at once, by the probability and by how
frequent the class is, and is fitted without the sample that it judges.

Where the first class says whether any other is positive, as of a patient and the places of findings, the targets of
a sample are judged together: a wrong patient is contradicted twice, by the patient's own probability and by that of the
place. Then a sample has, in place of its targets,

- none: the odds that it is positive;
- one place: the odds that it is negative, times how much likelier a place drawn at random is than this one;
- several: for each, the odds that the sample has one fewer, by how many samples have several.

A sample is as likely wrong about the first class as about a place, and places are wrong equally often.
"""

import numpy as np
from numpy.typing import NDArray

PARTS = 10
"""Of the samples, each judged by a regression on the others."""

CLIP = 1e-4
"""Probabilities nearer to 0 or 1 count as this: a network that is surer has no evidence for it."""

PRIOR = 4.0
"""As how many samples the mean frequency of all classes counts for the frequency of each."""

WEAK_PENALTY = 10.0
"""Inverse of the penalty: two slopes need little of it, and a strong one makes confident networks look unsure."""

SMALLEST_DEVIATION = 1e-9
"""Of an input that is scaled; the frequency of a single class does not vary."""


def wrong_log_odds(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each target (n, C) the log odds that its other value is right.

    Args:
        targets: 0 or 1 (n, C).
        probabilities: Out-of-fold (n, C).
    """
    if targets.shape[1] > 1 and first_is_any(targets):
        return _joint(targets, _log_odds(probabilities))
    return np.where(targets == 1, -1, 1) * _calibrated(targets, _log_odds(probabilities))


def first_is_any(targets: NDArray[np.int64]) -> bool:
    """Return whether the first class of every sample (n, C) is positive where any other is, and both values occur."""
    first = targets[:, 0]
    return bool((first == targets[:, 1:].max(axis=1)).all() and first.any() and not first.all())


def _joint(targets: NDArray[np.int64], log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log odds (n, C) of targets whose first class is whether any other is positive."""
    positive = targets[:, 0] == 1
    places = targets[:, 1:]
    found = _calibrated(targets[:, :1], log_odds[:, :1])[:, 0]
    likelier = _likelier_places(places, log_odds[:, 1:], positive)
    several = places.sum(axis=1) > 1
    # Of all samples with one more place than another, relative to it: either place may be the further one.
    further = np.log(2 * (several.sum() + 1) / ((positive & ~several).sum() + 1))
    wrong = np.full(targets.shape, -np.inf)
    halved = np.log(2)  # a positive sample is wrong about the first class, or about a place
    wrong[:, 0] = np.where(positive, -np.inf, found - halved)
    single = np.where(places == 1, -found[:, None] - likelier, -np.inf)
    more = np.where(places == 1, -further - halved - likelier, -np.inf)
    wrong[:, 1:] = np.where(several[:, None], more, single)
    return wrong


def _likelier_places(
    places: NDArray[np.int64], log_odds: NDArray[np.float64], positive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return how much likelier than at random a positive sample's finding lies in each place, as logarithms (n, L)."""
    calibrated = np.zeros(places.shape)
    calibrated[positive] = _calibrated(places[positive], log_odds[positive])
    largest = calibrated.max(axis=1, keepdims=True)
    total = largest + np.log(np.exp(calibrated - largest).sum(axis=1, keepdims=True))
    return np.asarray(calibrated - total + np.log(places.shape[1]))


def _calibrated(targets: NDArray[np.int64], log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log odds (n, C) that a target is 1, each by a logistic regression on the other samples.

    Its inputs are the network's log odds and those of the frequency of the class. The frequency is that among the
    samples which the regression learns from: a sample's own target would give itself away.
    """
    # Here, because scikit-learn takes a second to import.
    from sklearn.linear_model import LogisticRegression

    count, classes = targets.shape
    part_of = np.random.default_rng(0).permutation(count) % PARTS
    calibrated = np.full((count, classes), float(_log_odds(targets.mean())))
    for part in range(min(PARTS, count)):
        held, others = part_of == part, part_of != part
        given = targets[others]
        if not 0 < given.sum() < given.size:
            continue
        frequency = (given.sum(axis=0) + PRIOR * given.mean()) / (len(given) + PRIOR)
        inputs = np.stack([log_odds, np.broadcast_to(_log_odds(frequency), log_odds.shape)], axis=-1)
        inputs = (inputs - inputs.mean(axis=(0, 1))) / np.maximum(inputs.std(axis=(0, 1)), SMALLEST_DEVIATION)
        fitted = LogisticRegression(C=WEAK_PENALTY).fit(inputs[others].reshape(-1, 2), given.ravel())
        calibrated[held] = fitted.decision_function(inputs[held].reshape(-1, 2)).reshape(-1, classes)
    return calibrated


def _log_odds(probabilities: NDArray[np.float64] | np.floating) -> NDArray[np.float64]:
    clipped = np.clip(probabilities, CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))
