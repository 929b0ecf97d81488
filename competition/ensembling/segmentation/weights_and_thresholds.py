"""Weights and thresholds, chosen on curves and scored on folds that they never saw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.segmentation.cut_choice import ChosenCuts, choose_cuts, crossfit_cuts
from competition.ensembling.segmentation.thresholds import HALF, Window
from competition.ensembling.segmentation.trials import Evaluate
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.selection.weight_search import WeightSearch
from competition.ensembling.voting.blend import round_weights
from competition.metrics.ratios import Ratios, join


@dataclass(frozen=True)
class TunedCurves:
    """Weights and cuts with the scores of every image and class, values whose mean is the score (``Ratios.values``).

    Attributes:
        search: The weights.
        chosen: The cuts.
        curves: (n, C, 256) of these weights.
        at_half: float64 (n, C), equal weights at threshold 0.5.
        oof: float64 (n, C) of the weights at the cuts: optimistic.
        crossfit: float64 (n, C), each image scored with weights and cuts that were chosen without its fold by the same
            rules; None with fewer than two folds.
        honest_cuts: int64 (n, C), for each image the cuts of these weights that were chosen without its fold; None
            likewise.
    """

    search: WeightSearch
    chosen: ChosenCuts
    curves: Ratios
    at_half: NDArray[np.float64]
    oof: NDArray[np.float64]
    crossfit: NDArray[np.float64] | None
    honest_cuts: NDArray[np.int64] | None


def tune_curves(evaluate: Evaluate, search: WeightSearch, images: TuningImages, window: Window) -> TunedCurves:
    """Choose cuts for weights that were chosen, and score both together.

    Args:
        evaluate: Gives the curves of weights on images.
        search: The weights.
        images: What ``evaluate`` knows.
        window: Lowest and highest threshold that may be chosen.

    Returns:
        Tuned cuts, or 0.5 where they show no gain.
    """
    everything = np.arange(len(images.folds))
    equal = np.tile(round_weights(np.ones(search.weights.shape[1])), (len(search.weights), 1))
    at_half = evaluate(equal, everything).at(HALF).values()
    curves = evaluate(search.weights, everything)
    chosen = choose_cuts(curves, images, window)
    return TunedCurves(
        search=search,
        chosen=chosen,
        curves=curves,
        at_half=at_half,
        oof=curves.at(chosen.cuts).values(),
        crossfit=_crossfit(evaluate, search, curves, images, window),
        honest_cuts=crossfit_cuts(curves, images, window),
    )


def _crossfit(
    evaluate: Evaluate, search: WeightSearch, final: Ratios, images: TuningImages, window: Window
) -> NDArray[np.float64] | None:
    """Score each fold with the weights and the cuts that were chosen without it; ``final`` are the chosen curves."""
    if not search.without:
        return None
    parts, rows = [], []
    evaluated, curves = search.weights, final
    # Folds of equal weights follow each other, so that no vector is evaluated twice.
    for fold, weights in sorted(search.without.items(), key=lambda item: item[1].tolist()):
        if (weights == search.weights).all():
            curves = final
        elif (weights != evaluated).any():
            evaluated, curves = weights, evaluate(weights, np.arange(len(final)))
        cuts = choose_cuts(curves, images, window, frozenset({fold})).cuts
        rows.append(np.flatnonzero(images.folds == fold))
        parts.append(curves.take(rows[-1]).at(cuts))
    return join(parts).take(np.argsort(np.concatenate(rows))).values()
