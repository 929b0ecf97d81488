"""Member weights for classification, chosen by the AUROC of pooled out-of-fold predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.evidence import group_draws, weighted_aurocs
from competition.ensembling.nested import Excluded, choose, left_out_sets
from competition.ensembling.voting import blend_scores
from competition.ensembling.weights import check_candidates, explain
from competition.metrics import auroc

# An AUROC is no mean over images, so its standard error is bootstrapped; 200 draws settle it to about 5 %.
DRAWS = 200


@dataclass(frozen=True)
class AurocSearch:
    """What a search over member weights found.

    Attributes:
        weights: Thousandths per member, 1000 in sum.
        probs: float64 (n, L), the members' out-of-fold predictions blended with these weights.
        oof: AUROC of column 0 of ``probs``; nan where all samples are of one class.
        crossfit_probs: float64 (n, L), each sample blended with weights chosen on the other folds by the same rule;
            None with fewer than two folds.
        crossfit: AUROC of column 0 of ``crossfit_probs``; None with fewer than two folds.
        candidates: int64 (k, M), the first one equal weights.
        candidate_scores: float64 (k,), AUROC of each candidate on all samples.
        gain: Cross-fitted gain of searching over equal weights; None where it was not measured.
        error: Its standard error, bootstrapped by group.
        reason: Why these weights, for people.
    """

    weights: tuple[int, ...]
    probs: NDArray[np.float64]
    oof: float
    crossfit_probs: NDArray[np.float64] | None
    crossfit: float | None
    candidates: NDArray[np.int64]
    candidate_scores: NDArray[np.float64]
    gain: float | None
    error: float | None
    reason: str


def search_weights_auroc(
    member_probs: NDArray[np.floating],
    truth: NDArray[np.integer],
    candidates: NDArray[np.int64],
    folds: NDArray[np.integer],
    groups: Sequence[str],
    seed: int = 0,
) -> AurocSearch:
    """Chooses member weights by the AUROC of column 0 (is there anything at all?).

    Args:
        member_probs: (M, n, L) out-of-fold probabilities.
        truth: 0/1 (n, L).
        candidates: int64 (k, M) of ``weights.candidate_weights``.
        folds: (n,) fold of each sample.
        groups: (n,) person of each sample.
        seed: Of the bootstrap.

    Returns:
        The chosen weights with their honest scores; equal weights where the cross-fitted gain over them is within one
        standard error. With one member ``crossfit`` equals ``oof``.
    """
    check_candidates(candidates)
    names = [int(fold) for fold in np.unique(folds)]
    wanted = truth[:, 0]
    pooled = np.stack([blend_scores(list(member_probs[:, :, 0]), weights.tolist()) for weights in candidates])
    sets = left_out_sets(names)
    kept_rows = np.stack([~np.isin(folds, list(excluded)) for excluded in sets]).astype(np.int64)
    by_candidate = np.stack([weighted_aurocs(wanted, row, kept_rows) for row in pooled])
    scores = {excluded: by_candidate[:, position] for position, excluded in enumerate(sets)}

    def gain(excluded: Excluded, chosen: dict[int, int]) -> tuple[float, float]:
        searched = pooled[0].copy()
        for fold, index in chosen.items():
            searched[folds == fold] = pooled[index, folds == fold]
        kept = ~np.isin(folds, list(excluded))
        times, members = group_draws(np.asarray(groups)[kept].tolist(), DRAWS, seed)
        # The first row is the sample itself, the others are drawn from it.
        rows = np.concatenate([np.ones((1, len(members)), dtype=np.int64), times[:, members]])
        gains = weighted_aurocs(wanted[kept], searched[kept], rows) - weighted_aurocs(
            wanted[kept], pooled[0, kept], rows
        )
        drawn = gains[1:][np.isfinite(gains[1:])]  # a draw of one class only has no AUROC
        return float(gains[0]), float(drawn.std(ddof=1)) if len(drawn) > 1 else float("inf")

    final = choose(scores, gain, names)
    weights = tuple(candidates[final.index].tolist())
    probs = blend_scores(list(member_probs), weights)
    crossfit_probs = None
    if len(names) > 1:
        crossfit_probs = np.empty_like(probs)
        for fold in names:
            index = choose(scores, gain, names, frozenset({fold})).index
            held = folds == fold
            crossfit_probs[held] = blend_scores(list(member_probs[:, held]), candidates[index].tolist())
    return AurocSearch(
        weights=weights,
        probs=probs,
        oof=auroc(wanted, probs[:, 0]),
        crossfit_probs=crossfit_probs,
        crossfit=None if crossfit_probs is None else auroc(wanted, crossfit_probs[:, 0]),
        candidates=candidates,
        candidate_scores=scores[frozenset()],
        gain=final.gain,
        error=final.error,
        reason=explain(final, candidates),
    )
