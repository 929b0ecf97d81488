"""Member weights for classification, chosen by the AUROC of pooled out-of-fold predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.classification.auroc_trials import AurocTrials
from competition.ensembling.selection.crossfitting import Choice, Excluded, choose, first_best
from competition.ensembling.selection.weight_search import Propose, explain
from competition.ensembling.voting.blend import round_weights
from competition.ensembling.voting.combination import SCORES, Combination
from competition.metrics.tables import auroc


@dataclass(frozen=True)
class AurocSearch:
    """What a search over member weights found.

    Attributes:
        weights: Thousandths per member, 1000 in sum.
        oof: AUROC of the members' out-of-fold scores blended with them; nan where all samples are of one class.
        weights_without: Fold -> weights chosen on the other folds by the same rule; empty with fewer than two folds.
        crossfit_score: float64 (n,), each sample's score blended with the weights chosen without its fold; None with
            fewer than two folds.
        crossfit: AUROC of ``crossfit_score``; None with fewer than two folds.
        tried: Weights -> AUROC on all samples, in the order they were tried; the first are equal, or those given.
        choice: The cross-fitted gain of searching over equal weights, and whether it was believed.
        reason: Why these weights, for people.
    """

    weights: tuple[int, ...]
    oof: float
    weights_without: dict[int, tuple[int, ...]]
    crossfit_score: NDArray[np.float64] | None
    crossfit: float | None
    tried: dict[tuple[int, ...], float]
    choice: Choice
    reason: str


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

    Ranks are those among all samples, whichever fold is left out: they look at no truth.

    Args:
        member_scores: (M, n) out-of-fold probabilities of the ranked class.
        truth: 0/1 (n,).
        propose: Searches; it is called once for every set of left-out folds.
        folds: (n,) fold of each sample.
        groups: (n,) person of each sample.
        combination: How the members become one.
        given: Weights in thousandths, where they are not to be searched.
        seed: Of the bootstrap.

    Returns:
        The chosen weights with their honest scores; equal weights where the cross-fitted gain over them is within one
        standard error. With one member ``crossfit`` equals ``oof``.
    """
    names = [int(fold) for fold in np.unique(folds)]
    simplest = round_weights(np.ones(len(member_scores))).tolist() if given is None else given
    trials = AurocTrials(SCORES[combination](member_scores), simplest, truth, folds, groups, seed)
    picked = {excluded: 0 if given is not None else _pick(trials, propose, excluded) for excluded in trials.sets}
    final = choose(picked, trials.gain, names)
    by_fold = {}
    if len(names) > 1:
        by_fold = {fold: choose(picked, trials.gain, names, frozenset({fold})).index for fold in names}
    crossfit_score = trials.joined(by_fold) if by_fold else None
    return AurocSearch(
        weights=trials.vectors[final.index],
        oof=auroc(truth, trials.scores(final.index)),
        weights_without={fold: trials.vectors[position] for fold, position in by_fold.items()},
        crossfit_score=crossfit_score,
        crossfit=None if crossfit_score is None else auroc(truth, crossfit_score),
        tried={vector: trials.auroc(position) for position, vector in enumerate(trials.vectors)},
        choice=final,
        reason=explain(final, np.array(trials.vectors)),
    )


def _pick(trials: AurocTrials, propose: Propose, excluded: Excluded) -> int:
    """Search on the folds that are not excluded; the position of the first of the best proposals.

    Raises:
        ValueError: The first proposal is not what is kept where no gain is shown.
    """
    proposed = propose(lambda weights: trials.auroc(trials.position(weights.tolist()), excluded))
    positions = [trials.position(vector.tolist()) for vector in proposed]
    if positions[0] != 0:
        raise ValueError("the first candidate must be equal weights")
    return positions[first_best(np.array([trials.auroc(position, excluded) for position in positions]))]
