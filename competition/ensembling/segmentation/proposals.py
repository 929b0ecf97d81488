"""What a count metric proposes to a metric that chooses among a few decisions only."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.segmentation.member_curves import MemberCurves
from competition.ensembling.segmentation.postprocessing import choose_operations
from competition.ensembling.segmentation.reranking import Candidate, Proposals
from competition.ensembling.segmentation.threshold_choice import TunedCurves, choose_levels
from competition.ensembling.segmentation.thresholds import FindLevels, FoldSums, window_levels
from competition.ensembling.selection.crossfitting import Excluded
from competition.ensembling.voting.blend import round_weights
from competition.metrics.ratios import Ratios
from competition.prediction.probability_maps import HALF_LEVEL

PLATEAU = 0.005
"""Levels are proposed whose score is at most this much below a class's best: Dice hardly sees what splits two cells."""
NEXT_WEIGHTS = 2
"""So many weight vectors are proposed beside the chosen one."""


def propose(
    curves: MemberCurves, tuned: TunedCurves, by_operation: Ratios, find: FindLevels, searched: bool
) -> Proposals:
    """Return the decisions that are near the best of a count metric, without any fold and without each.

    Args:
        curves: How weights become scores.
        tuned: Weights and levels.
        by_operation: Scores (n, C, operations) of the post-processing.
        find: Finds the best levels.
        searched: Whether weights were searched, so that others may be proposed.
    """
    images, classes, members = curves.images, by_operation.numerators.shape[1], tuned.search.weights.shape[1]
    half = Candidate(
        _rows(np.tile(round_weights(np.ones(members)), (classes, 1))), (HALF_LEVEL,) * classes, ("none",) * classes
    )
    sets: list[Excluded] = [frozenset(), *(frozenset({fold}) for fold in tuned.search.without)]
    candidates = {}
    for excluded in sets:
        operations = tuple(choose_operations(by_operation, images.folds, images.groups, excluded))
        found = dict[Candidate, str]()
        for what, one in _near(curves, tuned, operations, excluded, find, searched):
            found.setdefault(one, what)
        found.setdefault(half, "equal weights at threshold 0.5 without post-processing")
        candidates[excluded] = [(what, one) for one, what in found.items()]
    return Proposals(half, candidates)


def _near(
    curves: MemberCurves,
    tuned: TunedCurves,
    operations: tuple[str, ...],
    excluded: Excluded,
    find: FindLevels,
    searched: bool,
) -> Iterator[tuple[str, Candidate]]:
    """Yield the count metric's own decision without the excluded folds, then those near it."""
    images, everything = curves.images, np.arange(len(curves.images.folds))
    weights = tuned.search.without[next(iter(excluded))] if excluded else tuned.search.weights
    own = tuned.curves if np.array_equal(weights, tuned.search.weights) else curves.evaluate(weights, everything)
    chosen, nothing = choose_levels(own, images, curves.window, excluded, find), ("none",) * len(operations)
    yield "the decision of the count metric", _candidate(weights, chosen.levels, operations)
    yield "without post-processing", _candidate(weights, chosen.levels, nothing)
    yield "tuned thresholds", _candidate(weights, chosen.shrunk, operations)
    low, high = _plateau(FoldSums.of(own, images).mean_without(excluded), curves)
    yield "lower thresholds", _candidate(weights, low, operations)
    yield "higher thresholds", _candidate(weights, high, operations)
    if searched:
        for vector in _next_vectors(tuned, weights, excluded):
            other = np.tile(np.array(vector, dtype=np.int64), (len(operations), 1))
            levels = choose_levels(curves.evaluate(other, everything), images, curves.window, excluded, find).levels
            yield f"weights {' '.join(map(str, vector))}", _candidate(other, levels, operations)


def _plateau(mean: NDArray[np.float64], curves: MemberCurves) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lowest and highest level (C,) between which the curves (C, 256) stay near their best."""
    first, last = window_levels(curves.window)
    near = mean[:, first : last + 1] >= mean[:, first : last + 1].max(axis=1, keepdims=True) - PLATEAU
    return first + near.argmax(axis=1), last - near[:, ::-1].argmax(axis=1)


def _next_vectors(tuned: TunedCurves, weights: NDArray[np.int64], excluded: Excluded) -> list[tuple[int, ...]]:
    """Return the best vectors that were tried, apart from the chosen ones, by their mean over all class groups."""
    tried = tuned.search.tried[-1]
    if excluded not in tried.sets:
        return []
    shares = tuned.search.class_groups.sizes()
    scores = [
        float(np.average(tried.score(position, excluded), weights=shares)) for position in range(len(tried.vectors))
    ]
    taken = {tuple(row) for row in weights.tolist()}
    ranked = [tried.vectors[position] for position in np.argsort(-np.array(scores), kind="stable")]
    return [vector for vector in ranked if vector not in taken][:NEXT_WEIGHTS]


def _candidate(weights: NDArray[np.int64], levels: NDArray[np.int64], operations: tuple[str, ...]) -> Candidate:
    return Candidate(_rows(weights), tuple(levels.tolist()), operations)


def _rows(weights: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    rows: Sequence[Sequence[int]] = weights.tolist()
    return tuple(tuple(row) for row in rows)
