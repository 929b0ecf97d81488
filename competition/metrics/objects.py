"""Average precision of objects over thresholds of the IoU, as the Data Science Bowl 2018 scores nuclei.

At each threshold t an object that is found with IoU > t is a true positive; the precision is TP / (TP + FP + FN), and
the average precision its mean over the thresholds 0.5, 0.55 ... 0.95 (Caicedo et al., Nature Methods 16, 2019).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from competition.masks.objects import Pixels, areas, shared_pixels
from competition.metrics.counts import AP_STEPS


def average_precision(found: Sequence[Pixels], truth: Sequence[Pixels], size_hw: tuple[int, int]) -> float:
    """Return the average precision of the objects of one class in one image; nan where there are none on either side.

    Thresholds are compared in whole numbers (20 * shared > step * union). Objects that don't overlap have at most one
    partner above a half each; of objects that do, as many pairs as possible are taken.
    """
    if not len(found) and not len(truth):
        return float("nan")
    if not len(found) or not len(truth):
        return 0.0
    shared = shared_pixels(found, truth, size_hw)
    union = areas(found)[:, None] + areas(truth)[None, :] - shared
    precisions = []
    for step in AP_STEPS:
        right = _pairs(20 * shared > step * union)
        precisions.append(right / (len(found) + len(truth) - right))
    return float(np.mean(precisions))


def _pairs(matches: NDArray[np.bool_]) -> int:
    """Return the largest number of pairs of a found and a true object (k, m) that match, each used once."""
    if (matches.sum(axis=0) <= 1).all() and (matches.sum(axis=1) <= 1).all():
        return int(matches.sum())
    return int((maximum_bipartite_matching(csr_array(matches.astype(np.int8))) >= 0).sum())
