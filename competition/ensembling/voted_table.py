"""The vote of a classification: the members' tables combined and decided as a decision says."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.classification.locations import LocationRule
from competition.ensembling.decision import Decision
from competition.ensembling.voting.combination import blend_tables, combine


@dataclass(frozen=True)
class VotedTable:
    """The vote on n samples."""

    probabilities: NDArray[np.float64]  # (n, C): what the rule decides on
    outputs: NDArray[np.float64]  # (n, C): what is submitted


def location_rule(decision: Decision) -> LocationRule:
    """Return how the aneurysm track turns probabilities of all classes but the first into 0 and 1."""
    return LocationRule(decision.gate, np.array([decision.thresholds[name] for name in decision.classes[1:]]))


def vote_tables(decision: Decision, tables: NDArray[np.float64], exclusive: bool) -> VotedTable:
    """Combine and decide tables (M, n, C) of probabilities, members in the decision's order.

    Args:
        decision: A classification.
        tables: Of each member.
        exclusive: Whether classes exclude each other (``Track.targets``).

    Raises:
        CompetitionError: Ranks are asked of a single sample.
    """
    if decision.rule is None:
        combined = combine(decision.combine, tables, decision.weights())
        outputs = np.column_stack([combined.score, location_rule(decision).decide(combined.probs)])
        return VotedTable(combined.probs, outputs)
    probs = blend_tables(decision.combine, tables, exclusive)(decision.weights())
    return VotedTable(probs, decision.rule.decide(probs))


def voted_probabilities(decision: Decision, tables: NDArray[np.float64], exclusive: bool) -> NDArray[np.float64]:
    """Return the combined probabilities (n, C) of tables (M, n, C); of ranks, which are none, the mean.

    Arguments are those of ``vote_tables``.
    """
    return blend_tables("mean" if decision.combine == "rank" else decision.combine, tables, exclusive)(
        decision.weights()
    )
