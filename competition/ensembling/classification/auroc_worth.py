"""What each member is worth to a vote on scores: its own AUROC, and what the others lose without it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.classification.auroc_weights import AurocSearch
from competition.ensembling.segmentation.worth import MemberWorth, weights_without
from competition.ensembling.selection.bootstrap import Difference, auroc_interval, auroc_of, paired_difference
from competition.ensembling.voting.class_votes import everyone
from competition.ensembling.voting.combination import SCORES, Combination
from competition.metrics.tables import auroc


def auroc_worth(
    member_scores: NDArray[np.floating],
    truth: NDArray[np.integer],
    search: AurocSearch,
    folds: NDArray[np.integer],
    groups: Sequence[str],
    combination: Combination,
) -> list[MemberWorth] | None:
    """Measure every member of a vote at the weights that were chosen without each sample's fold, with no new search.

    Args:
        member_scores: (M, n) out-of-fold probabilities of the ranked class.
        truth: 0/1 (n,).
        search: The weights.
        folds: (n,) fold of each sample.
        groups: (n,) person of each sample.
        combination: How the members become one.

    Returns:
        One per member; None of truth of one class.
    """
    if np.isnan(search.oof):
        return None
    members, blend = len(member_scores), SCORES[combination](member_scores)
    crossfitted = search.crossfit_score is not None
    # With one part nothing was chosen, so the blend is honest as it is.
    honest = blend(search.weights) if search.crossfit_score is None else search.crossfit_score
    vote, found = auroc_of(truth, honest), []
    for member in range(members):
        left_out = None
        if crossfitted and members > 1:
            others = np.empty(len(truth))
            for fold, weights in search.weights_without.items():
                kept = weights_without(np.array([weights]), everyone(1, members), member)[0]
                others[folds == fold] = blend(kept.tolist())[folds == fold]
            left_out = paired_difference(auroc_of(truth, others), vote, groups, seed=0)
        own = member_scores[member]
        over_vote = paired_difference(auroc_of(truth, own), vote, groups, seed=0)
        over_vote = over_vote if crossfitted else Difference(over_vote.value, np.nan, np.nan)
        interval = auroc_interval(truth, own, groups, seed=0) if crossfitted else None
        found.append(MemberWorth(auroc(truth, own), interval, over_vote, left_out))
    return found
