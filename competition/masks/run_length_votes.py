"""Votes on run lengths, without any pixel.

Along the scan order a mask only changes where a run begins or ends. The vote of several masks is a sweep over these
borders: the weights of the masks on a stretch add up, and the vote begins where their sum rises above the threshold.
Decoding, adding and encoding the masks gives the same strings and takes some thirty times as long.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.masks.run_length_text import format_runs, parse_image

LARGEST_SUM = 2**62


@dataclass(frozen=True)
class Quorum:
    """The rule of a vote: a pixel is elected if the weights of the masks that hold it sum to more than ``more_than``.

    Whole numbers, because a tie must not be broken by the last bit of a float: two of four equal votes are no majority.
    """

    weights: tuple[int, ...]  # one per member, not negative
    more_than: int  # at least 0 and below the sum of the weights


def quorum(weights: Sequence[Fraction], threshold: Fraction) -> Quorum:
    """Turn shares into whole numbers, exactly.

    Args:
        weights: One per member, at least 0, in any scale: only their ratios count.
        threshold: Share of all weights that has to be exceeded, 0 <= threshold < 1.

    Raises:
        CompetitionError: A weight is negative, all are 0, or the threshold is not a share.
    """
    if not weights or min(weights) < 0 or sum(weights) == 0:
        what = f"weights {[float(weight) for weight in weights]} can't be normalised"
        raise CompetitionError(what, repair="Give numbers >= 0 that are not all zero")
    if not 0 <= threshold < 1:
        raise CompetitionError(f"a threshold lies from 0 to below 1, not at {float(threshold)}")
    scale = math.lcm(*(weight.denominator for weight in weights))
    whole = tuple(int(weight * scale) for weight in weights)
    if sum(whole) > LARGEST_SUM:  # they are added up in 64 bits
        what = f"weights {[float(weight) for weight in weights]} have too many digits to be counted exactly"
        raise CompetitionError(what, repair="Give weights with fewer digits, such as 0.123,1")
    # For whole sums, "greater than the share" and "greater than its whole part" are the same.
    return Quorum(whole, int(threshold * sum(whole)))


def vote(members: Sequence[Sequence[str]], election: Quorum, pixels: int | None, where: Sequence[str]) -> list[str]:
    """Vote on all classes of one image.

    Args:
        members: Per member, the run lengths of every class.
        election: Weights and threshold.
        pixels: Height times width, where it is known.
        where: Per member, file and image, for messages.

    Returns:
        The run lengths of every class, as ``encode_planes`` writes them.

    Raises:
        CompetitionError: A string that ``parse_image`` rejects.
    """
    classes = len(members[0])
    borders, steps, class_of = [], [], []
    for rles, weight, place in zip(members, election.weights, where, strict=True):
        runs, counts = parse_image(rles, [f"{place}, class number {number + 1}" for number in range(classes)], pixels)
        borders.append(runs.ravel())
        steps.append(np.tile(np.array([weight, -weight], dtype=np.int64), len(runs)))
        class_of.append(np.repeat(np.arange(classes), 2 * counts))
    elected, elected_class = _sweep(np.concatenate(borders), np.concatenate(steps), np.concatenate(class_of), election)
    return format_runs(elected, np.bincount(elected_class, minlength=classes))


def _sweep(
    borders: NDArray[np.int64], steps: NDArray[np.int64], class_of: NDArray[np.int64], election: Quorum
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the runs (n, 2) where the sum of steps is above the quorum, and the class of each, in ascending order."""
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
