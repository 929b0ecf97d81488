"""The choosing functions on plain arrays of scores, the mean of which over images is what counts."""

from collections.abc import Callable

import numpy as np

from competition.ensembling.segmentation import cut_choice, postprocessing, thresholds, weights_and_thresholds, worth
from competition.ensembling.selection import weight_search
from competition.metrics.ratios import Ratios


def choose_cuts(curves, *others):
    return cut_choice.choose_cuts(Ratios(curves), *others)


def crossfit_cuts(curves, *others):
    return cut_choice.crossfit_cuts(Ratios(curves), *others)


def best_cuts(curves, *others):
    return thresholds.best_cuts(Ratios(curves), *others)


def study_cuts(curves, *others, **named):
    return thresholds.study_cuts(Ratios(curves), *others, **named)


def fold_sums(curves, images):
    return thresholds.FoldSums.of(Ratios(curves), images)


def scores_at(curves, cuts):
    """The score of every image and class at its cut, from curves (n, C, 256) or ratios of them."""
    return (curves if isinstance(curves, Ratios) else Ratios(curves)).at(np.asarray(cuts)).values()


def choose_operations(scores, *others):
    return postprocessing.choose_operations(Ratios(scores), *others)


def crossfit_operations(scores, *others):
    return postprocessing.crossfit_operations(Ratios(scores), *others)


def search_weights(evaluate, *others, **named):
    return weight_search.search_weights(_ratios(evaluate), *others, **named)


def given_weights(evaluate, *others):
    return weight_search.given_weights(_ratios(evaluate), *others)


def tune_curves(evaluate, *others):
    return weights_and_thresholds.tune_curves(_ratios(evaluate), *others)


def member_worth(evaluate, *others, **named):
    return worth.member_worth(_ratios(evaluate), *others, **named)


def _ratios(evaluate: Callable[..., np.ndarray]) -> Callable[..., Ratios]:
    """Gives what a search asks for from a function that gives arrays of scores."""
    return lambda weights, images: Ratios(evaluate(weights, images))
