"""Member weights of a table by its metric on pooled out-of-fold predictions, and the members' contributions.

Where the metric scores decisions, every vector is scored with a rule that is fitted on the same folds, and the folds
that were left out are decided by it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.selection.bootstrap import (
    Difference,
    MemberContribution,
    figure_interval,
    paired_difference,
    table_figure,
    table_gain,
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
from competition.ensembling.voting.combination import Blend
from competition.metrics.tables import TableMetric


class Rule(Protocol):
    """What makes outputs of probabilities."""

    def decide(self, probs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return outputs (n, C) of probabilities (n, C)."""
        ...


Fit = Callable[[NDArray[np.integer], NDArray[np.float64]], Rule]


@dataclass(frozen=True)
class TableSamples:
    """The samples on which weights are compared, and how they are scored."""

    metric: TableMetric
    truth: NDArray[np.integer]  # 0/1 (n, C)
    folds: NDArray[np.integer]  # (n,)
    groups: Sequence[str]  # (n,)
    fit: Fit | None = None  # fits the rule that makes outputs of a blend; None where probabilities are scored


class TriedWeights:
    """The scores of every weight vector that was tried, each blended once.

    Attributes:
        sets: The sets of folds that are left out in turn.
        vectors: The vectors in the order they were tried, each a tuple of thousandths. The first one is the simplest,
            which is kept where no gain is shown.
    """

    def __init__(self, blend: Blend, simplest: Sequence[int], samples: TableSamples, seed: int) -> None:
        """Try the simplest vector; ``seed`` is of the bootstrap."""
        self.sets = left_out_sets(fold_names(samples.folds))
        self.vectors: list[tuple[int, ...]] = []
        self._position_of: dict[tuple[int, ...], int] = {}
        self._blend, self._samples, self._seed = blend, samples, seed
        self._kept = {excluded: ~np.isin(samples.folds, list(excluded)) for excluded in self.sets}
        self._taken = np.stack(list(self._kept.values())).astype(np.int64)
        self._blends: list[NDArray[np.float64]] = []
        self._scores: list[dict[Excluded, float]] = []
        self.position(simplest)

    def position(self, weights: Sequence[int]) -> int:
        """Return the position of a vector (M,) in ``vectors``; it is tried unless it was before."""
        vector = tuple(int(weight) for weight in weights)
        if vector not in self._position_of:
            self._position_of[vector] = len(self.vectors)
            self.vectors.append(vector)
            self._blends.append(self._blend(vector))
            self._scores.append(self._score_sets(len(self.vectors) - 1))
        return self._position_of[vector]

    def _score_sets(self, position: int) -> dict[Excluded, float]:
        metric, truth = self._samples.metric, self._samples.truth
        if self._samples.fit is None:
            scores = metric.figures(truth, self._blends[position], self._taken).tolist()
        else:
            outputs = [self.outputs(position, excluded) for excluded in self.sets]
            rows = zip(outputs, self._taken[:, None], strict=True)
            scores = [float(metric.figures(truth, own, times)[0]) for own, times in rows]
        return dict(zip(self.sets, scores, strict=True))

    def outputs(self, position: int, excluded: Excluded = frozenset()) -> NDArray[np.float64]:
        """Return the outputs (n, C) of a vector by the rule that is fitted on the folds that are not excluded."""
        blend, kept = self._blends[position], self._kept[excluded]
        if self._samples.fit is None:
            return blend
        return self._samples.fit(self._samples.truth[kept], blend[kept]).decide(blend)

    def score(self, position: int, excluded: Excluded = frozenset()) -> float:
        """Return the score of the samples in folds that are not excluded; nan where it is not defined."""
        return self._scores[position][excluded]

    def joined(self, chosen: dict[int, int], excluded: Excluded = frozenset()) -> NDArray[np.float64]:
        """Return outputs (n, C), each fold's by the vector and the rule that were chosen without it.

        Of other folds they are those of the simplest vector.
        """
        folds = self._samples.folds
        own = {fold: self.outputs(at, excluded | {fold})[folds == fold] for fold, at in chosen.items()}
        return fill_held(self.outputs(0, excluded).copy(), folds, own)

    def gain(self, excluded: Excluded, chosen: dict[int, int]) -> tuple[float, float]:
        """Return the gain over the simplest, and its standard error bootstrapped by group.

        ``chosen`` maps each fold that is not excluded to the position of the vector that was chosen without it.
        """
        kept, samples = self._kept[excluded], self._samples
        searched, simplest = self.joined(chosen, excluded)[kept], self.joined(dict.fromkeys(chosen, 0), excluded)[kept]
        groups = np.asarray(samples.groups)[kept].tolist()
        return table_gain(samples.metric, samples.truth[kept], searched, simplest, groups, self._seed)


@dataclass(frozen=True)
class WeightSearch:
    """What a search over member weights found; scores are nan where they are not defined."""

    weights: tuple[int, ...]  # thousandths per member, 1000 in sum
    oof: float  # score of the members' out-of-fold predictions combined with them
    weights_without: dict[int, tuple[int, ...]]  # fold -> chosen on the others; empty with fewer than two folds
    # (n, C), each sample's output by the weights and the rule chosen without its fold, and its score; None likewise.
    crossfit_outputs: NDArray[np.float64] | None
    crossfit: float | None
    tried: dict[tuple[int, ...], float]  # weights -> score on all samples; the first are equal, or those given
    choice: Choice  # the cross-fitted gain of searching over equal weights, and whether the search was taken
    reason: str  # why these weights, as a clause
    vote: NDArray[np.float64]  # (n, C) outputs of the weights on all samples, by the rule fitted on all
    alone: tuple[NDArray[np.float64], ...]  # of each member its outputs (n, C), cross-fitted where that is possible
    left_out: tuple[NDArray[np.float64], ...]  # of the vote without each member likewise; empty where it has no meaning


def search_weights(
    blend: Blend,
    members: int,
    samples: TableSamples,
    propose: Propose,
    given: Sequence[int] | None = None,
    seed: int = 0,
) -> WeightSearch:
    """Choose member weights by the metric.

    Ranks are those among all samples, whichever fold is left out: they depend on no truth.

    Args:
        blend: Returns the members' combined table (n, C) of any weights.
        members: Their number.
        samples: What is scored.
        propose: Searches; it is called once for every set of left-out folds.
        given: Weights in thousandths, where they are not to be searched.
        seed: Of the bootstrap.

    Returns:
        The chosen weights with their honest scores; equal weights where the cross-fitted gain over them is within one
        standard error.
    """
    names, metric, truth = fold_names(samples.folds), samples.metric, samples.truth
    simplest = round_weights(np.ones(members)).tolist() if given is None else given
    tried = TriedWeights(blend, simplest, samples, seed)
    picked = {excluded: 0 if given is not None else _pick(tried, propose, excluded) for excluded in tried.sets}
    final = choose(picked, tried.gain, names)
    by_fold = crossfit(names, lambda without: choose(picked, tried.gain, names, without).index)
    outputs = tried.joined(by_fold) if by_fold else None
    searched = {vector: tried.score(position) for position, vector in enumerate(tried.vectors)}
    reason = explain(final, np.array(tried.vectors))
    weights_without = {fold: tried.vectors[position] for fold, position in by_fold.items()}
    alone = [
        tried.joined(dict.fromkeys(by_fold, tried.position(own))) if by_fold else tried.outputs(tried.position(own))
        for own in (np.eye(members, dtype=np.int64) * 1000).tolist()
    ]
    return WeightSearch(
        weights=tried.vectors[final.index],
        oof=metric.score_table(truth, tried.outputs(final.index)),
        weights_without=weights_without,
        crossfit_outputs=outputs,
        crossfit=None if outputs is None else metric.score_table(truth, outputs),
        tried=searched,
        choice=final,
        reason=reason,
        vote=tried.outputs(final.index),
        alone=tuple(alone),
        left_out=tuple(_without(tried, member, weights_without) for member in range(members))
        if by_fold and members > 1
        else (),
    )


def _without(tried: TriedWeights, member: int, weights_without: dict[int, tuple[int, ...]]) -> NDArray[np.float64]:
    """Return the cross-fitted outputs of the vote without a member, whose others keep the ratios of their weights."""
    kept = {
        fold: tried.position(everyone(1, len(weights)).weights_without(member, np.array([weights]))[0].tolist())
        for fold, weights in weights_without.items()
    }
    return tried.joined(kept)


def _pick(tried: TriedWeights, propose: Propose, excluded: Excluded) -> int:
    """Search on the folds that are not excluded; return the position of the first of the best proposals."""
    proposed = propose(lambda weights: tried.score(tried.position(weights.tolist()), excluded))
    positions = [tried.position(vector.tolist()) for vector in proposed]
    if positions[0] != 0:
        raise ValueError("the first candidate must be equal weights")
    return positions[first_best(np.array([tried.score(position, excluded) for position in positions]))]


def member_contributions(search: WeightSearch, samples: TableSamples) -> list[MemberContribution] | None:
    """Measure every member of a vote at the weights that were chosen without each sample's fold, with no new search.

    Returns:
        One per member; None where the score is not defined.
    """
    if np.isnan(search.oof):
        return None
    metric, truth, groups = samples.metric, samples.truth, samples.groups

    def figure(outputs: NDArray[Any]) -> Callable[[NDArray[np.integer]], NDArray[np.float64]]:
        return table_figure(metric, truth, outputs)

    crossfitted, found = search.crossfit_outputs is not None, []
    vote = figure(search.vote if search.crossfit_outputs is None else search.crossfit_outputs)
    for member, own in enumerate(search.alone):
        left_out = paired_difference(figure(search.left_out[member]), vote, groups, seed=0) if search.left_out else None
        over_vote = paired_difference(figure(own), vote, groups, seed=0)
        over_vote = over_vote if crossfitted else Difference(over_vote.value, np.nan, np.nan)
        interval = figure_interval(figure(own), groups, seed=0) if crossfitted else None
        found.append(MemberContribution(metric.score_table(truth, own), interval, over_vote, left_out))
    return found
