"""What each member is worth to the vote: its own score, and what the others lose without it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.segmentation.cut_choice import crossfit_cuts
from competition.ensembling.segmentation.thresholds import HALF, Window
from competition.ensembling.segmentation.trials import Evaluate
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.selection.bootstrap import Difference, bootstrap_interval, mean_of, paired_difference
from competition.ensembling.voting.blend import WHOLE, round_weights
from competition.ensembling.voting.class_votes import Voters
from competition.metrics.counts import measured


@dataclass(frozen=True)
class MemberWorth:
    """What a member is worth, by AUROC, or by Dice before post-processing at cuts chosen without each image's fold.

    Attributes:
        alone: Of the member alone, on the classes that it predicts.
        interval: 95 % group-bootstrap interval of ``alone``; None with one part, where people are too few.
        over_vote: ``alone`` less the vote's cross-fitted score, with its interval, of which the ends are nan with one
            part; None where the member predicts some classes only.
        left_out: What the vote's score changes by when the member is left out, on all classes, with its interval; the
            others' weights keep their ratios, and a class that nobody else predicts keeps the member. None where it is
            the only member, where weights were given, and with one part.
    """

    alone: float
    interval: tuple[float, float] | None
    over_vote: Difference | None
    left_out: Difference | None


def member_worth(
    evaluate: Evaluate,
    weights: NDArray[np.int64],
    voters: Voters,
    images: TuningImages,
    window: Window,
    honest: NDArray[np.float64],
    given: bool = False,
) -> list[MemberWorth]:
    """Measure every member of a vote at its chosen weights, with no new search.

    Args:
        evaluate: Gives the curves of weights on images.
        weights: int64 (C, M), those that were chosen.
        voters: Who votes on which class.
        images: What ``evaluate`` knows.
        window: Lowest and highest threshold that may be chosen.
        honest: float64 (n, C), the vote's Dice with weights and cuts chosen without each image's part; with one part at
            the cut of 0.5, as the members are.
        given: Whether the weights were given, so that ``evaluate`` knows no others but each member alone.

    Returns:
        One per member; none where no image has a class.
    """
    if not images.present.any():
        return []
    crossfitted = len(images.names) > 1

    def crossfit(by_class: NDArray[np.int64]) -> NDArray[np.float64]:
        curves = evaluate(by_class, np.arange(len(images.folds)))
        cuts = crossfit_cuts(curves, images, window)
        return curves.at(HALF if cuts is None else cuts).values()

    classes, members = voters.rows.shape
    compared = crossfitted and members > 1 and not given
    vote = measured(crossfit(weights), images.present).mean(axis=1) if compared else None
    found = []
    for member in range(members):
        alone = np.tile(WHOLE * np.eye(members, dtype=np.int64)[member], (classes, 1))
        own = voters.rows[:, member] >= 0
        left_out, over_vote = None, None
        if vote is not None:
            others = measured(crossfit(weights_without(weights, voters, member)), images.present).mean(axis=1)
            left_out = paired_difference(mean_of(others), mean_of(vote), images.groups, seed=0)
        if not images.present[:, own].any():
            found.append(MemberWorth(np.nan, None, None, left_out))
            continue
        scores = measured(crossfit(alone)[:, own], images.present[:, own]).mean(axis=1)
        if own.all():
            votes = measured(honest, images.present).mean(axis=1)
            over_vote = paired_difference(mean_of(scores), mean_of(votes), images.groups, seed=0)
            over_vote = over_vote if crossfitted else Difference(over_vote.value, np.nan, np.nan)
        interval = bootstrap_interval(scores, images.groups, seed=0) if crossfitted else None
        found.append(MemberWorth(float(scores.mean()), interval, over_vote, left_out))
    return found


def weights_without(weights: NDArray[np.int64], voters: Voters, member: int) -> NDArray[np.int64]:
    """Return the weights of a vote from which one member is left out.

    Args:
        weights: int64 (C, M) in thousandths.
        voters: Who votes on which class.
        member: Who is left out.

    Returns:
        int64 (C, M): on every class the others that vote on it, in the ratio of their weights, equally where these are
        all 0; a class on which nobody else votes keeps the member.
    """
    changed = np.zeros_like(weights)
    for index, given in enumerate(weights):
        others: Sequence[int] = [other for other in voters.of(index).tolist() if other != member] or [member]
        kept = given[others].astype(float)
        changed[index, others] = round_weights(kept if kept.any() else np.ones(len(others)))
    return changed
