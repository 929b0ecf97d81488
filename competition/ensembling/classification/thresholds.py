"""Exact searches over all cut points of a table: thresholds of independent classes, cut points of a mean grade.

A threshold lies halfway between two neighbouring scores, so there are as many candidates as distinct scores; all are
compared from cumulative counts after one sort.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.selection.crossfitting import TIE
from competition.metrics.labels import F1, Accuracy, Average, Counts, Kappa, LabelMetric
from competition.metrics.probabilities import ProbabilisticF1
from competition.metrics.tables import TableMetric, mean_grades

NEVER = 1.0  # no probability is greater
HALF = 0.5

Value = Callable[[Counts, Counts], Counts]
"""Positives among the called, and the called, (k,) each -> what is to be highest (k,)."""


def cells_metric(metric: TableMetric) -> LabelMetric:
    """Return a metric of 0/1 cells that equals ``metric`` on them: of decided cells, pF1 is F1."""
    if isinstance(metric, ProbabilisticF1):
        average: Average = "macro" if metric.column is None else "binary"
        return F1(metric.targets, metric.classes, metric.column, metric.weights, average)
    assert isinstance(metric, LabelMetric)  # others have no thresholds
    return metric


def thresholds_each(metric: LabelMetric, truth: NDArray[np.integer], probs: NDArray[np.float64]) -> list[float]:
    """Return the thresholds, one per class, with the highest score of all combinations; 0.5 of what is not scored.

    A mean over classes is highest where each class is. Micro F1 is a ratio of sums over all classes, 2 * both / (called
    + positives), which is highest where 2 * both - F * called is for the F that it reaches (Dinkelbach, 1967); that is
    a sum over classes, and F converges in a few rounds.
    """
    scored = metric.class_weights(truth.shape[1]) > 0
    if isinstance(metric, F1) and metric.average == "micro":
        best, thresholds = -1.0, [HALF] * truth.shape[1]
        while True:
            called = probs > np.array(thresholds)
            reached = 2 * float((truth * called).sum()) / max(float(called.sum() + truth.sum()), 1.0)
            if reached <= best + TIE:
                return thresholds
            best = reached
            value = partial(_beyond_ratio, reached)
            thresholds = [best_threshold(one, own, value) for one, own in zip(truth.T, probs.T, strict=True)]
    pairs = zip(truth.T, probs.T, scored.tolist(), strict=True)
    return [best_threshold(one, own, _class_value(metric, one)) if counts else HALF for one, own, counts in pairs]


def _beyond_ratio(ratio: float, both: Counts, called: Counts) -> Counts:
    return 2 * both - ratio * called


def _class_value(metric: LabelMetric, truth: NDArray[np.integer]) -> Value:
    """Return the score of one class by itself, from its counts."""
    alone = replace(metric, column=None, weights=None, classes=())
    if isinstance(alone, F1):
        alone = replace(alone, average="macro")
    positives, samples = float(truth.sum()), float(len(truth))

    def value(both: Counts, called: Counts) -> Counts:
        wanted, all_ = np.full((len(both), 1), positives), np.full((len(both), 1), samples)
        return alone.of_cells(both[:, None], called[:, None], wanted, all_)

    return value


def best_threshold(truth: NDArray[np.integer], probs: NDArray[np.float64], value: Value) -> float:
    """Return the threshold of one class with the highest value; of equal ones the highest, "never" being 1.0."""
    order = np.argsort(-probs, kind="stable")
    ranked = probs[order]
    ends = np.flatnonzero(np.append(np.diff(ranked) < 0, True))
    ends = ends[ranked[ends] > 0]  # a probability of 0 is never greater than a threshold
    both = np.append(0, np.cumsum(truth[order])[ends]).astype(np.float64)
    values = value(both, np.append(0, ends + 1).astype(np.float64))
    values = np.where(np.isnan(values), -np.inf, values)
    best = int(np.argmax(values >= values.max() - TIE))
    if best == 0:
        return NEVER
    lowest = float(ranked[ends[best - 1]])
    return _between(float(ranked[ends[best]]) if best < len(ends) else 0.0, lowest)


def _between(below: float, above: float) -> float:
    """Return the middle of two neighbouring numbers, or the lower one where floats have none."""
    middle = below + (above - below) / 2
    return middle if middle < above else below


def one_threshold(metric: LabelMetric, truth: NDArray[np.integer], probs: NDArray[np.float64]) -> list[float]:
    """Return the one threshold for all classes with the highest score, once per class; of equal ones the highest."""
    scored = metric.class_weights(truth.shape[1]) > 0
    values = np.unique(probs[:, scored])
    candidates = np.append([_between(low, high) for low, high in zip(np.append(0, values), values, strict=False)], 1.0)
    both, called = (np.empty((len(candidates), truth.shape[1])) for _ in range(2))
    for index in range(truth.shape[1]):
        order = np.argsort(probs[:, index], kind="stable")
        above = np.searchsorted(probs[order, index], candidates, side="right")
        called[:, index] = len(order) - above
        hits = np.append(0, np.cumsum(truth[order, index]))
        both[:, index] = hits[-1] - hits[above]
    wanted = np.broadcast_to(truth.sum(axis=0).astype(np.float64), both.shape)
    scores = metric.of_cells(both, called, wanted, np.full((len(both), 1), float(len(truth))))
    scores = np.where(np.isnan(scores), -np.inf, scores)
    best = len(scores) - 1 - int(np.argmax(scores[::-1] >= scores.max() - TIE))
    return [float(candidates[best])] * truth.shape[1]


def cut_points(metric: LabelMetric, truth: NDArray[np.integer], probs: NDArray[np.float64]) -> list[float]:
    """Return the C - 1 ascending cut points on the mean grade with the highest score of all.

    In the order of the mean grade the decided grades ascend, so of any cost that is a sum over samples the best cut
    points follow by dynamic programming over (sample, grade): right samples for accuracy. Kappa is 1 - sum of squared
    errors / sum of the errors expected of each decided grade, a ratio of such sums, which Dinkelbach's method reduces
    to a few of them.
    """
    grades, means, count = np.argmax(truth, axis=1), mean_grades(probs), truth.shape[1]
    values, group_of = np.unique(means, return_inverse=True)

    def per_group(cost: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.zeros((len(values), count))
        np.add.at(sums, group_of, cost)
        return sums

    if isinstance(metric, Kappa):
        labels = _best_kappa(per_group, grades, count, values)
    else:
        share = np.bincount(grades, minlength=count)[grades] if isinstance(metric, Accuracy) and metric.balanced else 1
        labels, _ = _best_labels(per_group(-(truth / np.reshape(share, (-1, 1))).astype(np.float64)))
    cuts = []
    for grade in range(1, count):
        first = int(np.searchsorted(labels, grade))  # the first group that is decided as this grade or a higher one
        if first == len(values):
            cuts.append(float(count))
        else:
            cuts.append(0.0 if first == 0 else float(values[first - 1] + (values[first] - values[first - 1]) / 2))
    return cuts


def _best_kappa(
    per_group: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    grades: NDArray[np.integer],
    count: int,
    values: NDArray[np.float64],
) -> NDArray[np.int64]:
    every = np.arange(count)
    errors = per_group(((grades[:, None] - every) ** 2).astype(np.float64))
    chance = ((grades[:, None] - every) ** 2.0).mean(axis=0)  # expected error of each decided grade
    expected = per_group(np.tile(chance.astype(np.float64), (len(grades), 1)))
    labels, rows = np.clip(np.floor(values + HALF).astype(np.int64), 0, count - 1), np.arange(len(values))
    while True:
        below = float(expected[rows, labels].sum())
        if below <= 0:
            return labels
        ratio = float(errors[rows, labels].sum()) / below
        better, least = _best_labels(errors - ratio * expected)
        if least >= -TIE * below:
            return labels
        labels = better


def _best_labels(costs: NDArray[np.float64]) -> tuple[NDArray[np.int64], float]:
    """Return ascending labels (n,) with the least sum of costs (n, C), and that sum."""
    length, count = costs.shape
    upto = np.vstack([np.zeros(count), np.cumsum(costs, axis=0)])
    # least[k]: of the first k groups with labels up to the current one; start[label, k]: where that label begins there
    least, start = upto[:, 0], np.zeros((count, length + 1), dtype=np.int64)
    for label in range(1, count):
        before = least - upto[:, label]
        lowest = np.minimum.accumulate(before)
        start[label] = np.maximum.accumulate(np.where(before <= lowest, np.arange(length + 1), 0))
        least = lowest + upto[:, label]
    labels, end = np.zeros(length, dtype=np.int64), length
    for label in range(count - 1, 0, -1):
        begin = int(start[label, end])
        labels[begin:end] = label
        end = begin
    return labels, float(least[-1])
