"""How masks are split into objects: a rule is chosen only if its cross-fitted gain exceeds one standard error."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from competition.console import track
from competition.ensembling.segmentation.out_of_fold import TuningMaps
from competition.ensembling.segmentation.postprocessing import chosen_positions, decide_image
from competition.ensembling.selection.crossfitting import Excluded, crossfit_rows, fold_names
from competition.masks.bit_planes import unpack_class
from competition.masks.object_splitting import PLAIN, ObjectRule, drop_small, split_mask
from competition.metrics.objects import average_precision
from competition.metrics.ratios import Ratios

SMALLEST = (0, 10, 30, 90)
"""Pixels below which objects are dropped."""
SPLITS = (PLAIN, *(ObjectRule(distance, smoothing) for distance, smoothing in product((0.6, 0.8, 1.0, 1.3), (1, 2))))
RULES = tuple(ObjectRule(one.distance, one.smoothing, smallest) for one in SPLITS for smallest in SMALLEST)
"""What is tried; of rules that score alike the first is taken."""


@dataclass(frozen=True)
class ObjectChoice:
    """How each class is split, and what that gives."""

    rules: tuple[ObjectRule, ...]  # of each class
    without: dict[int, tuple[ObjectRule, ...]]  # fold -> rules chosen on the others; empty with one fold
    plain: NDArray[np.float64]  # (n, C) object AP of connected components, nan where no side has an object
    crossfit: NDArray[np.float64]  # likewise, of the rules chosen without the image's fold, or of ``rules``

    def excluding(self, excluded: Excluded) -> tuple[ObjectRule, ...]:
        """Return the rules that were chosen without a fold, or all rules."""
        return self.without[next(iter(excluded))] if excluded else self.rules


def choose_rules(
    data: TuningMaps,
    folds: NDArray[np.int64],
    weights: NDArray[np.int64],
    levels: NDArray[np.int64],
    operations: Sequence[Sequence[str]],
) -> ObjectChoice:
    """Choose each class's rule by object AP.

    Args:
        data: Maps and true objects.
        folds: (n,) what choices are cross-fitted over.
        weights: (C, M) of the members.
        levels: (n, C), for each image chosen without its own fold.
        operations: Of each image likewise, a name per class.
    """
    voters, found = data.voters(), []
    by_class = voters.weights_by_class(weights)
    for position, sample in enumerate(track(data.samples, "objects")):
        planes = decide_image(data.open_maps(sample), voters, by_class, levels[position], operations[position])
        truth = data.true_objects(sample)
        found.append(
            [
                _precisions(unpack_class(planes, index), truth.of_class(index), truth.size_hw)
                for index in range(len(data.classes))
            ]
        )
    values = np.array(found)
    scores = Ratios(np.where(np.isnan(values), 1.0, values))
    chosen = chosen_positions(scores, folds, data.groups)
    rows = crossfit_rows(
        np.empty(values.shape[:2], np.int64), folds, lambda out: chosen_positions(scores, folds, data.groups, out)
    )
    without = {} if rows is None else {fold: _rules(rows[folds == fold][0].tolist()) for fold in fold_names(folds)}
    picked = np.broadcast_to(np.array(chosen), values.shape[:2]) if rows is None else rows
    honest = np.take_along_axis(values, picked[..., None], axis=2)[..., 0]
    return ObjectChoice(_rules(chosen), without, values[..., 0], honest)


def _rules(chosen: Sequence[int]) -> tuple[ObjectRule, ...]:
    return tuple(RULES[index] for index in chosen)


def _precisions(mask: NDArray[np.bool_], truth: Sequence[NDArray[np.int64]], size_hw: tuple[int, int]) -> list[float]:
    """Return the object AP of a mask split by each of ``RULES``."""
    split = [split_mask(mask, rule) for rule in SPLITS]
    return [
        average_precision(drop_small(objects, smallest) if objects else [], truth, size_hw)
        for objects in split
        for smallest in SMALLEST
    ]
