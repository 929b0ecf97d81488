"""What each member contributes to the vote: its own score, and what the others lose without it."""

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.segmentation.threshold_choice import crossfit_levels
from competition.ensembling.segmentation.thresholds import Window
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.segmentation.weight_search import Evaluate
from competition.ensembling.selection.bootstrap import (
    Difference,
    MemberContribution,
    bootstrap_interval,
    mean_of,
    paired_difference,
)
from competition.ensembling.voting.blend import WHOLE
from competition.ensembling.voting.class_votes import Voters
from competition.metrics.counts import measured_means
from competition.prediction.probability_maps import HALF_LEVEL


def member_contributions(
    evaluate: Evaluate,
    weights: NDArray[np.int64],
    voters: Voters,
    images: TuningImages,
    window: Window,
    honest: NDArray[np.float64],
    given: bool = False,
) -> list[MemberContribution]:
    """Measure every member of a vote at the chosen weights (C, M), with no new search, at levels of the exact sweep.

    ``honest`` (n, C) are the vote's scores with weights and levels chosen without each image's part; with one part at
    the threshold 0.5, as the members are. Where weights were ``given``, ``evaluate`` takes no others but each member
    alone. There are no contributions where no image has a class.
    """
    if not images.present.any():
        return []
    crossfitted = len(images.names) > 1

    def crossfit(by_class: NDArray[np.int64]) -> NDArray[np.float64]:
        curves = evaluate(by_class, np.arange(len(images.folds)))
        levels = crossfit_levels(curves, images, window)
        return curves.at(HALF_LEVEL if levels is None else levels).values()

    classes, members = voters.rows.shape
    compared = crossfitted and members > 1 and not given
    vote = images.measured_means(crossfit(weights)) if compared else None
    found = []
    for member in range(members):
        alone = np.tile(WHOLE * np.eye(members, dtype=np.int64)[member], (classes, 1))
        own = voters.rows[:, member] >= 0
        left_out, over_vote = None, None
        if vote is not None:
            others = images.measured_means(crossfit(voters.weights_without(member, weights)))
            left_out = paired_difference(mean_of(others), mean_of(vote), images.groups, seed=0)
        if not images.present[:, own].any():
            found.append(MemberContribution(np.nan, None, None, left_out))
            continue
        class_weights = None if images.class_weights is None else images.class_weights[own]
        scores = measured_means(crossfit(alone)[:, own], images.present[:, own], class_weights)
        if own.all():
            votes = images.measured_means(honest)
            over_vote = paired_difference(mean_of(scores), mean_of(votes), images.groups, seed=0)
            over_vote = over_vote if crossfitted else Difference(over_vote.value, np.nan, np.nan)
        interval = bootstrap_interval(scores, images.groups, seed=0) if crossfitted else None
        found.append(MemberContribution(float(scores.mean()), interval, over_vote, left_out))
    return found
