"""Folds of patients: every fold has as many of each finding as the whole data set, however rare it is.

Groups dealt out blindly put all patients with a rare artery into two or three folds now and then, and the others can't
be scored on it. Here the rarest finding is dealt out first, each patient to the fold that lacks it most (iterative
stratification), while the first class is dealt out evenly throughout, because its AUROC is the score.

Reference:
    Sechidis, Tsoumakas and Vlahavas 2011, with the first class as a hard limit.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from competition.data.folds import FOLDS, check_count
from competition.data.manifest import Entry

ITERATIVE = "iterative stratification"
"""Written in a fold file of this kind."""

Finding = tuple[int, str]
"""A class and "1"; the first class also with "0"; -1 and a stratum."""
POSITIVE: Finding = (0, "1")


@dataclass
class _Fold:
    """A fold while it is filled: how many groups have each finding, and how many groups there are."""

    holds: Counter[Finding]
    size: int = 0


def make_patient_folds(
    entries: Sequence[Entry], count: int = FOLDS, partners: Sequence[int] | None = None
) -> dict[str, int]:
    """Deal groups out to folds that are alike in their findings.

    Args:
        entries: The training samples, with targets.
        count: Number of folds.
        partners: For each class, the class of the other side (``Mirror.classes``): the two count as one finding. None
            where classes have no sides.

    Returns:
        Group -> fold. The folds' numbers of groups with the first class differ by one at most, and of those without.

    Raises:
        CompetitionError: There are fewer groups than folds, or fewer than two folds.
    """
    findings = _findings(entries, partners)
    check_count(findings, count)
    random = np.random.default_rng(0)
    # Shuffled, so that neighbours in the organiser's list do not go to folds in turn.
    waiting = [str(group) for group in random.permutation(sorted(findings))]
    total = Counter(finding for found in findings.values() for finding in found)
    folds = [_Fold(Counter()) for _ in range(count)]
    fold_of: dict[str, int] = {}
    while waiting:
        left = Counter(finding for group in waiting for finding in findings[group])
        rarest = min(left, key=lambda finding: (left[finding], finding))
        for group in [group for group in waiting if rarest in findings[group]]:
            # The rarest decides, of folds that lack it equally the group's next one.
            order = [rarest, *sorted(findings[group], key=lambda finding: (total[finding], finding))]
            chosen = _neediest(folds, order, total[_kind(findings[group])], random)
            fold_of[group] = chosen
            folds[chosen].holds.update(findings[group])
            folds[chosen].size += 1
        waiting = [group for group in waiting if group not in fold_of]
    return fold_of


def _findings(entries: Iterable[Entry], partners: Sequence[int] | None) -> dict[str, set[Finding]]:
    """Return the findings of each group; classes of two sides are merged."""
    found: dict[str, set[Finding]] = {}
    for entry in entries:
        merged = range(len(entry.targets)) if partners is None else [min(*pair) for pair in enumerate(partners)]
        here = {(number, "1") for number, target in zip(merged, entry.targets, strict=True) if target}
        if entry.stratum:
            here.add((-1, entry.stratum))
        found.setdefault(entry.group, set()).update(here)
    return {group: here | {_kind(here)} for group, here in found.items()}


def _kind(here: Iterable[Finding]) -> Finding:
    """Return whether a group has the first class."""
    return POSITIVE if POSITIVE in here else (0, "0")


def _neediest(folds: Sequence[_Fold], order: Sequence[Finding], total: int, random: np.random.Generator) -> int:
    """Return the fold that has least of the first finding, of equals of the next one, then the smallest, then by lot.

    Args:
        folds: As they are filled now.
        order: Findings of the group that is dealt out, the one that matters most first.
        total: How many groups are like it in the first class. Folds that have their share of these are closed.
        random: For the lot.
    """
    kind = _kind(order)
    share, more = divmod(total, len(folds))  # so many folds get one more than their share
    beyond = sum(fold.holds[kind] > share for fold in folds)
    limit = share + (beyond < more)
    lot = random.permutation(len(folds))

    def plenty(number: int) -> tuple[int, ...]:
        fold = folds[number]
        return (*(fold.holds[finding] for finding in order), fold.size, int(lot[number]))

    return min((number for number, fold in enumerate(folds) if fold.holds[kind] < limit), key=plenty)
