"""Errors and intervals of scores and gains, where the samples of one group are not independent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.metrics.tables import TableMetric
from competition.metrics.weighted_ranking import weighted_aurocs

# The standard error of a score that is no mean over samples is bootstrapped; 200 draws settle it to about 5 %.
DRAWS = 200

Statistic = Callable[[NDArray[np.integer]], NDArray[np.float64]]
"""How often each sample is taken, (draws, n) -> the figure of each draw, (draws,)."""


@dataclass(frozen=True)
class Difference:
    """A figure less another one of the same samples, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MemberContribution:
    """What a member contributes to a vote: by AUROC, or by the metric of masks before post-processing."""

    alone: float  # score of the member alone, on the classes that it predicts; nan where none of them occurs
    interval: tuple[float, float] | None  # 95 %, group bootstrap; None with one part, where groups are too few
    # ``alone`` less the vote's cross-fitted score; its ends are nan with one part. None where the member predicts some
    # classes only.
    over_vote: Difference | None
    # The change of the vote's score when the member is left out, on all classes; the others' weights keep their ratios,
    # and a class that no other member predicts keeps the member. None where it is the only member or nothing can be
    # cross-fitted, and of masks where weights were given.
    left_out: Difference | None


def gain_with_error(differences: NDArray[np.float64], groups: Sequence[str]) -> tuple[float, float]:
    """Return the mean of paired differences (n,) and its standard error, clustered by group (n,).

    The error is that of a ratio estimate with groups as units (Cochran, Sampling Techniques, ch. 6):
    sqrt(G / (G - 1) * sum over groups of (sum over the group's images of d - mean)^2) / n. With one image per group it
    is the usual s / sqrt(n); of a single group it is infinite.
    """
    mean = float(differences.mean())
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    sums = np.bincount(members, weights=differences - mean)
    if len(sums) < 2:
        return mean, float("inf")
    return mean, float(np.sqrt(len(sums) / (len(sums) - 1) * np.sum(sums**2)) / len(differences))


def group_draws(groups: Sequence[str], draws: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw as many groups as there are with replacement, ``draws`` times.

    Returns:
        How often each group was drawn, int64 (draws, G), and the group of each row, int64 (n,).
    """
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    picked = np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))
    times = np.stack([np.bincount(draw, minlength=len(names)) for draw in picked])
    return times.astype(np.int64), members.astype(np.int64)


def bootstrap_interval(
    values: NDArray[np.float64], groups: Sequence[str], seed: int, draws: int = 2000
) -> tuple[float, float]:
    """Return the 95 % group-bootstrap interval of the mean of values (n,); 2,000 draws settle it to 3 % of itself."""
    times, members = group_draws(groups, draws, seed)
    means = (times @ np.bincount(members, weights=values)) / (times @ np.bincount(members))
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def mean_of(values: NDArray[np.floating]) -> Statistic:
    """Return the mean of values (n,), for example of the images' Dice."""
    return lambda times: times @ values / times.sum(axis=1)


def sum_of(values: NDArray[np.number]) -> Statistic:
    """Return the sum of values (n,), for example of the cells that each patient gains."""
    return lambda times: np.asarray(times @ values, dtype=np.float64)


def auroc_of(truth: NDArray[np.integer], score: NDArray[np.floating]) -> Statistic:
    """Return the AUROC of scores (n,) for the truth 0/1 (n,)."""
    return lambda times: weighted_aurocs(truth, score, times)


def figure_of(statistic: Statistic, samples: int) -> float:
    """Return a statistic of all samples, each taken once."""
    return float(statistic(np.ones((1, samples), dtype=np.int64))[0])


def paired_difference(
    one: Statistic, other: Statistic, groups: Sequence[str], seed: int, draws: int = 2000
) -> Difference:
    """Return ``one`` less ``other`` of the same samples, with its 95 % group-bootstrap interval.

    Both figures are taken of the same draws, so what makes a group easy or hard for both cancels. Draws in which a
    figure is not defined (an AUROC of one class) are left out; without any other the ends are nan.
    """
    times, members = group_draws(groups, draws, seed)
    taken = times[:, members]
    low, high = _ends(one(taken) - other(taken)) or (np.nan, np.nan)
    return Difference(figure_of(one, len(groups)) - figure_of(other, len(groups)), low, high)


def table_figure(metric: TableMetric, truth: NDArray[np.integer], outputs: NDArray[Any]) -> Statistic:
    """Return the score of outputs (n, C) for the truth 0/1 (n, C)."""
    return lambda times: metric.figures(truth, outputs, times)


def figure_interval(
    statistic: Statistic, groups: Sequence[str], seed: int, draws: int = 2000
) -> tuple[float, float] | None:
    """Return the 95 % group-bootstrap interval of a statistic; None where no draw has one."""
    times, members = group_draws(groups, draws, seed)
    return _ends(statistic(times[:, members]))


def table_gain(
    metric: TableMetric,
    truth: NDArray[np.integer],
    one: NDArray[Any],
    other: NDArray[Any],
    groups: Sequence[str],
    seed: int = 0,
) -> tuple[float, float]:
    """Return the score of ``one`` less that of ``other``, outputs (n, C), and its standard error by drawing groups."""
    times, members = group_draws(groups, DRAWS, seed)
    # The first row is the samples themselves, the others are drawn from them.
    rows = np.concatenate([np.ones((1, len(members)), dtype=np.int64), times[:, members]])
    gains = metric.figures(truth, one, rows) - metric.figures(truth, other, rows)
    drawn = gains[1:][np.isfinite(gains[1:])]  # a draw of one class only has no AUROC
    return float(gains[0]), float(drawn.std(ddof=1)) if len(drawn) > 1 else float("inf")


def auroc_interval(
    truth: NDArray[np.integer], score: NDArray[np.floating], groups: Sequence[str], seed: int, draws: int = 2000
) -> tuple[float, float] | None:
    """Return the 95 % group-bootstrap interval of the AUROC of scores (n,) for the truth 0/1 (n,).

    Draws of one class only have no AUROC and are left out; None where no draw holds both classes.
    """
    return figure_interval(auroc_of(truth, score), groups, seed, draws)


def _ends(figures: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the ends of the 95 % interval of the finite figures; None where there is none."""
    finite = figures[np.isfinite(figures)]
    if len(finite) == 0:
        return None
    low, high = np.quantile(finite, (0.025, 0.975))
    return float(low), float(high)
