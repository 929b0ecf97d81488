"""Choosing honestly: a choice is believed where it paid on folds that it never saw.

Out of 500 weight vectors of five equally good members, the best by its own score is "better" by about two standard
errors by luck alone. So the best candidate is compared with the simplest one (index 0) only on left-out folds, each
scored by what would have been chosen without it, and it is taken only where that gain exceeds one standard error.
With fewer than three trained folds, parts of whole people take the place of folds (``parts``).
For a cross-fitted score this rule itself is repeated without the fold that is scored, so two folds are left out then.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

# Means of the same Dice values in another order differ by some 1e-15; that is a tie.
TIE = 1e-12

Excluded = frozenset[int]


@dataclass(frozen=True)
class Choice:
    """What was chosen and why.

    Attributes:
        index: Of the candidate; 0 is the simplest.
        gain: Mean cross-fitted gain of choosing over the simplest; None where it can't be measured.
        error: Its standard error.
        reason: A clause for people.
    """

    index: int
    gain: float | None
    error: float | None
    reason: str


def first_best(scores: NDArray[np.float64]) -> int:
    """Return the first of the candidates with the highest score; 0 where scores are undefined."""
    if not np.isfinite(scores).all():
        return 0
    return int(np.argmax(scores >= scores.max() - TIE))


def left_out_sets(folds: Sequence[int]) -> list[Excluded]:
    """List no fold, each fold and each pair of folds, as long as at least one fold remains."""
    names = sorted(set(folds))
    sizes = range(min(2, len(names) - 1) + 1)
    return [frozenset(chosen) for size in sizes for chosen in combinations(names, size)]


def choose(
    picked: Mapping[Excluded, int],
    gain: Callable[[Excluded, dict[int, int]], tuple[float, float]],
    folds: Sequence[int],
    excluded: Excluded = frozenset(),
) -> Choice:
    """Choose a candidate on the folds that are not excluded.

    Args:
        picked: For each set of left-out folds, the candidate that looks best on the other folds: the best of a list, or
            whatever a search that saw no more than them ended in.
        gain: Takes the excluded folds and, for each remaining fold, the candidate chosen without it; gives the mean
            gain over candidate 0 on the remaining folds and its standard error.
        folds: All folds.
        excluded: At most one fold, which the choice must not see.

    Returns:
        The choice; candidate 0 where nothing better is shown.
    """
    remaining = sorted(set(folds) - excluded)
    best = picked[excluded]
    if best == 0:
        return Choice(0, None, None, "nothing scores better")
    if len(remaining) < 2:
        return Choice(0, None, None, "a gain can't be cross-fitted on one part")
    mean, error = gain(excluded, {fold: picked[excluded | {fold}] for fold in remaining})
    figures = f"cross-fitted gain {mean:+.5f}, standard error {error:.5f}"
    if mean - error > TIE:  # a gain of one image alone is exactly one standard error
        return Choice(best, mean, error, f"{figures}: more than one standard error")
    return Choice(0, mean, error, f"{figures}: not more than one standard error")
