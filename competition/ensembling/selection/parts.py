"""The parts that a choice is cross-fitted over: the trained folds, or whole people where there are too few folds.

Out-of-fold predictions of one fold are honest for weighing: no model has seen any of these people, so a choice that
is made on some of them can be scored on the others. A choice needs three parts: one that is scored, one that it is made
on, and one that shows whether it pays.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEWEST_PARTS = 3
# As many as folds are usual: every pair of parts is left out once, so ten parts would take three times as long.
MOST_PARTS = 5


def crossfit_parts(folds: NDArray[np.integer], groups: Sequence[str], seed: int = 0) -> NDArray[np.int64]:
    """Return the part of each sample.

    Args:
        folds: (n,) fold that held each sample out.
        groups: (n,) person of each sample.
        seed: Of the order in which people with equally many samples are dealt out; no truth and no score is looked at.

    Returns:
        int64 (n,): the folds themselves where there are at least three; otherwise parts of about equally many samples,
        each of whole people, one per person but at most five. With fewer than three people all samples are one part,
        on which nothing can be cross-fitted.
    """
    if len(np.unique(folds)) >= FEWEST_PARTS:
        return np.asarray(folds, dtype=np.int64)
    names, members, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if len(names) < FEWEST_PARTS:
        return np.zeros(len(members), dtype=np.int64)
    dealt = np.random.default_rng(seed).permutation(len(names))
    part_of = np.empty(len(names), dtype=np.int64)
    sizes = np.zeros(min(len(names), MOST_PARTS), dtype=np.int64)
    for group in dealt[np.argsort(-counts[dealt], kind="stable")]:  # the largest first, each into the smallest part
        part_of[group] = np.argmin(sizes)
        sizes[part_of[group]] += counts[group]
    return part_of[members]
