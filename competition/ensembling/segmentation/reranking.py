"""The choice among the best few decisions of a count metric by a metric that can't be searched exactly.

The count metric proposes its own decision and its neighbours: other post-processing, other levels at which its score is
almost as high, and the next best weights. All are decided again on the stored out-of-fold maps and scored by the mask
metric. Another than the count metric's own is taken only where its gain on left-out folds exceeds one standard error.
For a cross-fitted score this is repeated without each fold: proposals and choice see nothing of the fold that is
scored, and the objects' rules only the levels at which the images of the other folds were decided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from competition.console import track
from competition.ensembling.segmentation.object_choice import ObjectChoice
from competition.ensembling.segmentation.out_of_fold import TuningMaps
from competition.ensembling.segmentation.postprocessing import decide_image
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.selection.bootstrap import gain_with_error
from competition.ensembling.selection.crossfitting import Excluded, choose, fill_held, first_best, fold_names
from competition.masks.object_splitting import ObjectRule, split_planes
from competition.metrics.masks import ImageMasks, MaskMetric, Measured


@dataclass(frozen=True)
class Candidate:
    """A decision; equal ones are scored once."""

    weights: tuple[tuple[int, ...], ...]  # (C, M) in thousandths
    levels: tuple[int, ...]  # (C,)
    operations: tuple[str, ...]  # (C,)
    rules: tuple[ObjectRule, ...] = ()  # (C,) how masks become objects; none: connected components


@dataclass(frozen=True)
class Proposals:
    """What a count metric proposes, its own decision first."""

    half: Candidate  # equal weights at threshold 0.5 without post-processing
    candidates: Mapping[Excluded, Sequence[tuple[str, Candidate]]]  # fold that is left out, or none -> (what it is, it)


@dataclass(frozen=True)
class Values:
    """Values of units and classes whose mean over all units is the score (``Ratios.values``)."""

    at_half: NDArray[np.float64]  # (n, C) of equal weights at threshold 0.5
    oof: NDArray[np.float64]  # (n, C) of the decision: optimistic
    crossfit: NDArray[np.float64] | None  # (n, C), each unit by what was chosen without its part; None with one part
    # Of each trained fold, equal weights at threshold 0.5; nan where no class occurs. Not from ``at_half``: its values
    # are linearised over all units, so that their mean over one fold is not its score.
    by_fold: Sequence[float]


@dataclass(frozen=True)
class Reranked:
    """What was chosen."""

    chosen: Candidate
    reason: str  # why, as a clause
    values: Values  # by the mask metric
    counted: Values  # of the same decisions by the count metric
    measured: Measured  # of n images, by what was chosen without their part, or on all
    levels: NDArray[np.int64]  # (n, C) likewise


def rerank(
    data: TuningMaps,
    metric: MaskMetric,
    proposals: Proposals,
    images: TuningImages,
    parts: NDArray[np.int64],
    objects: ObjectChoice | None,
) -> Reranked:
    """Score all proposals and choose among them.

    Args:
        data: Maps and truth.
        metric: Of the track.
        proposals: Without any part, and without each.
        images: The units of the metric.
        parts: (n,) what is cross-fitted over, of images.
        objects: How masks become objects; None: connected components.
    """
    sets = {
        excluded: [(what, _with_rules(one, objects, excluded)) for what, one in candidates]
        for excluded, candidates in proposals.candidates.items()
    }
    half, groups = proposals.half, np.asarray(data.groups)
    scored = _measure(data, metric, list(dict.fromkeys([half, *(one for own in sets.values() for _, one in own)])))
    rivals = Rivals(sets, scored, metric, images, parts, groups)
    what, chosen, reason = rivals.choose()
    without = {next(iter(excluded)): rivals.choose(excluded)[1] for excluded in sets if excluded}
    honest = rivals.measured(without or dict.fromkeys(images.names, chosen))

    def values(by: MaskMetric) -> Values:
        trained = [data.folds == fold for fold in fold_names(data.folds)]
        return Values(
            by.values(scored[half], data.groups),
            by.values(scored[chosen], data.groups),
            by.values(honest, data.groups) if without else None,
            [by.score(scored[half].take(rows), groups[rows].tolist()) for rows in trained],
        )

    levels = np.tile(np.array(chosen.levels), (len(parts), 1))
    return Reranked(
        chosen,
        f"re-ranked by {metric.label}: {what} ({reason})",
        values(metric),
        values(replace(metric, parts=((1.0, metric.proposer),))),
        honest,
        fill_held(levels, parts, {part: one.levels for part, one in without.items()}),
    )


def _with_rules(candidate: Candidate, objects: ObjectChoice | None, excluded: Excluded) -> Candidate:
    rules = () if objects is None else objects.excluding(excluded)
    return Candidate(candidate.weights, candidate.levels, candidate.operations, rules)


def _measure(data: TuningMaps, metric: MaskMetric, candidates: Sequence[Candidate]) -> dict[Candidate, Measured]:
    """Decide every image by every candidate, and measure it, with one image in memory at a time."""
    voters, classes = data.voters(), len(data.classes)
    weights = {one.weights: voters.weights_by_class(np.array(one.weights, dtype=np.int64)) for one in candidates}
    found: dict[Candidate, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {one: [] for one in candidates}
    for sample in track(data.samples, f"{len(candidates)} decisions by {metric.label}"):
        maps, planes = data.open_maps(sample), data.truth(sample)
        truth = ImageMasks(planes, classes, data.true_objects(sample) if metric.of_objects else None)
        for one, own in found.items():
            decided = decide_image(maps, voters, weights[one.weights], one.levels, one.operations)
            objects = split_planes(decided, one.rules) if metric.of_objects and one.rules else None
            own.append(metric.measure(ImageMasks(decided, classes, objects), truth))
    return {
        one: Measured(np.stack([counts for counts, _ in own]), np.stack([values for _, values in own]))
        for one, own in found.items()
    }


@dataclass(frozen=True)
class Rivals:
    """Candidates, measured on all images."""

    sets: Mapping[Excluded, Sequence[tuple[str, Candidate]]]  # as ``Proposals.candidates``
    scored: Mapping[Candidate, Measured]
    metric: MaskMetric
    images: TuningImages  # the units of the metric
    parts: NDArray[np.int64]  # (n,) what is cross-fitted over, of images
    groups: NDArray[np.str_]  # (n,)

    def measured(self, of: Mapping[int, Candidate]) -> Measured:
        """Return the images of the given parts in their order, each measured by the candidate of its part."""
        rows = np.concatenate([np.flatnonzero(self.parts == part) for part in of])
        found = [self.scored[one].take(self.parts == part) for part, one in of.items()]
        joined = Measured(np.concatenate([one.counts for one in found]), np.concatenate([one.values for one in found]))
        return joined.take(np.argsort(rows))

    def values(self, of: Mapping[int, Candidate]) -> NDArray[np.float64]:
        """Return the values (units, C) of the given parts likewise."""
        return self.metric.values(self.measured(of), self.groups[np.isin(self.parts, list(of))].tolist())

    def score(self, candidate: Candidate, without: Excluded) -> float:
        """Return the score of one candidate on the parts that are not left out."""
        rows = ~np.isin(self.parts, list(without))
        return self.metric.score(self.scored[candidate].take(rows), self.groups[rows].tolist())

    def choose(self, excluded: Excluded = frozenset()) -> tuple[str, Candidate, str]:
        """Choose on the parts that are not excluded (at most one is).

        The gain on a part is that of the candidate with the highest score on the others, of those proposed without it.
        Nothing is proposed without two parts, so where one is excluded, what was proposed without that one is compared.

        Returns:
            What was taken in words, the candidate, and the reason as a clause.
        """
        remaining = [part for part in self.images.names if part not in excluded]
        others = [excluded | {part} for part in remaining] if len(remaining) > 1 else []
        own = {without: self.sets.get(without, self.sets[excluded]) for without in [excluded, *others]}

        def gain(_: Excluded, picked: dict[int, int]) -> tuple[float, float]:
            taken = self.values({part: own[excluded | {part}][index][1] for part, index in picked.items()})
            first = self.values({part: own[excluded | {part}][0][1] for part in picked})
            kept = self.images.take(np.flatnonzero(np.isin(self.images.folds, remaining)))
            return gain_with_error(kept.measured_means(taken - first), kept.groups)

        best = {
            without: first_best(np.array([self.score(candidate, without) for _, candidate in listed]))
            for without, listed in own.items()
        }
        choice = choose(best, gain, self.images.names, excluded)
        return (*own[excluded][choice.index], choice.reason)
