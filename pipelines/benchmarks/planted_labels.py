"""Wrong labels planted into right ones, and the share of them that a review of the most suspicious tenth finds."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from competition.masks.bit_planes import class_areas, set_class, unpack_class

Random = np.random.Generator
PLANTED, REVIEWED = 0.05, 0.1
"""Shares of the samples that get a wrong label, and that are looked at."""


def exchange_classes(planes: NDArray[np.uint8], classes: int, random: Random) -> NDArray[np.uint8]:
    """Return label planes in which two classes have changed names."""
    one, other = random.choice(np.flatnonzero(class_areas(planes, classes)), 2, replace=False).tolist()
    wrong = planes.copy()
    set_class(wrong, one, unpack_class(planes, other))
    set_class(wrong, other, unpack_class(planes, one))
    return wrong


def move_class(planes: NDArray[np.uint8], classes: int, random: Random) -> NDArray[np.uint8]:
    """Return label planes in which one class is shifted by 0.75 to 1.5 times the square root of its area."""
    index = int(random.choice(np.flatnonzero(class_areas(planes, classes))))
    mask = unpack_class(planes, index)
    angle, length = random.uniform(0, 2 * np.pi), random.uniform(0.75, 1.5) * np.sqrt(mask.sum())
    wrong = planes.copy()
    set_class(wrong, index, _shifted(mask, round(length * np.sin(angle)), round(length * np.cos(angle))))
    return wrong


def drop_class(planes: NDArray[np.uint8], classes: int, random: Random) -> NDArray[np.uint8]:
    """Return label planes in which one class is missing."""
    wrong = planes.copy()
    index = int(random.choice(np.flatnonzero(class_areas(planes, classes))))
    set_class(wrong, index, np.zeros(planes.shape[:2], np.bool_))
    return wrong


def scale_classes(planes: NDArray[np.uint8], classes: int, random: Random) -> NDArray[np.uint8]:
    """Return label planes that are enlarged or shrunk by half about the centre of what is labelled."""
    factor = 1.5 if random.random() < 0.5 else 1 / 1.5
    rows, columns = np.nonzero(planes.any(axis=2))
    places = []
    for side, middle in zip(planes.shape[:2], (rows.mean(), columns.mean()), strict=True):
        places.append(np.clip(np.rint((np.arange(side) - middle) / factor + middle), 0, side - 1).astype(int))
    return np.ascontiguousarray(planes[np.ix_(*places)])


HAND_ERRORS: Sequence[Callable[[NDArray[np.uint8], int, Random], NDArray[np.uint8]]] = (
    exchange_classes,
    move_class,
    drop_class,
)
HEART_ERRORS = (move_class, scale_classes)
"""Beside the label of another sample."""


def flip_targets(targets: NDArray[np.int64], random: Random) -> NDArray[np.int64]:
    """Return the targets (C,) of a patient with one location flipped, or with all of the patient flipped.

    The first class remains what it means: that any of the others is positive.
    """
    wrong = targets.copy()
    if random.random() < 0.5:
        place = int(random.integers(1, len(targets)))
        wrong[place] = 1 - wrong[place]
    elif wrong[0]:
        wrong[:] = 0
    else:
        wrong[int(random.integers(1, len(targets)))] = 1
    wrong[0] = int(wrong[1:].any())
    return wrong


def choose_wrong(samples: Sequence[str], random: Random) -> list[str]:
    """Return a twentieth of the samples, at least one."""
    return [str(sample) for sample in random.choice(samples, max(1, round(PLANTED * len(samples))), replace=False)]


def found_share(wrong: Sequence[str], order: Sequence[str], samples: int) -> float:
    """Return the share of the wrong samples among the first tenth of those to review, of ``samples`` in all."""
    looked_at = set(order[: round(REVIEWED * samples)])
    return sum(sample in looked_at for sample in wrong) / len(wrong)


def _shifted(mask: NDArray[np.bool_], down: int, right: int) -> NDArray[np.bool_]:
    """Return a mask shifted by whole pixels; what leaves the image is lost."""
    rows, columns = np.nonzero(mask)
    rows, columns = rows + down, columns + right
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    moved = np.zeros_like(mask)
    moved[rows[inside], columns[inside]] = True
    return moved
