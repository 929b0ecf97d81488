"""Offsets of classes that exclude each other: the class of the highest log p + offset is decided.

Given the offsets of the others, a class takes each sample from a certain offset on, so all its candidates are scored
exactly from cumulated counts after one sort. The classes take turns until none gains: with two classes that is the best
of all offsets, with more it is a local optimum.
"""

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.selection.crossfitting import TIE
from competition.metrics.labels import LabelMetric

LEAST = 1e-7  # probabilities are kept above, because the log of 0 is infinite
# Differences of logarithms that are equal but for rounding; no offset lies between them.
SAME = 1e-9
ROUNDS = 20


def log_probs(probs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return logarithms (n, C) to which offsets are added."""
    return np.log(np.maximum(np.asarray(probs, dtype=np.float64), LEAST))


def best_offsets(metric: LabelMetric, truth: NDArray[np.integer], probs: NDArray[np.float64]) -> list[float]:
    """Return an offset per class, the first one 0."""
    scores, true_class = log_probs(probs), np.argmax(truth, axis=1)
    count = truth.shape[1]
    offsets = np.zeros(count)
    best = _score(metric, true_class, np.argmax(scores, axis=1), count)
    for _ in range(ROUNDS):
        before = best
        for index in range(count):
            value, offset = _best_offset(metric, true_class, scores + offsets, index)
            if value > best + TIE:
                best, offsets[index] = value, offsets[index] + offset
        if best <= before + TIE:
            break
    return [float(offset) for offset in offsets - offsets[0]]


def _score(metric: LabelMetric, truth: NDArray[np.integer], decided: NDArray[np.integer], count: int) -> float:
    confusion = np.bincount(truth * count + decided, minlength=count * count).astype(np.float64)
    return float(metric.of_confusion(confusion.reshape(1, count, count))[0])


def _best_offset(
    metric: LabelMetric, truth: NDArray[np.integer], scores: NDArray[np.float64], index: int
) -> tuple[float, float]:
    """Return the highest score that one more offset of a class reaches, and that offset; -inf where none is defined."""
    count = scores.shape[1]
    others = np.where(np.arange(count) == index, -np.inf, scores)
    rival = np.argmax(others, axis=1)
    needed = others[np.arange(len(others)), rival] - scores[:, index]
    order = np.argsort(needed, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(needed[order]) > SAME, True))
    moved = np.zeros((len(order), count * count))
    rows = np.arange(len(order))
    np.add.at(moved, (rows, truth[order] * count + index), 1.0)
    np.add.at(moved, (rows, truth[order] * count + rival[order]), -1.0)
    none = np.bincount(truth * count + rival, minlength=count * count).astype(np.float64)
    confusions = none + np.vstack([np.zeros((1, count * count)), np.cumsum(moved, axis=0)[ends]])
    values = metric.of_confusion(confusions.reshape(-1, count, count))
    values = np.where(np.isnan(values), -np.inf, values)
    best = int(np.argmax(values))
    levels = np.concatenate([[needed[order[0]] - 2], needed[order[ends]], [needed[order[-1]] + 2]])
    return float(values[best]), float((levels[best] + levels[best + 1]) / 2)
