"""The result of every tuning: a decision with its weighted members and honest scores, and the tables beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from competition.ensembling.decision import AloneScore, Decision, Scores, WeightedMember
from competition.ensembling.segmentation.scored_vote import ScoredVote
from competition.ensembling.selection.bootstrap import Difference, MemberContribution
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
        vote: Of a segmentation, what is kept of single images.
    """

    decision: Decision
    class_rows: Rows = field(default_factory=list)
    member_rows: Rows = field(default_factory=list)
    tables: Mapping[str, Rows] = field(default_factory=dict)
    vote: ScoredVote | None = None


def weigh(members: Sequence[Member], weights: Sequence[int]) -> tuple[WeightedMember, ...]:
    """Return the members with their weights in thousandths."""
    return tuple(WeightedMember(**dict(member), weight=weight) for member, weight in zip(members, weights, strict=True))


def honest_scores(
    by_fold: Sequence[float],
    oof: float,
    crossfit: float | None,
    interval: tuple[float | None, float | None],
    gain: Difference | None = None,
) -> Scores:
    """Return the scores; the interval is that of ``crossfit``, because an optimistic figure gets none."""
    return Scores(
        fold_mean=number(np.mean(by_fold)) if by_fold else None,
        fold_sd=number(np.std(by_fold, ddof=1)) if len(by_fold) > 1 else None,
        oof=number(oof),
        oof_crossfit=None if crossfit is None else number(crossfit),
        interval_low=None if crossfit is None else interval[0],
        interval_high=None if crossfit is None else interval[1],
        gain=None if gain is None else gain.value,
        gain_low=None if gain is None else gain.low,
        gain_high=None if gain is None else gain.high,
    )


def number(value: float | np.floating[Any]) -> float | None:
    """Return a figure for JSON, in which nan is None."""
    return None if np.isnan(value) else float(value)


def alone_score(contribution: MemberContribution) -> AloneScore:
    """Return a member's score alone, as a decision stores it."""
    low, high = (None, None) if contribution.interval is None else map(number, contribution.interval)
    over = contribution.over_vote or Difference(np.nan, np.nan, np.nan)
    value, lower, upper = number(over.value), number(over.low), number(over.high)
    return AloneScore(
        score=contribution.alone, low=low, high=high, over_vote=value, over_vote_low=lower, over_vote_high=upper
    )


def member_rows(decision: Decision, contributions: Sequence[MemberContribution] | None) -> Rows:
    """Return a row per member for members.csv: its weights and its contribution, empty where that is not known."""
    rows: Rows = []
    for index, member in enumerate(decision.members):
        row: dict[str, Any] = {"member": member.name, "weight": member.weight / 1000}
        row |= {f"weight_{name}": of.weights[member.name] / 1000 for name, of in decision.class_groups.items()}
        own = contributions[index] if contributions else None
        row["alone"] = None if own is None else number(round(own.alone, 6))
        change = None if own is None else own.left_out
        row |= dict.fromkeys(("left_out", "low", "high"))
        if change is not None:
            row |= {"left_out": round(change.value, 6), "low": round(change.low, 6), "high": round(change.high, 6)}
        rows.append(row)
    return rows
