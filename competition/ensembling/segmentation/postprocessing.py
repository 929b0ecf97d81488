"""Post-processing of decided masks: an operation is chosen only where its cross-fitted gain exceeds one standard error.

Every operation keeps some components of a mask and may fill what they enclose, so all of them follow from one search
for components. It works on the classes' runs, not on their pixels (``masks.components``): counting the results of eight
operations on 29x2048x2048 takes 15 ms, where labelling the pixels for four of them took 160 ms, and 450 ms where
false specks stretched the masks' boxes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.selection.bootstrap import gain_with_error
from competition.ensembling.selection.crossfitting import (
    Choice,
    Excluded,
    choose,
    crossfit_rows,
    first_best,
    left_out_sets,
)
from competition.ensembling.voting.class_votes import Voters
from competition.ensembling.voting.masks import vote_class, vote_image
from competition.masks.bit_planes import class_areas, intersections, set_pixels, unpack_class
from competition.masks.components import (
    Canvas,
    Components,
    Runs,
    SureOf,
    canvas_runs,
    find_components,
    find_holes,
    find_hollows,
    find_surest,
)
from competition.masks.run_lengths import shared_pixels
from competition.metrics.ratios import Ratios
from competition.prediction.opened_maps import ClassMap


@dataclass(frozen=True)
class Decided:
    """Runs of decided masks on their canvas, with what an operation needs of them, found when it is asked for.

    ``sure_of`` returns the sure pixels of a class.
    """

    canvas: Canvas
    runs: Runs
    sure_of: SureOf

    @cached_property
    def components(self) -> Components:
        """Return the components (8 neighbours) of all classes."""
        return find_components(self.canvas, self.runs)

    @cached_property
    def is_surest(self) -> NDArray[np.bool_]:
        """Return whether each component has the most sure pixels of its class, bool (k,)."""
        return find_surest(self.canvas, self.runs, self.components, self.sure_of)


@dataclass(frozen=True)
class Operation:
    """What is done to a mask."""

    # Whether each component (8 neighbours) stays, bool (k,). None keeps all of them, which saves the search for them.
    keeps: Callable[[Decided], NDArray[np.bool_]] | None = None
    fills: Callable[[Canvas, Runs], Runs] | None = None  # finds the background that becomes part of the mask
    # Returns another mask bool (H, W) of the class from the one that is left, for what components cannot express, such
    # as smoothing. It works on pixels: allow it 10 to 100 times the time of the others.
    reshapes: Callable[[NDArray[np.bool_]], NDArray[np.bool_]] | None = None

    def kept_runs(self, decided: Decided) -> NDArray[np.bool_]:
        """Return whether each run belongs to a component that stays, bool (n,)."""
        if self.keeps is None:
            return np.ones(len(decided.runs), dtype=np.bool_)
        return self.keeps(decided)[decided.components.of_run]


def _surest(decided: Decided) -> NDArray[np.bool_]:
    return decided.is_surest


def _of_pixels(minimum: int) -> Callable[[Decided], NDArray[np.bool_]]:
    return lambda decided: decided.components.areas >= minimum


SURE_LEVEL = 204
"""A pixel is sure where the vote is above this level of 255, a probability of 0.8.

Of several components the one with the most sure pixels is the object more often than the largest one: on 447 slices of
hearts (Sunnybrook), 34 of them with several, keeping it gains 0.0040 of Dice, keeping the largest 0.0020.
"""

OPERATIONS: dict[str, Operation] = {
    "none": Operation(),
    "surest": Operation(_surest),
    "fill": Operation(fills=find_holes),
    "surest+fill": Operation(_surest, find_holes),
    # The muscles that reach into a ventricle belong to its label: on the same slices the hull gains 0.0054.
    "surest+hull": Operation(_surest, find_hollows),
    # Fixed for every data set: a fitted area would have to be fitted again without each fold.
    "drop<25px": Operation(_of_pixels(25)),
    "drop<100px": Operation(_of_pixels(100)),
    "drop<400px": Operation(_of_pixels(400)),
}
"""Of operations that score alike the first is taken."""


def decide_image(
    maps: Sequence[ClassMap],
    voters: Voters,
    weights: NDArray[np.integer],
    levels: Sequence[int] | NDArray[np.integer],
    operations: Sequence[str],
) -> NDArray[np.uint8]:
    """Vote on an image and apply each class's operation; all as for ``vote_image`` and ``apply``."""
    return apply(vote_image(maps, voters, weights, levels), operations, sure_pixels(maps, voters, weights))


def sure_pixels(maps: Sequence[ClassMap], voters: Voters, weights: NDArray[np.integer]) -> SureOf:
    """Return a function that votes on the sure pixels of a class when it is called."""
    return lambda index: vote_class(maps, voters, weights, index, SURE_LEVEL)


def apply(planes: NDArray[np.uint8], operations: Sequence[str], sure_of: SureOf) -> NDArray[np.uint8]:
    """Return new label planes, with one operation (a name of ``OPERATIONS``) applied per class.

    ``sure_of`` returns the pixels of a class where the vote is above ``SURE_LEVEL``; it is seldom called.
    """
    result = planes.copy()
    canvas, all_runs = canvas_runs(planes, len(operations))
    class_of = canvas.class_of(all_runs)
    for index, name in enumerate(operations):
        runs, operation = all_runs[class_of == index], OPERATIONS[name]
        kept = operation.kept_runs(Decided(canvas, runs, sure_of))
        set_pixels(result, index, *canvas.pixels(runs[~kept]), False)
        if operation.fills is not None:
            set_pixels(result, index, *canvas.pixels(operation.fills(canvas, runs[kept])), True)
        if operation.reshapes is not None:
            mask = unpack_class(result, index)
            reshaped = operation.reshapes(mask)
            for changed, value in ((mask & ~reshaped, False), (reshaped & ~mask, True)):
                rows, columns = np.nonzero(changed)
                set_pixels(result, index, rows, columns, value)
    return result


def operation_counts(
    planes: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int, sure_of: SureOf
) -> NDArray[np.int64]:
    """Count the pixels of every class of decided label planes after every operation; ``sure_of`` as for ``apply``.

    Returns:
        Pixels int64 (3, C, number of operations): intersection with the truth, decided area, truth area; operations
        in the order of ``OPERATIONS``, as ``CountMetric.ratios`` takes them.

    Raises:
        ValueError: Different sizes, or planes that don't fit the number of classes.
    """
    if planes.shape != truth.shape:
        raise ValueError(f"label planes of different sizes: {planes.shape} and {truth.shape}")
    (canvas, runs), (_, wanted) = canvas_runs(planes, classes), canvas_runs(truth, classes)
    decided, shared = Decided(canvas, runs, sure_of), shared_pixels(runs, wanted)
    counts = np.empty((3, classes, len(OPERATIONS)), dtype=np.int64)
    counts[2] = canvas.area_by_class(wanted)[:, None]
    for position, (name, operation) in enumerate(OPERATIONS.items()):
        if operation.reshapes is not None:
            reshaped = apply(planes, [name] * classes, sure_of)
            counts[:2, :, position] = intersections(reshaped, truth, classes), class_areas(reshaped, classes)
            continue
        kept = operation.kept_runs(decided)
        counts[0, :, position] = canvas.sum_by_class(runs[kept], shared[kept])
        counts[1, :, position] = canvas.area_by_class(runs[kept])
        if operation.fills is not None:
            filled = operation.fills(canvas, runs[kept])
            counts[0, :, position] += canvas.sum_by_class(filled, shared_pixels(filled, wanted))
            counts[1, :, position] += canvas.area_by_class(filled)
    return counts


def choose_operations(
    scores: Ratios, folds: NDArray[np.integer], groups: Sequence[str], excluded: Excluded = frozenset()
) -> list[str]:
    """Choose each class's operation; "none" where the cross-fitted gain is within one standard error.

    The scores (n, C, number of operations) are of images decided at levels tuned without the image's own fold;
    ``excluded`` is at most one fold, which the choice must not see.
    """
    names = list(OPERATIONS)
    return [names[choice.index] for choice in choose_columns(scores, folds, groups, excluded)]


def choose_columns(
    scores: Ratios, folds: NDArray[np.integer], groups: Sequence[str], excluded: Excluded = frozenset()
) -> list[Choice]:
    """Choose for each class one of the K of scores (n, C, K); 0 where the gain is within one standard error."""
    return [_choose_one(scores, index, folds, groups, excluded) for index in range(scores.numerators.shape[1])]


def chosen_positions(
    scores: Ratios, folds: NDArray[np.integer], groups: Sequence[str], excluded: Excluded = frozenset()
) -> list[int]:
    """Return the positions that ``choose_columns`` chooses."""
    return [choice.index for choice in choose_columns(scores, folds, groups, excluded)]


def crossfit_operations(scores: Ratios, folds: NDArray[np.integer], groups: Sequence[str]) -> NDArray[np.int64] | None:
    """Return for each image the operations chosen on the other folds by the same rule; arguments as above.

    Returns:
        Positions in ``OPERATIONS`` int64 (n, C), or None with fewer than two folds.
    """
    rows = np.empty(scores.numerators.shape[:2], np.int64)
    return crossfit_rows(rows, folds, lambda without: chosen_positions(scores, folds, groups, without))


def _choose_one(
    scores: Ratios, index: int, folds: NDArray[np.integer], groups: Sequence[str], excluded: Excluded = frozenset()
) -> Choice:
    """Choose among the operations of one class, without looking at the excluded folds."""
    own = scores.classes(np.array([index]))
    kept = {left_out: ~np.isin(folds, list(left_out)) for left_out in left_out_sets(folds.tolist())}
    picked = {left_out: first_best(own.take(rows).scores()[0]) for left_out, rows in kept.items()}

    def gain(_: Excluded, chosen: dict[int, int]) -> tuple[float, float]:
        rows = np.concatenate([np.flatnonzero(folds == fold) for fold in chosen])
        taken = np.concatenate([np.full(int(np.sum(folds == fold)), operation) for fold, operation in chosen.items()])
        held = own.take(rows)
        differences = held.at(taken[:, None]).values() - held.at(0).values()
        return gain_with_error(differences[:, 0], np.asarray(groups)[rows].tolist())

    return choose(picked, gain, folds.tolist(), excluded)
