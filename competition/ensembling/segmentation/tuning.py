"""Tuning a segmentation: weights and thresholds on exact histograms, then post-processing on the decided images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import progress, track
from competition.ensembling.segmentation.contribution import member_contributions
from competition.ensembling.segmentation.member_curves import (
    MemberCurves,
    curves_of_any,
    curves_of_given,
    curves_of_one,
)
from competition.ensembling.segmentation.object_choice import ObjectChoice, choose_rules
from competition.ensembling.segmentation.out_of_fold import TuningMaps
from competition.ensembling.segmentation.postprocessing import (
    OPERATIONS,
    choose_columns,
    crossfit_operations,
    operation_counts,
    sure_pixels,
)
from competition.ensembling.segmentation.proposals import propose
from competition.ensembling.segmentation.reranking import Reranked, rerank
from competition.ensembling.segmentation.scored_vote import ScoredVote
from competition.ensembling.segmentation.threshold_choice import TunedCurves, tune_curves
from competition.ensembling.segmentation.thresholds import THRESHOLDS, Window, window_levels
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.segmentation.weight_search import given_weights, search_weights
from competition.ensembling.selection.bootstrap import MemberContribution
from competition.ensembling.selection.crossfitting import crossfit_parts, fold_names
from competition.ensembling.selection.weight_methods import METHODS, expected_vectors
from competition.ensembling.voting.class_groups import ClassGroups
from competition.ensembling.voting.masks import vote_image
from competition.metrics.counts import false_positive_owners, measured_mean, pooled_dice
from competition.metrics.masks import MaskMetric
from competition.metrics.ratios import Ratios


@dataclass(frozen=True)
class Search:
    """What may be tried."""

    method: str  # how weights are searched, a name of ``METHODS``
    trials: int  # weight vectors to try, where the method needs a number
    class_groups: ClassGroups  # classes that get weights of their own
    # Lowest and highest threshold that may be chosen; where too many pixels are contested between them, the next pair
    # is tried.
    windows: Sequence[Window]
    given: tuple[int, ...] | None = None  # weights in thousandths, where they are not to be searched
    # How thresholds are searched, a name of ``THRESHOLDS``; weights are always compared, and members measured, at those
    # of the exact sweep.
    thresholds: str = "sweep"
    reranked_by: MaskMetric | None = None  # chooses among the best few decisions of the count metric
    of_objects: bool = False  # whether single objects are submitted, so that the rules which split masks are chosen


@dataclass(frozen=True)
class TunedSegmentation:
    """What was chosen, with the scores of every unit and class: values whose mean is the score (``Ratios.values``)."""

    tuned: TunedCurves  # weights and levels, scored before post-processing
    operations: list[str]  # post-processing per class
    operation_gains: list[float]  # cross-fitted, of each class that is processed
    oof: NDArray[np.float64]  # (n, C) of everything chosen: optimistic
    # (n, C), everything chosen without the image's own part (``crossfit_parts``); None with one part, as (C,), the same
    # decisions with pixels pooled over images.
    crossfit: NDArray[np.float64] | None
    pooled_crossfit: NDArray[np.float64] | None
    # Score of each trained fold, at equal weights and threshold 0.5; nan where no class occurs. (Where parts replace
    # folds, ``images`` has the parts.)
    by_fold: list[float]
    contributions: list[MemberContribution]  # of each member
    # (C, C + 1) and (C,) of ``metrics.false_positive_owners`` summed over the images, each decided at levels chosen
    # without its own part, before post-processing.
    owners: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    areas: NDArray[np.int64]  # (C,), true pixels of every class over the images
    images: TuningImages  # facts about the units of the metric (images, or groups whose images it pools)
    window: Window  # lowest and highest threshold that could be chosen
    contested: float | None  # share of contested pixels between them, None for one member and for given weights
    vote: ScoredVote  # the same on every image, for the report
    objects: ObjectChoice | None  # how masks become objects, where single objects are submitted
    reranked: Reranked | None  # the choice by a metric that is not searched exactly


def tune_segmentation(data: TuningMaps, search: Search, folder: Path | None) -> TunedSegmentation:
    """Choose weights, thresholds and post-processing; contested pixels are kept in ``folder``, or in memory.

    Raises:
        CompetitionError: A map is missing or damaged, or too many pixels are contested in the last window.
    """
    parts = crossfit_parts(data.folds, data.groups)
    curves, tuned = _tune_curves(data, parts, search, folder)
    images = curves.images
    by_image, owners, false_positives = _decided_counts(data, tuned)
    counts = np.moveaxis(data.metric.pool(by_image, data.groups), 1, 0)
    by_operation = data.metric.ratios(*counts)
    chosen = choose_columns(by_operation, images.folds, images.groups)
    operations, picked = [list(OPERATIONS)[one.index] for one in chosen], np.array([one.index for one in chosen])
    unprocessed = by_operation.at(0).values()
    crossfit, pooled = None, None
    choices = crossfit_operations(by_operation, images.folds, images.groups)
    if tuned.crossfit is not None and choices is not None:
        # The gain of post-processing is measured at the final weights, but at levels and choices of the other folds.
        crossfit = tuned.crossfit + by_operation.at(choices).values() - unprocessed
        pooled = pooled_dice(*np.take_along_axis(counts, choices[None, ..., None], axis=3)[..., 0])
    honest = tuned.oof if tuned.crossfit is None else tuned.crossfit
    vote = _scored_vote(data, tuned, by_image, picked, curves)
    objects, reranked = None, None
    if search.of_objects:
        objects = choose_rules(
            data, parts, tuned.search.weights, vote.levels, _operations_of_images(data, operations, choices)
        )
    if search.reranked_by is not None:
        searched = len(data.names) > 1 and search.given is None
        proposals = propose(curves, tuned, by_operation, THRESHOLDS[search.thresholds], searched)
        reranked = rerank(data, search.reranked_by, proposals, images, parts, objects)
        measured = reranked.measured
        vote = replace(vote, counts=measured.counts, values=measured.values, levels=reranked.levels)
    return TunedSegmentation(
        tuned=tuned,
        operations=operations,
        operation_gains=[one.gain for one in chosen if one.index and one.gain is not None],
        oof=tuned.oof + by_operation.at(picked).values() - unprocessed,
        crossfit=crossfit,
        pooled_crossfit=pooled,
        by_fold=_fold_scores(data, tuned.half, images),
        contributions=member_contributions(
            curves.evaluate,
            tuned.search.weights,
            data.voters(),
            images,
            curves.window,
            honest,
            search.given is not None,
        ),
        owners=owners,
        false_positives=false_positives,
        areas=counts[2, :, :, 0].sum(axis=0),
        images=images,
        window=curves.window,
        contested=curves.contested,
        vote=vote,
        objects=objects,
        reranked=reranked,
    )


def _fold_scores(data: TuningMaps, half: Ratios, images: TuningImages) -> list[float]:
    """Return ``TunedSegmentation.by_fold`` of ratios (n, C)."""
    _, first = data.metric.units(data.groups)
    trained = [data.folds[first] == fold for fold in fold_names(data.folds)]
    return [measured_mean(half.take(rows).values(), images.present[rows], images.class_weights) for rows in trained]


def _operations_of_images(
    data: TuningMaps, operations: Sequence[str], choices: NDArray[np.int64] | None
) -> list[Sequence[str]]:
    """Return for each image the operations that were chosen without its unit's part, or those of the decision."""
    unit_of, _ = data.metric.units(data.groups)
    names = list(OPERATIONS)
    return [operations if choices is None else [names[at] for at in choices[unit]] for unit in unit_of]


def _scored_vote(
    data: TuningMaps, tuned: TunedCurves, by_image: NDArray[np.int64], picked: NDArray[np.int64], curves: MemberCurves
) -> ScoredVote:
    """Return what is kept of single images, of counts (n, 3, C, operations) and the chosen operations (C,)."""
    counts = np.take_along_axis(by_image, picked[None, None, :, None], axis=3)[..., 0]
    unit_of, _ = data.metric.units(data.groups)
    levels = tuned.chosen.levels if tuned.honest_levels is None else tuned.honest_levels[unit_of]
    scores = tuned.curves.scores()
    if curves.contested is not None:  # the contested pixels decide nothing beyond the window
        low, high = window_levels(curves.window)
        scores[:, :low], scores[:, high + 1 :] = np.nan, np.nan
    nothing = np.empty((len(counts), 0, counts.shape[2]))
    return ScoredVote(data.samples, counts, nothing, np.broadcast_to(levels, counts[:, 0].shape), scores)


def _tune_curves(
    data: TuningMaps, parts: NDArray[np.int64], search: Search, folder: Path | None
) -> tuple[MemberCurves, TunedCurves]:
    """Choose weights and levels."""
    groups, members = search.class_groups.weighted(data.metric.class_weights), len(data.names)
    if search.given is not None:
        with progress("reading maps", len(data.samples)) as ticker:
            curves = curves_of_given(data, parts, search.windows[0], search.given, ticker)
        weights = given_weights(curves.evaluate, search.given, curves.images, groups, curves.window)
    else:
        if members == 1:
            curves = curves_of_one(data, parts, search.windows[0])
        else:
            with progress("contested pixels", len(data.samples)) as ticker:
                curves = curves_of_any(data, parts, search.windows, folder, ticker)
        propose = METHODS[search.method](members, search.trials)
        expected = expected_vectors(search.method, members, search.trials)
        weights = search_weights(
            curves.evaluate, propose, members, curves.images, groups, curves.window, expected=expected
        )
    return curves, tune_curves(curves.evaluate, weights, curves.images, curves.window, THRESHOLDS[search.thresholds])


def _decided_counts(
    data: TuningMaps, tuned: TunedCurves
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count the pixels of every image, decided at levels chosen without its own fold.

    Returns:
        int64 (n, 3, C, operations) of every image and operation, and over all images the owners of false positives
        (C, C + 1) and the false positives (C,).
    """
    voters, classes = data.voters(), len(data.classes)
    weights = voters.weights_by_class(tuned.search.weights)
    counts = []
    owners = np.zeros((classes, classes + 1), dtype=np.int64)
    false_positives = np.zeros(classes, dtype=np.int64)
    unit_of, _ = data.metric.units(data.groups)
    for unit, sample in zip(unit_of, track(data.samples, "post-processing"), strict=True):
        levels = tuned.chosen.levels if tuned.honest_levels is None else tuned.honest_levels[unit]
        maps, truth = data.open_maps(sample), data.truth(sample)
        decided = vote_image(maps, voters, weights, levels)
        counts.append(operation_counts(decided, truth, classes, sure_pixels(maps, voters, weights)))
        here = false_positive_owners(decided, truth, classes)
        owners += here[0]
        false_positives += here[1]
    return np.stack(counts), owners, false_positives
