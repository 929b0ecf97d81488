"""Thresholds for chosen weights: tuned ones only where they gain over 0.5 on folds that they never saw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.segmentation.thresholds import FindLevels, FoldSums, Window, best_levels, shrink_levels
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.segmentation.weight_search import Evaluate, WeightSearch
from competition.ensembling.selection.bootstrap import gain_with_error
from competition.ensembling.selection.crossfitting import Choice, Excluded, choose, crossfit, crossfit_rows, first_best
from competition.ensembling.voting.blend import round_weights
from competition.metrics.ratios import Ratios, join
from competition.prediction.probability_maps import HALF_LEVEL


@dataclass(frozen=True)
class ChosenLevels:
    """The threshold levels of all classes, int64 (C,)."""

    levels: NDArray[np.int64]  # those that apply: ``shrunk``, or 127 for every class
    raw: NDArray[np.int64]  # the best on all images
    shrunk: NDArray[np.int64]  # ``raw`` pulled to 0.5 where few groups support it
    choice: Choice  # candidate 0 is 0.5, candidate 1 ``shrunk``

    @property
    def reason(self) -> str:
        """Return why these were chosen, as a clause."""
        return f"thresholds: {'tuned ones taken' if self.choice.index else '0.5 kept'} ({self.choice.reason})"


def choose_levels(
    curves: Ratios,
    images: TuningImages,
    window: Window,
    excluded: Excluded = frozenset(),
    find: FindLevels = best_levels,
) -> ChosenLevels:
    """Choose between tuned levels and 0.5, for all classes of curves (n, C, 256) together.

    Tuned levels are taken where their cross-fitted gain over 0.5 exceeds one standard error. ``excluded`` is at most
    one fold, which the choice must not see; ``find`` finds the best levels.
    """
    sums = FoldSums.of(curves, images)
    remaining = [fold for fold in images.names if fold not in excluded]
    others = [excluded | {fold} for fold in remaining] if len(remaining) > 1 else []
    best = {without: find(sums.mean_without(without), window) for without in [excluded, *others]}
    tuned = {without: shrink_levels(levels, images.groups_without(without)) for without, levels in best.items()}

    def better(without: Excluded) -> int:
        mean = sums.mean_without(without)
        at_tuned = np.take_along_axis(mean, tuned[without][:, None], axis=1)[:, 0]
        return first_best(np.array([images.class_mean(mean[:, HALF_LEVEL]), images.class_mean(at_tuned)]))

    def gain(_: Excluded, chosen: dict[int, int]) -> tuple[float, float]:
        levels = np.full(curves.numerators.shape[:2], HALF_LEVEL)
        for fold in (fold for fold, index in chosen.items() if index):
            levels[images.folds == fold] = tuned[excluded | {fold}]
        kept = np.isin(images.folds, remaining)
        differences = curves.at(levels).take(kept).values() - curves.at(HALF_LEVEL).take(kept).values()
        return gain_with_error(images.class_mean(differences), np.asarray(images.groups)[kept].tolist())

    choice = choose({without: better(without) for without in tuned}, gain, images.names, excluded)
    shrunk = tuned[excluded]
    levels = shrunk if choice.index else np.full_like(shrunk, HALF_LEVEL)
    return ChosenLevels(levels, best[excluded], shrunk, choice)


def crossfit_levels(
    curves: Ratios, images: TuningImages, window: Window, find: FindLevels = best_levels
) -> NDArray[np.int64] | None:
    """Return for each image the levels that are chosen without its own fold, int64 (n, C); None with one fold."""
    levels = np.empty(curves.numerators.shape[:2], np.int64)
    return crossfit_rows(levels, images.folds, lambda out: choose_levels(curves, images, window, out, find).levels)


@dataclass(frozen=True)
class TunedCurves:
    """Weights and levels, with values of every image and class whose mean is the score (``Ratios.values``)."""

    search: WeightSearch
    chosen: ChosenLevels
    curves: Ratios  # (n, C, 256) of these weights
    half: Ratios  # (n, C), equal weights at threshold 0.5
    oof: NDArray[np.float64]  # (n, C) of the weights at the levels: optimistic
    # (n, C), each image scored with weights and levels that were chosen without its fold by the same rules; None with
    # fewer than two folds, as the levels (n, C) of these weights that were chosen without each image's fold.
    crossfit: NDArray[np.float64] | None
    honest_levels: NDArray[np.int64] | None

    @property
    def at_half(self) -> NDArray[np.float64]:
        """Return the values (n, C) of equal weights at threshold 0.5."""
        return self.half.values()


def tune_curves(
    evaluate: Evaluate, search: WeightSearch, images: TuningImages, window: Window, find: FindLevels = best_levels
) -> TunedCurves:
    """Choose levels for the weights of a search, and score both together."""
    everything = np.arange(len(images.folds))
    equal = np.tile(round_weights(np.ones(search.weights.shape[1])), (len(search.weights), 1))
    half = evaluate(equal, everything).at(HALF_LEVEL)
    curves = evaluate(search.weights, everything)
    chosen = choose_levels(curves, images, window, find=find)
    return TunedCurves(
        search=search,
        chosen=chosen,
        curves=curves,
        half=half,
        oof=curves.at(chosen.levels).values(),
        crossfit=_crossfit_scores(evaluate, search, curves, images, window, find),
        honest_levels=crossfit_levels(curves, images, window, find),
    )


def _crossfit_scores(
    evaluate: Evaluate, search: WeightSearch, final: Ratios, images: TuningImages, window: Window, find: FindLevels
) -> NDArray[np.float64] | None:
    """Score each fold with the weights and the levels that were chosen without it; ``final`` are the chosen curves."""
    evaluated, curves = search.weights, final

    def held_out(without: Excluded) -> Ratios:
        nonlocal evaluated, curves
        (fold,) = without
        if (search.without[fold] != evaluated).any():
            evaluated = search.without[fold]
            curves = final if (evaluated == search.weights).all() else evaluate(evaluated, np.arange(len(final)))
        levels = choose_levels(curves, images, window, without, find).levels
        return curves.take(images.folds == fold).at(levels)

    # Folds of equal weights follow each other, so that no vector is evaluated twice.
    scores = crossfit(sorted(search.without, key=lambda fold: search.without[fold].tolist()), held_out)
    if not scores:
        return None
    rows = np.concatenate([np.flatnonzero(images.folds == fold) for fold in scores])
    return join(list(scores.values())).take(np.argsort(rows)).values()
