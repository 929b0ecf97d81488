"""The choosing functions on plain arrays of scores, the mean of which over images is what counts."""

from collections.abc import Callable

import numpy as np

from competition.ensembling.segmentation import (
    contribution,
    postprocessing,
    threshold_choice,
    thresholds,
    weight_search,
)
from competition.metrics.ratios import Ratios


def choose_levels(curves, *others):
    return threshold_choice.choose_levels(Ratios(curves), *others)


def crossfit_levels(curves, *others):
    return threshold_choice.crossfit_levels(Ratios(curves), *others)


def best_levels(curves, *others):
    return thresholds.best_levels(Ratios(curves).scores(), *others)


def study_levels(curves, **named):
    return thresholds.study_levels(Ratios(curves).scores(), **named)


def fold_sums(curves, images):
    return thresholds.FoldSums.of(Ratios(curves), images)


def scores_at(curves, levels):
    """The score of every image and class at its level, from curves (n, C, 256) or ratios of them."""
    return (curves if isinstance(curves, Ratios) else Ratios(curves)).at(np.asarray(levels)).values()


def choose_operations(scores, *others):
    return postprocessing.choose_operations(Ratios(scores), *others)


def crossfit_operations(scores, *others):
    return postprocessing.crossfit_operations(Ratios(scores), *others)


def search_weights(evaluate, *others, **named):
    return weight_search.search_weights(_ratios(evaluate), *others, **named)


def given_weights(evaluate, *others):
    return weight_search.given_weights(_ratios(evaluate), *others)


def tune_curves(evaluate, *others):
    return threshold_choice.tune_curves(_ratios(evaluate), *others)


def member_contributions(evaluate, *others, **named):
    return contribution.member_contributions(_ratios(evaluate), *others, **named)


def _ratios(evaluate: Callable[..., np.ndarray]) -> Callable[..., Ratios]:
    """Gives what a search asks for from a function that gives arrays of scores."""
    return lambda weights, images: Ratios(evaluate(weights, images))
