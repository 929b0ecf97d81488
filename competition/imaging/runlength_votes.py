"""Votes in the run-length domain: no pixel is ever drawn.

Along the scan order a mask only changes where a run begins or ends. The vote of several masks is a sweep over these
borders: the weights of the masks that stand on a stretch add up, and the vote begins where their sum rises above the
threshold. Drawing, adding and encoding the masks gives the same strings and takes some thirty times as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.imaging.runlengths import format_runs, parse

LONGEST_NUMBER = 15  # digits; a longer one is no pixel of any image, and 19 would not fit 64 bits


@dataclass(frozen=True)
class Quorum:
    """When a pixel is elected: the sum of weights of the masks that hold it is greater than ``more_than``.

    Whole numbers, because a tie must not be broken by the last bit of a float: two of four equal votes are no majority.

    Attributes:
        weights: One per member, not negative.
        more_than: At least 0 and below the sum of the weights.
    """

    weights: tuple[int, ...]
    more_than: int


def quorum(weights: Sequence[Fraction], threshold: Fraction) -> Quorum:
    """Turns shares into whole numbers, exactly.

    Args:
        weights: One per member, at least 0, in any scale: only their ratios count.
        threshold: Share of all weights that has to be exceeded, 0 <= threshold < 1.

    Raises:
        CompetitionError: A weight is negative, all are 0, or the threshold is not a share.
    """
    if not weights or min(weights) < 0 or sum(weights) == 0:
        raise CompetitionError(
            f"weights {[float(weight) for weight in weights]} can't be normalised",
            mend="Give numbers >= 0 that are not all zero",
        )
    if not 0 <= threshold < 1:
        raise CompetitionError(f"a threshold lies from 0 to below 1, not at {float(threshold)}")
    scale = np.lcm.reduce([weight.denominator for weight in weights]).item()
    whole = tuple(int(weight * scale) for weight in weights)
    # For whole sums, "greater than the share" and "greater than its whole part" are the same.
    return Quorum(whole, int(threshold * sum(whole)))


def vote(members: Sequence[Sequence[str]], election: Quorum, pixels: int | None, where: Sequence[str]) -> list[str]:
    """Votes on all classes of one image.

    Args:
        members: Per member, the run lengths of every class.
        election: Weights and threshold.
        pixels: Height times width, where it is known.
        where: Per member, file and image, for messages.

    Returns:
        The run lengths of every class, as ``encode_planes`` writes them.

    Raises:
        CompetitionError: A string that ``parse`` refuses.
    """
    classes = len(members[0])
    borders, steps, class_of = [], [], []
    for rles, weight, place in zip(members, election.weights, where, strict=True):
        runs, counts = parse_image(rles, place, pixels)
        borders.append(runs.ravel())
        steps.append(np.tile(np.array([weight, -weight], dtype=np.int64), len(runs)))
        class_of.append(np.repeat(np.arange(classes), 2 * counts))
    elected, elected_class = _sweep(np.concatenate(borders), np.concatenate(steps), np.concatenate(class_of), election)
    return format_runs(elected, np.bincount(elected_class, minlength=classes))


def _sweep(
    borders: NDArray[np.int64], steps: NDArray[np.int64], class_of: NDArray[np.int64], election: Quorum
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Runs (n, 2) where the sum of steps is above the quorum, and the class of each, in ascending order."""
    if not borders.size:
        return np.empty((0, 2), np.int64), np.empty(0, np.int64)
    # Classes are laid one behind the other, so that one sort serves them all; every sum is back to 0 at a class's end.
    stride = int(borders.max()) + 1
    positions = class_of * stride + borders
    ascending = np.argsort(positions, kind="stable")
    positions, sums = positions[ascending], np.cumsum(steps[ascending])
    last_of_place = np.append(positions[1:] != positions[:-1], True)
    above = sums[last_of_place] > election.more_than
    changes = np.flatnonzero(np.diff(above, prepend=False))
    ends = positions[last_of_place][changes].reshape(-1, 2)
    elected_class = ends[:, 0] // stride
    return ends - elected_class[:, None] * stride, elected_class


def parse_image(rles: Sequence[str], where: str, pixels: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Reads the run lengths of all classes of an image at once.

    Args:
        rles: One string per class.
        where: File and image, for the message.
        pixels: Height times width, where it is known.

    Returns:
        Runs (n, 2) int64, half-open and zero-based, class after class; and the number of runs of each class.

    Raises:
        CompetitionError: As ``runlengths.parse``, with the number of the class.
    """
    numbers, words = _read_numbers(rles)
    counts = words // 2
    if not (words % 2).any():
        starts, lengths = numbers[0::2], numbers[1::2]
        ends = starts + lengths
        first_of_class = np.zeros(len(starts) + 1, dtype=bool)
        first_of_class[np.cumsum(counts)] = True
        ascending = (starts[1:] >= ends[:-1]) | first_of_class[1:-1]
        inside = pixels is None or int(ends.max(initial=0)) - 1 <= pixels
        if (numbers >= 1).all() and ascending.all() and inside:
            return np.stack([starts, ends], axis=1) - 1, counts
    # Something is unusual; class by class it is found and named, or read all the same.
    runs = [parse(rle, f"{where}, class number {index + 1}", pixels) for index, rle in enumerate(rles)]
    return np.concatenate([np.empty((0, 2), np.int64), *runs]), np.array([len(one) for one in runs])


def _read_numbers(rles: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All numbers of all strings, and how many each string has; (-1) for a string of anything but digits and blanks.

    Digits are weighed by their place and added up within each number, all at once: 14,000 numbers take 1 ms, through
    ``str.split`` and ``int`` 3 ms.
    """
    text = np.frombuffer(" ".join([*rles, ""]).encode(), dtype=np.uint8)
    is_digit = (text >= ord("0")) & (text <= ord("9"))
    if not (is_digit | (text == ord(" "))).all():
        return np.empty(0, np.int64), np.array([-1])
    edges = np.flatnonzero(np.diff(is_digit, prepend=False))
    first, behind = edges[0::2], edges[1::2]
    if not first.size:
        return np.empty(0, np.int64), np.zeros(len(rles), np.int64)
    if int((behind - first).max()) > LONGEST_NUMBER:
        return np.empty(0, np.int64), np.array([-1])
    places = np.repeat(behind, behind - first) - np.flatnonzero(is_digit) - 1
    values = (text[is_digit] - ord("0")) * np.power(10, places)
    numbers = np.add.reduceat(values, np.concatenate([[0], np.cumsum(behind - first)[:-1]]))
    string_ends = np.cumsum([len(rle) + 1 for rle in rles])
    return numbers, np.diff(np.searchsorted(first, string_ends), prepend=0)
