"""Member weights of a classification by the AUROC of pooled out-of-fold predictions, and members' contributions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.selection.bootstrap import (
    Difference,
    MemberContribution,
    auroc_interval,
    auroc_of,
    group_draws,
    paired_difference,
    weighted_aurocs,
)
from competition.ensembling.selection.crossfitting import (
    Choice,
    Excluded,
    choose,
    crossfit,
    fill_held,
    first_best,
    fold_names,
    left_out_sets,
)
from competition.ensembling.selection.weight_methods import Propose, explain
from competition.ensembling.voting.blend import round_weights
from competition.ensembling.voting.class_votes import everyone
from competition.ensembling.voting.combination import SCORES, Blend, Combination
from competition.metrics.tables import auroc

# An AUROC is no mean over images, so its standard error is bootstrapped; 200 draws settle it to about 5 %.
DRAWS = 200


class TriedAurocs:
    """The AUROCs of every weight vector that was tried, each blended once.

    Attributes:
        sets: The sets of folds that are left out in turn.
        vectors: The vectors in the order they were tried, each a tuple of thousandths. The first one is the simplest,
            which is kept where no gain is shown.
    """

    def __init__(
        self,
        blend: Blend,
        simplest: Sequence[int],
        truth: NDArray[np.integer],
        folds: NDArray[np.integer],
        groups: Sequence[str],
        seed: int,
    ) -> None:
        """Try the simplest vector; ``truth`` is 0/1 (n,), ``seed`` is of the bootstrap."""
        self.sets = left_out_sets(fold_names(folds))
        self.vectors: list[tuple[int, ...]] = []
        self._position_of: dict[tuple[int, ...], int] = {}
        self._blend, self._truth, self._folds, self._groups = blend, truth, folds, np.asarray(groups)
        self._seed = seed
        self._kept = {excluded: ~np.isin(folds, list(excluded)) for excluded in self.sets}
        self._taken = np.stack(list(self._kept.values())).astype(np.int64)
        self.scores: list[NDArray[np.float64]] = []
        self._aurocs: list[dict[Excluded, float]] = []
        self.position(simplest)

    def position(self, weights: Sequence[int]) -> int:
        """Return the position of a vector (M,) in ``vectors``; it is tried unless it was before."""
        vector = tuple(int(weight) for weight in weights)
        if vector not in self._position_of:
            scores = self._blend(vector)
            aurocs = weighted_aurocs(self._truth, scores, self._taken)
            self._position_of[vector] = len(self.vectors)
            self.vectors.append(vector)
            self.scores.append(scores)
            self._aurocs.append(dict(zip(self.sets, aurocs.tolist(), strict=True)))
        return self._position_of[vector]

    def auroc(self, position: int, excluded: Excluded = frozenset()) -> float:
        """Return the AUROC of the samples in folds that are not excluded; nan where these are of one class."""
        return self._aurocs[position][excluded]

    def joined(self, chosen: dict[int, int]) -> NDArray[np.float64]:
        """Return scores (n,), each fold's by the vector that was chosen without it; of other folds by the simplest."""
        own = {fold: self.scores[position][self._folds == fold] for fold, position in chosen.items()}
        return fill_held(self.scores[0].copy(), self._folds, own)

    def gain(self, excluded: Excluded, chosen: dict[int, int]) -> tuple[float, float]:
        """Return the gain of AUROC over the simplest, and its standard error bootstrapped by group.

        ``chosen`` maps each fold that is not excluded to the position of the vector that was chosen without it.
        """
        kept = self._kept[excluded]
        times, members = group_draws(self._groups[kept].tolist(), DRAWS, self._seed)
        # The first row is the samples themselves, the others are drawn from them.
        rows = np.concatenate([np.ones((1, len(members)), dtype=np.int64), times[:, members]])
        truth, searched, simplest = self._truth[kept], self.joined(chosen)[kept], self.scores[0][kept]
        gains = weighted_aurocs(truth, searched, rows) - weighted_aurocs(truth, simplest, rows)
        drawn = gains[1:][np.isfinite(gains[1:])]  # a draw of one class only has no AUROC
        return float(gains[0]), float(drawn.std(ddof=1)) if len(drawn) > 1 else float("inf")


@dataclass(frozen=True)
class AurocSearch:
    """What a search over member weights found; AUROCs are nan where all samples are of one class."""

    weights: tuple[int, ...]  # thousandths per member, 1000 in sum
    oof: float  # AUROC of the members' out-of-fold scores blended with them
    weights_without: dict[int, tuple[int, ...]]  # fold -> chosen on the others; empty with fewer than two folds
    # (n,), each sample's score blended with the weights chosen without its fold, and its AUROC; None likewise.
    crossfit_score: NDArray[np.float64] | None
    crossfit: float | None
    tried: dict[tuple[int, ...], float]  # weights -> AUROC on all samples; the first are equal, or those given
    choice: Choice  # the cross-fitted gain of searching over equal weights, and whether the search was taken
    reason: str  # why these weights, as a clause


def search_weights_auroc(
    member_scores: NDArray[np.floating],
    truth: NDArray[np.integer],
    propose: Propose,
    folds: NDArray[np.integer],
    groups: Sequence[str],
    combination: Combination = "mean",
    given: Sequence[int] | None = None,
    seed: int = 0,
) -> AurocSearch:
    """Choose member weights by the AUROC of the ranked class (is there anything at all?).

    Ranks are those among all samples, whichever fold is left out: they depend on no truth.

    Args:
        member_scores: (M, n) out-of-fold probabilities of the ranked class.
        truth: 0/1 (n,).
        propose: Searches; it is called once for every set of left-out folds.
        folds: (n,) fold of each sample.
        groups: (n,).
        combination: How the members become one.
        given: Weights in thousandths, where they are not to be searched.
        seed: Of the bootstrap.

    Returns:
        The chosen weights with their honest scores; equal weights where the cross-fitted gain over them is within one
        standard error. With one member ``crossfit`` equals ``oof``.
    """
    names = fold_names(folds)
    simplest = round_weights(np.ones(len(member_scores))).tolist() if given is None else given
    tried = TriedAurocs(SCORES[combination](member_scores), simplest, truth, folds, groups, seed)
    picked = {excluded: 0 if given is not None else _pick(tried, propose, excluded) for excluded in tried.sets}
    final = choose(picked, tried.gain, names)
    by_fold = crossfit(names, lambda without: choose(picked, tried.gain, names, without).index)
    crossfit_score = tried.joined(by_fold) if by_fold else None
    return AurocSearch(
        weights=tried.vectors[final.index],
        oof=auroc(truth, tried.scores[final.index]),
        weights_without={fold: tried.vectors[position] for fold, position in by_fold.items()},
        crossfit_score=crossfit_score,
        crossfit=None if crossfit_score is None else auroc(truth, crossfit_score),
        tried={vector: tried.auroc(position) for position, vector in enumerate(tried.vectors)},
        choice=final,
        reason=explain(final, np.array(tried.vectors)),
    )


def _pick(tried: TriedAurocs, propose: Propose, excluded: Excluded) -> int:
    """Search on the folds that are not excluded; return the position of the first of the best proposals."""
    proposed = propose(lambda weights: tried.auroc(tried.position(weights.tolist()), excluded))
    positions = [tried.position(vector.tolist()) for vector in proposed]
    if positions[0] != 0:
        raise ValueError("the first candidate must be equal weights")
    return positions[first_best(np.array([tried.auroc(position, excluded) for position in positions]))]


def auroc_contributions(
    member_scores: NDArray[np.floating],
    truth: NDArray[np.integer],
    search: AurocSearch,
    folds: NDArray[np.integer],
    groups: Sequence[str],
    combination: Combination,
) -> list[MemberContribution] | None:
    """Measure every member of a vote at the weights that were chosen without each sample's fold, with no new search.

    Arguments as for ``search_weights_auroc``.

    Returns:
        One per member; None where the truth is of one class.
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
            kept = {
                fold: everyone(1, members).weights_without(member, np.array([weights]))[0].tolist()
                for fold, weights in search.weights_without.items()
            }
            held = {fold: blend(weights)[folds == fold] for fold, weights in kept.items()}
            others = fill_held(np.empty(len(truth)), folds, held)
            left_out = paired_difference(auroc_of(truth, others), vote, groups, seed=0)
        own = member_scores[member]
        over_vote = paired_difference(auroc_of(truth, own), vote, groups, seed=0)
        over_vote = over_vote if crossfitted else Difference(over_vote.value, np.nan, np.nan)
        interval = auroc_interval(truth, own, groups, seed=0) if crossfitted else None
        found.append(MemberContribution(auroc(truth, own), interval, over_vote, left_out))
    return found
