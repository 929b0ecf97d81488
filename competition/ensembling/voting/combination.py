"""How the members' probabilities of a sample become one, in tuning and at test time alike.

A member's probabilities are transformed, averaged with the members' weights, and transformed back:

mean   the probability itself.
logit  log(p / (1 - p)), back by the sigmoid: a confident member counts for more than an uncertain one.
rank   only the order of the samples counts, on which alone an AUROC depends; members whose probabilities are on
       different scales weigh alike. A rank is no probability, so thresholds and the gate use the mean of probabilities.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.voting.blend import WHOLE, blend_scores, check_weights
from competition.errors import CompetitionError

Combination = Literal["mean", "logit", "rank"]
COMBINATIONS: tuple[Combination, ...] = get_args(Combination)

# Probabilities are kept this far from 0 and 1, whose logits are infinite: one such member would decide alone. Networks
# compute in float32, which has no number between 1 - 6e-8 and 1, so no two of their values are made equal.
EPSILON = 1e-7

Blend = Callable[[Sequence[int]], NDArray[np.float64]]
"""Weights in thousandths, one per member -> the members' combined scores."""


@dataclass(frozen=True)
class Combined:
    """The members' combined predictions."""

    score: NDArray[np.float64]  # (n,), 0 to 1: submitted for the ranked class, the first one
    # (n, C), 0 to 1: thresholds and the gate apply to these. The first column is ``score`` but for ranks.
    probs: NDArray[np.float64]


def mean_of(members: NDArray[np.floating]) -> Blend:
    """Return the weighted mean of probabilities (M, ...)."""
    return lambda weights: blend_scores(list(members), weights)


def logit_mean_of(members: NDArray[np.floating]) -> Blend:
    """Return the sigmoid of the weighted mean of logits of probabilities (M, ...)."""
    clipped = np.clip(np.asarray(members, dtype=np.float64), EPSILON, 1 - EPSILON)
    logits = np.log(clipped) - np.log1p(-clipped)
    return lambda weights: 1 / (1 + np.exp(-blend_scores(list(logits), weights)))


def rank_mean_of(members: NDArray[np.floating]) -> Blend:
    """Return the weighted mean of the ranks of scores (M, n) among the n samples, from 0 for the lowest to 1.

    Equal scores share the mean of their ranks. The sums are whole numbers, so samples whose ranks come to the same
    mean are equal, and no rounding decides between them.

    Raises:
        CompetitionError: There is a single sample.
    """
    samples = members.shape[1]
    if samples < 2:
        raise CompetitionError(
            "a mean of ranks needs at least two samples", repair="Tune again with --combine mean or logit"
        )
    doubled = np.stack([_doubled_ranks(scores) for scores in members])

    def blended(weights: Sequence[int]) -> NDArray[np.float64]:
        whole = np.array(check_weights(weights, len(members)), dtype=np.int64)
        return np.asarray(whole @ doubled / (2 * WHOLE * (samples - 1)))

    return blended


def _doubled_ranks(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return twice the mean rank of each score (n,), counted from 0: doubled, because ties share halves."""
    _, level, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return np.asarray((2 * np.cumsum(counts) - counts - 1)[level], dtype=np.int64)


SCORES: dict[Combination, Callable[[NDArray[np.floating]], Blend]] = {
    "mean": mean_of,
    "logit": logit_mean_of,
    "rank": rank_mean_of,
}
"""Members' scores, (M, n) for ranks and else (M, ...) -> the blend of any weights."""


def blend_tables(rule: Combination, members: NDArray[np.floating], exclusive: bool = False) -> Blend:
    """Return the blend (n, C) of tables (M, n, C), every class by itself.

    Args:
        rule: How.
        members: Probabilities.
        exclusive: Whether the classes exclude each other, so that rows sum to 1: then logit is the softmax of the
            weighted mean of log p (the normalised geometric mean), and mean ranks are divided by their sum.

    Raises:
        CompetitionError: Ranks are asked of a single sample.
    """
    if rule == "rank":
        columns = [rank_mean_of(members[:, :, index]) for index in range(members.shape[2])]
        ranks: Blend = lambda weights: np.stack([column(weights) for column in columns], axis=1)  # noqa: E731
        return (lambda weights: _rows_of_one(ranks(weights))) if exclusive else ranks
    if rule == "logit" and exclusive:
        logs = np.log(np.clip(np.asarray(members, dtype=np.float64), EPSILON, 1))
        return lambda weights: _rows_of_one(np.exp(blend_scores(list(logs), weights)))
    return SCORES[rule](members)


def _rows_of_one(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows (n, C) divided by their sum; equal where all are 0."""
    sums = values.sum(axis=1, keepdims=True)
    return np.where(sums > 0, values / np.where(sums > 0, sums, 1), 1 / values.shape[1])


def combine(rule: Combination, members: NDArray[np.floating], weights: Sequence[int]) -> Combined:
    """Combine the members' tables.

    Args:
        rule: How.
        members: Probabilities (M, n, C), the ranked class first.
        weights: One per member, in thousandths, 1000 in sum.

    Raises:
        CompetitionError: The weights are not convex, or ranks are asked of a single sample.
    """
    probs = (logit_mean_of if rule == "logit" else mean_of)(members)(weights)
    return Combined(rank_mean_of(members[:, :, 0])(weights) if rule == "rank" else probs[:, 0], probs)
