"""Cross-fitting: a choice counts only for what it gains on folds that it never saw.

Of 500 weight vectors of five equally good members the best looks better by about two standard errors, by luck alone.
So the best candidate is compared with the simplest one (index 0) on left-out folds only, each scored by what would have
been chosen without it, and is taken only where that gain exceeds one standard error. For a cross-fitted score this rule
is repeated without the fold that is scored, so two folds are left out then.

With fewer than three trained folds, parts made of whole groups replace them: out-of-fold predictions of one fold come
from a model that saw none of these groups, so a choice made on some of them can be scored on the others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

# Means of the same values in another order differ by some 1e-15; that is a tie.
TIE = 1e-12

# One part is scored, one is chosen on, and one shows whether the choice pays.
FEWEST_PARTS = 3
# As many as folds are usual: every pair of parts is left out once, so ten parts would take three times as long.
MOST_PARTS = 5

Excluded = frozenset[int]
Chosen = TypeVar("Chosen")
Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True)
class Choice:
    """What was chosen and why."""

    index: int  # of the candidate; 0 is the simplest
    gain: float | None  # mean cross-fitted gain of choosing over the simplest; None where it can't be measured
    error: float | None  # its standard error
    reason: str  # a clause for messages


def crossfit_parts(folds: NDArray[np.integer], groups: Sequence[str], seed: int = 0) -> NDArray[np.int64]:
    """Return the part of each sample that choices are cross-fitted over; it depends on no truth and no score.

    Returns:
        int64 (n,): the folds themselves where there are at least three; otherwise parts of about equally many samples,
        each of whole groups, one per group but at most five. With fewer than three groups all samples are one part,
        on which nothing can be cross-fitted.
    """
    if len(np.unique(folds)) >= FEWEST_PARTS:
        return np.asarray(folds, dtype=np.int64)
    names, group_of, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if len(names) < FEWEST_PARTS:
        return np.zeros(len(group_of), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(names))
    part_of = np.empty(len(names), dtype=np.int64)
    sizes = np.zeros(min(len(names), MOST_PARTS), dtype=np.int64)
    for group in order[np.argsort(-counts[order], kind="stable")]:  # the largest first, each into the smallest part
        part_of[group] = np.argmin(sizes)
        sizes[part_of[group]] += counts[group]
    return part_of[group_of]


def fold_names(folds: NDArray[np.integer]) -> list[int]:
    """Return the distinct folds, ascending."""
    names: list[int] = np.unique(folds).tolist()
    return names


def first_best(scores: NDArray[np.float64]) -> int:
    """Return the first of the candidates with the highest score; 0 where scores are undefined."""
    if not np.isfinite(scores).all():
        return 0
    return int(np.argmax(scores >= scores.max() - TIE))


def left_out_sets(names: Iterable[int]) -> list[Excluded]:
    """List no fold, each fold and each pair of folds, as long as at least one fold remains."""
    folds = sorted(set(names))
    sizes = range(min(2, len(folds) - 1) + 1)
    return [frozenset(chosen) for size in sizes for chosen in combinations(folds, size)]


def choose(
    picked: Mapping[Excluded, int],
    gain: Callable[[Excluded, dict[int, int]], tuple[float, float]],
    names: Iterable[int],
    excluded: Excluded = frozenset(),
) -> Choice:
    """Choose a candidate on the folds that are not excluded.

    Args:
        picked: For each set of left-out folds, the candidate that looks best on the other folds: the best of a list, or
            the result of a search that saw no more than them.
        gain: Takes the excluded folds and, for each remaining fold, the candidate chosen without it; returns the mean
            gain over candidate 0 on the remaining folds and its standard error.
        names: All folds.
        excluded: At most one fold, which the choice must not see.

    Returns:
        The choice; candidate 0 where nothing better is shown.
    """
    remaining = sorted(set(names) - excluded)
    best = picked[excluded]
    if best == 0:
        return Choice(0, None, None, "nothing scores better")
    if len(remaining) < 2:
        return Choice(0, None, None, "a gain can't be cross-fitted on one part")
    mean, error = gain(excluded, {fold: picked[excluded | {fold}] for fold in remaining})
    figures = f"cross-fitted gain {mean:+.5f}, standard error {error:.5f}"
    if mean - error > TIE:  # a gain of one image alone is exactly one standard error
        return Choice(best, mean, error, f"{figures}: more than one standard error")
    too_little = "not more than one standard error" if mean > 0 else "no gain"
    return Choice(0, mean, error, f"{figures}: {too_little}")


def freest_that_gains(
    rules: Sequence[str],
    gain: Callable[[str, str], tuple[float, float]],
    parts: Sequence[Excluded],
    names: Sequence[int],
    figure: str,
) -> tuple[str, str]:
    """Return the freest of rules that gained over a simpler one by more than a standard error, and why.

    Args:
        rules: From the simplest to the freest.
        gain: Takes a rule and a simpler one; returns the mean cross-fitted gain and its standard error.
        parts: Of ``left_out_sets``.
        names: All folds.
        figure: What is gained, for the reason: "cells per sample".
    """
    chosen, *freer = rules
    reason = "no rule gains more than one standard error"
    for name in freer:
        found = partial(gain, name, chosen)
        choice = choose(dict.fromkeys(parts, 1), lambda *_, found=found: found(), names)
        if choice.index:
            chosen, reason = name, f"{figure} over {chosen!r}: {choice.reason}"
        elif choice.gain is None:
            reason = choice.reason
    return chosen, reason


def crossfit(names: Sequence[int], chosen_without: Callable[[Excluded], Chosen]) -> dict[int, Chosen]:
    """Return fold -> what is chosen without it, in the given order; empty with fewer than two folds."""
    return {fold: chosen_without(frozenset({fold})) for fold in names} if len(names) > 1 else {}


def crossfit_rows(
    out: NDArray[Value], folds: NDArray[np.integer], chosen_without: Callable[[Excluded], Any]
) -> NDArray[Value] | None:
    """Fill the rows (n, ...) of each fold's samples by ``crossfit``; None with fewer than two folds."""
    without = crossfit(fold_names(folds), chosen_without)
    return fill_held(out, folds, without) if without else None


def fill_held(out: NDArray[Value], folds: NDArray[np.integer], without: Mapping[int, Any]) -> NDArray[Value]:
    """Fill the rows (n, ...) of each fold's samples with what was chosen, or decided on them, without the fold."""
    for fold, values in without.items():
        out[folds == fold] = values
    return out
