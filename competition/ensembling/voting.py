"""Weighted soft voting in exact integers: the same function in tuning and at test time.

A blend is (sum of weight * level + 500) // 1000 with weights in thousandths that sum to 1000. It is again a uint8 map,
so histograms and cuts apply to it without any further rounding.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.imaging.planes import plane_count, set_class

WHOLE = 1000

# Sums of a block stay in the second-level cache: 65,536 pixels need 2 x 256 KB.
BLOCK = 1 << 16


def check_weights(weights: Sequence[int], members: int) -> list[int]:
    """Makes sure that weights are a convex combination in thousandths.

    Returns:
        The weights as plain integers.

    Raises:
        CompetitionError: Not one per member, negative, not whole or not 1000 in sum.
    """
    whole = [int(weight) for weight in weights]
    if whole != list(weights) or len(whole) != members or min(whole, default=-1) < 0 or sum(whole) != WHOLE:
        raise CompetitionError(
            f"weights {list(weights)} are not {members} whole numbers >= 0 that sum to {WHOLE}",
            mend="Give one weight per member, in thousandths",
        )
    return whole


def round_weights(weights: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int64]:
    """Rounds weights to thousandths that sum to exactly 1000, by largest remainder.

    Args:
        weights: (M,) numbers >= 0 with a positive sum; they need not sum to 1.

    Returns:
        int64 (M,). Of equal remainders the earlier member gets the odd thousandth.

    Raises:
        CompetitionError: A weight is negative or not a number, or all are zero.
    """
    given = np.asarray(weights, dtype=np.float64)
    if given.size == 0 or not np.isfinite(given).all() or given.min() < 0 or given.sum() <= 0:
        raise CompetitionError(
            f"weights {list(weights)} can't be normalised", mend="Give numbers >= 0 that are not all zero"
        )
    exact = given / given.sum() * WHOLE
    rounded: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    # Nine decimals: 0.2005 and 0.3005 have equal remainders, which floats would decide at random.
    order = np.argsort(-np.round(exact - rounded, 9), kind="stable")
    rounded[order[: WHOLE - int(rounded.sum())]] += 1
    return rounded


def blend_levels(levels: Sequence[NDArray[np.uint8]], weights: Sequence[int]) -> NDArray[np.uint8]:
    """Blends members' levels: (sum of weight * level + 500) // 1000.

    Args:
        levels: One uint8 array per member, all of one shape.
        weights: One per member, in thousandths, 1000 in sum.

    Returns:
        uint8 of the same shape. It is never below the lowest nor above the highest member.

    Raises:
        CompetitionError: The weights are not convex.
        ValueError: The shapes differ.
    """
    whole = check_weights(weights, len(levels))
    if len({array.shape for array in levels}) != 1:
        raise ValueError(f"members of different shapes: {[array.shape for array in levels]}")
    used = [
        (weight, np.ascontiguousarray(array).reshape(-1)) for weight, array in zip(whole, levels, strict=True) if weight
    ]
    if len(used) == 1:
        return used[0][1].copy().reshape(levels[0].shape)
    blend = np.empty(levels[0].size, dtype=np.uint8)
    total, term = np.empty(BLOCK, dtype=np.uint32), np.empty(BLOCK, dtype=np.uint32)
    for start in range(0, blend.size, BLOCK):
        part = blend[start : start + BLOCK]
        parts = [(weight, array[start : start + BLOCK]) for weight, array in used]
        _blend_block(parts, total[: part.size], term[: part.size], part)
    return blend.reshape(levels[0].shape)


def _blend_block(
    parts: list[tuple[int, NDArray[np.uint8]]],
    total: NDArray[np.uint32],
    term: NDArray[np.uint32],
    out: NDArray[np.uint8],
) -> None:
    total.fill(WHOLE // 2)
    for weight, array in parts:
        np.multiply(array, np.uint32(weight), out=term, dtype=np.uint32)
        total += term
    np.floor_divide(total, np.uint32(WHOLE), out=total)
    out[:] = total


def decide(probs_u8: NDArray[np.uint8], cuts: Sequence[int] | NDArray[np.integer]) -> NDArray[np.uint8]:
    """Turns a probability map into label planes: positive where the level is greater than the class's cut.

    Args:
        probs_u8: uint8 (C, H, W).
        cuts: (C,), 0..255.

    Returns:
        Label planes uint8 (H, W, ceil(C / 8)).

    Raises:
        ValueError: Not one cut per class.
    """
    classes, height, width = probs_u8.shape
    if len(cuts) != classes:
        raise ValueError(f"{len(cuts)} cuts for {classes} classes")
    # Channels are kept apart while they are filled: 36 against 120 ms for 29 x 2048 x 2048.
    planes = np.moveaxis(np.zeros((plane_count(classes), height, width), dtype=np.uint8), 0, -1)
    for index in range(classes):
        set_class(planes, index, probs_u8[index] > int(cuts[index]))
    return np.ascontiguousarray(planes)


def blend_scores(scores: Sequence[NDArray[np.floating]], weights: Sequence[int]) -> NDArray[np.float64]:
    """Blends members' classification probabilities: the weighted mean, in float64.

    Args:
        scores: One array per member, all of one shape, for example (n, classes).
        weights: One per member, in thousandths, 1000 in sum.

    Returns:
        float64 of the same shape. A member of weight 1000 is returned as it is.

    Raises:
        CompetitionError: The weights are not convex.
        ValueError: The shapes differ.
    """
    whole = check_weights(weights, len(scores))
    if len({array.shape for array in scores}) != 1:
        raise ValueError(f"members of different shapes: {[array.shape for array in scores]}")
    total = np.zeros(scores[0].shape, dtype=np.float64)
    for weight, array in zip(whole, scores, strict=True):
        total += (weight / WHOLE) * array
    return total
