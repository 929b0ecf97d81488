"""The choice among the best few decisions of a count metric by a metric that can't be searched exactly.

The count metric proposes its own decision and its neighbours: other post-processing, other levels at which its score is
almost as high, and the next best weights. All are decided again on the stored out-of-fold maps and scored by the mask
metric. Another than the count metric's own is taken only where its gain exceeds one standard error. For a cross-fitted
score this is repeated without each fold: proposals and choice see nothing of the fold that is scored, and the objects'
rules only the levels at which the images of the other folds were decided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.console import track
from competition.ensembling.segmentation.object_choice import ObjectChoice
from competition.ensembling.segmentation.out_of_fold import TuningMaps
from competition.ensembling.segmentation.postprocessing import decide_image
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.selection.bootstrap import gain_with_error
from competition.ensembling.selection.crossfitting import TIE, Excluded, fill_held
from competition.masks.object_splitting import ObjectRule, split_planes
from competition.metrics.masks import ImageMasks, MaskMetric, Measured
from competition.text import counted


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
    """Values of units and classes whose mean is the score (``Ratios.values``)."""

    at_half: NDArray[np.float64]  # (n, C) of equal weights at threshold 0.5
    oof: NDArray[np.float64]  # (n, C) of the decision: optimistic
    crossfit: NDArray[np.float64] | None  # (n, C), each unit by what was chosen without its part; None with one part


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
    half = proposals.half
    scored = _measure(data, metric, list(dict.fromkeys([half, *(one for own in sets.values() for _, one in own)])))
    values = {one: metric.values(measured, data.groups) for one, measured in scored.items()}
    counted = {one: _count_values(metric, measured, data.groups) for one, measured in scored.items()}
    picked = {excluded: choose_candidate(own, values, images, excluded) for excluded, own in sets.items()}
    what, chosen, reason = picked[frozenset()]
    without = {next(iter(excluded)): found[1] for excluded, found in picked.items() if excluded}

    def held(of: Mapping[Candidate, NDArray[np.float64]]) -> NDArray[np.float64] | None:
        if not without:
            return None
        rows = {fold: of[one][images.folds == fold] for fold, one in without.items()}
        return fill_held(np.empty_like(of[chosen]), images.folds, rows)

    counts, measures = scored[chosen].counts.copy(), scored[chosen].values.copy()
    levels = np.tile(np.array(chosen.levels), (len(parts), 1))
    for fold, one in without.items():
        own = parts == fold
        counts[own], measures[own], levels[own] = scored[one].counts[own], scored[one].values[own], one.levels
    return Reranked(
        chosen,
        f"re-ranked by {metric.label}: {what} ({reason})",
        Values(values[half], values[chosen], held(values)),
        Values(counted[half], counted[chosen], held(counted)),
        Measured(counts, measures),
        levels,
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


def _count_values(metric: MaskMetric, measured: Measured, groups: Sequence[str]) -> NDArray[np.float64]:
    counts = metric.proposer.pool(measured.counts, groups)
    return metric.proposer.ratios(*np.moveaxis(counts, 1, 0)).values()


def choose_candidate(
    candidates: Sequence[tuple[str, Candidate]],
    values: Mapping[Candidate, NDArray[np.float64]],
    images: TuningImages,
    excluded: Excluded,
) -> tuple[str, Candidate, str]:
    """Choose on the folds that are not excluded; return what was taken, with the reason as a clause."""
    kept = ~np.isin(images.folds, list(excluded))
    means = [images.measured_means(values[one])[kept] for _, one in candidates]
    best = int(np.argmax([mean.mean() for mean in means]))
    if best == 0 or not images.present.any():
        return (*candidates[0], f"the best of {counted(len(candidates), 'decision')}")
    groups = np.asarray(images.groups)[kept].tolist()
    gain, error = gain_with_error(means[best] - means[0], groups)
    figures = f"gain {gain:+.5f}, standard error {error:.5f}"
    if gain - error > TIE:
        return (*candidates[best], f"{figures}: more than one standard error")
    return (*candidates[0], f"{candidates[best][0]}: {figures}, not more than one standard error")
