"""What may be done to a decided mask; an operation is kept only where its cross-fitted gain is beyond doubt."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.ensembling.evidence import gain_with_error
from competition.ensembling.nested import Excluded, choose, left_out_sets
from competition.imaging.planes import set_class, unpack_class

Operation = Callable[[NDArray[np.bool_]], NDArray[np.bool_]]


def nothing(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns the mask (H, W) as it is."""
    return mask


def keep_largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keeps the largest component (8 neighbours) of a mask (H, W); of equal ones the first from the top, then left."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = 1 + np.flatnonzero(areas == areas.max())
    winner = largest[0]
    if len(largest) > 1:  # OpenCV numbers components by 2 x 2 blocks, not by their first pixel
        winner = labels.ravel()[np.argmax(np.isin(labels, largest))]
    kept: NDArray[np.bool_] = labels == winner
    return kept


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fills background that no path of 4 neighbours joins to the outside of the mask (H, W)."""
    background = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    labels = cv2.connectedComponents(background, connectivity=4)[1]
    filled: NDArray[np.bool_] = labels[1:-1, 1:-1] != labels[0, 0]
    return filled


def keep_largest_and_fill(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keeps the largest component of a mask (H, W) and fills its holes."""
    return fill_holes(keep_largest(mask))


OPERATIONS: dict[str, Operation] = {
    "none": nothing,
    "largest": keep_largest,
    "fill": fill_holes,
    "largest+fill": keep_largest_and_fill,
}


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Gives the rows and columns of a mask (H, W) that hold all its pixels; None where it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def apply(planes: NDArray[np.uint8], operations: Sequence[str]) -> NDArray[np.uint8]:
    """Applies one operation per class to label planes.

    Args:
        planes: uint8 (H, W, ceil(C / 8)); not changed.
        operations: (C,) names of ``OPERATIONS``.

    Returns:
        New label planes.
    """
    result = planes.copy()
    for index, name in enumerate(operations):
        if name == "none":
            continue
        mask = unpack_class(planes, index)
        box = bounding_box(mask)
        if box is not None:
            mask[box] = OPERATIONS[name](mask[box])
            set_class(result, index, mask)
    return result


def operation_counts(planes: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Counts what every operation makes of every class of one decided image.

    Args:
        planes: Decided label planes uint8 (H, W, ceil(C / 8)).
        truth: Label planes of the truth, of the same shape.
        classes: C.

    Returns:
        Pixels int64 (3, C, number of operations): intersection with the truth, decided area, truth area; operations
        in the order of ``OPERATIONS``. ``metrics.dice(*counts)`` scores them.
    """
    counts = np.zeros((3, classes, len(OPERATIONS)), dtype=np.int64)  # intersection, decided area, truth area
    for index in range(classes):
        wanted = unpack_class(truth, index)
        counts[2, index] = np.count_nonzero(wanted)
        mask = unpack_class(planes, index)
        box = bounding_box(mask)
        if box is None:
            continue
        for position, operation in enumerate(OPERATIONS.values()):
            processed = operation(mask[box])
            counts[0, index, position] = np.count_nonzero(processed & wanted[box])
            counts[1, index, position] = np.count_nonzero(processed)
    return counts


def choose_operations(dice_of: NDArray[np.float64], folds: NDArray[np.integer], groups: Sequence[str]) -> list[str]:
    """Chooses each class's operation; "none" where the cross-fitted gain is within one standard error.

    Args:
        dice_of: Dice float64 (n, C, number of operations) of ``operation_counts``. To be honest they are made of images
            decided at cuts that were tuned without the image's own fold.
        folds: (n,) fold of each image.
        groups: (n,) person of each image.

    Returns:
        One name per class.
    """
    names = list(OPERATIONS)
    return [names[_choose_one(dice_of[:, index], folds, groups)] for index in range(dice_of.shape[1])]


def crossfit_operations(
    dice_of: NDArray[np.float64], folds: NDArray[np.integer], groups: Sequence[str]
) -> NDArray[np.int64] | None:
    """Gives each image the operations chosen on the other folds by the same rule.

    Args:
        dice_of: As for ``choose_operations``.
        folds: (n,) fold of each image.
        groups: (n,) person of each image.

    Returns:
        Positions in ``OPERATIONS`` int64 (n, C), or None with fewer than two folds.
    """
    fold_names = [int(fold) for fold in np.unique(folds)]
    if len(fold_names) < 2:
        return None
    chosen = np.empty(dice_of.shape[:2], dtype=np.int64)
    for fold in fold_names:
        for index in range(dice_of.shape[1]):
            chosen[folds == fold, index] = _choose_one(dice_of[:, index], folds, groups, frozenset({fold}))
    return chosen


def _choose_one(
    scores_of: NDArray[np.float64],
    folds: NDArray[np.integer],
    groups: Sequence[str],
    excluded: Excluded = frozenset(),
) -> int:
    """Chooses among the operations of one class, scores (n, operations), without looking at the excluded folds."""
    names = [int(fold) for fold in np.unique(folds)]
    scores = {left_out: scores_of[~np.isin(folds, list(left_out))].mean(axis=0) for left_out in left_out_sets(names)}

    def gain(_: Excluded, chosen: dict[int, int]) -> tuple[float, float]:
        rows = np.concatenate([np.flatnonzero(folds == fold) for fold in chosen])
        picked = np.concatenate([np.full(int(np.sum(folds == fold)), index) for fold, index in chosen.items()])
        return gain_with_error(scores_of[rows, picked] - scores_of[rows, 0], np.asarray(groups)[rows].tolist())

    return choose(scores, gain, names, excluded).index
