"""What each member is worth to the vote: its own score, and what the others lose without it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.cut_choice import crossfit_cuts
from competition.ensembling.evidence import Difference, mean_of, paired_difference
from competition.ensembling.thresholds import Window, scores_at
from competition.ensembling.trials import Evaluate
from competition.ensembling.tuning_images import TuningImages
from competition.ensembling.voters import Voters
from competition.ensembling.voting import WHOLE, round_weights
from competition.metrics import measured, measured_mean


@dataclass(frozen=True)
class MemberWorth:
    """What a member is worth, by AUROC, or by Dice before post-processing at cuts chosen without each image's fold.

    Attributes:
        alone: Of the member alone, on the classes that it predicts.
        left_out: What the vote's score changes by when the member is left out, on all classes, with its interval; the
            others' weights keep their ratios, and a class that nobody else predicts keeps the member. None where it is
            the only member.
    """

    alone: float
    left_out: Difference | None


def member_worth(
    evaluate: Evaluate, weights: NDArray[np.int64], voters: Voters, images: TuningImages, window: Window
) -> list[MemberWorth] | None:
    """Measures every member of a vote at its chosen weights, with no new search.

    Args:
        evaluate: Gives the curves of weights on images.
        weights: int64 (C, M), those that were chosen.
        voters: Who votes on which class.
        images: What ``evaluate`` knows.
        window: Lowest and highest threshold that may be chosen.

    Returns:
        One per member; None with fewer than two folds, where nothing can be cross-fitted, or where no image has a
        class.
    """
    if len(images.names) < 2 or not images.present.any():
        return None

    def crossfit(by_class: NDArray[np.int64]) -> NDArray[np.float64]:
        curves = evaluate(by_class, np.arange(len(images.folds)))
        cuts = crossfit_cuts(curves, images, window)
        assert cuts is not None  # there are two folds
        return scores_at(curves, cuts)

    classes, members = voters.rows.shape
    vote = measured(crossfit(weights), images.present).mean(axis=1)
    found = []
    for member in range(members):
        alone = np.tile(WHOLE * np.eye(members, dtype=np.int64)[member], (classes, 1))
        own = voters.rows[:, member] >= 0
        left_out = None
        if members > 1:
            others = measured(crossfit(weights_without(weights, voters, member)), images.present).mean(axis=1)
            left_out = paired_difference(mean_of(others), mean_of(vote), images.groups, seed=0)
        score = measured_mean(crossfit(alone)[:, own], images.present[:, own])
        found.append(MemberWorth(score, left_out))
    return found


def weights_without(weights: NDArray[np.int64], voters: Voters, member: int) -> NDArray[np.int64]:
    """The weights of a vote from which one member is left out.

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
