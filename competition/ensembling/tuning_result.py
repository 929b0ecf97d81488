"""What every tuning ends in: a decision with its weighted members and honest scores, and the tables beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from competition.ensembling.decision import Contestant, Decision, Scores, WeightedMember
from competition.ensembling.segmentation.worth import MemberWorth
from competition.ensembling.selection.bootstrap import Difference
from competition.runs.members import Member

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Tuning:
    """A decision with the tables that are kept beside it.

    Attributes:
        decision: What was chosen.
        class_rows: A row per class; empty where nothing could be tuned.
        member_rows: A row per member likewise.
        tables: File name -> rows of each further table.
    """

    decision: Decision
    class_rows: Rows = field(default_factory=list)
    member_rows: Rows = field(default_factory=list)
    tables: Mapping[str, Rows] = field(default_factory=dict)


def weigh(members: Sequence[Member], weights: Sequence[int]) -> tuple[WeightedMember, ...]:
    """Return the members with their weights in thousandths."""
    return tuple(WeightedMember(**dict(member), weight=weight) for member, weight in zip(members, weights, strict=True))


def honest_scores(
    by_fold: Sequence[float],
    oof: float,
    crossfit: float | None,
    interval: tuple[float | None, float | None],
    reweighted: float | None = None,
    gain: Difference | None = None,
) -> Scores:
    """Return the honest numbers.

    With one member of a ranking metric nothing was tuned, so ``crossfit`` may equal ``oof``. The interval is that of
    ``crossfit``: an optimistic figure gets none. ``gain`` is what ``crossfit`` is better by than equal weights at
    threshold 0.5, or than the mean of probabilities at equal weights.
    """
    return Scores(
        fold_mean=number(np.mean(by_fold)) if by_fold else None,
        fold_sd=number(np.std(by_fold, ddof=1)) if len(by_fold) > 1 else None,
        oof=number(oof),
        oof_crossfit=None if crossfit is None else number(crossfit),
        interval_low=None if crossfit is None else interval[0],
        interval_high=None if crossfit is None else interval[1],
        oof_reweighted=reweighted,
        gain=None if gain is None else gain.value,
        gain_low=None if gain is None else gain.low,
        gain_high=None if gain is None else gain.high,
    )


def number(value: float | np.floating[Any]) -> float | None:
    """Return a figure for JSON, where NaN does not exist."""
    return None if np.isnan(value) else float(value)


def contestant(worth: MemberWorth) -> Contestant:
    """Return what a member scores alone, as a decision stores it."""
    low, high = (None, None) if worth.interval is None else map(number, worth.interval)
    over = worth.over_vote
    return Contestant(
        score=worth.alone,
        low=low,
        high=high,
        over_vote=None if over is None else number(over.value),
        over_vote_low=None if over is None else number(over.low),
        over_vote_high=None if over is None else number(over.high),
    )


def member_rows(decision: Decision, worths: Sequence[MemberWorth] | None) -> Rows:
    """Return a row per member for members.csv: its weights and what it is worth, empty where that is not known."""
    rows: Rows = []
    for index, member in enumerate(decision.members):
        row: dict[str, Any] = {"member": member.name, "weight": member.weight / 1000}
        for name, group in decision.class_groups.items():
            row[f"weight_{name}"] = group.weights[member.name] / 1000
        worth = worths[index] if worths else None
        row["alone"] = None if worth is None else number(round(worth.alone, 6))
        change = None if worth is None else worth.left_out
        row |= dict.fromkeys(("left_out", "low", "high"))
        if change is not None:
            row |= {"left_out": round(change.value, 6), "low": round(change.low, 6), "high": round(change.high, 6)}
        rows.append(row)
    return rows
