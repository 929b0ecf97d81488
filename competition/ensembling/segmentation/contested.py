"""The pixels a vote can still decide; everything else is counted once.

With thresholds limited to a window, its cuts run from ``lowest`` to ``highest``. The blend of ``voting.blend_levels``
is never below the lowest member nor above the highest, rounding included: where all members are at or below a level v,
the weighted sum is at most 1000 v and (1000 v + 500) // 1000 = v; the same from below. So a pixel that all members put
at or below ``lowest`` is negative, and one that all put above ``highest`` is positive, for every convex weight vector
and every cut of the window. Only the others, the contested pixels, have to be kept to score a weight vector exactly.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.segmentation.thresholds import Window, window_cuts
from competition.ensembling.voting.blend import blend_levels, settle
from competition.ensembling.voting.class_votes import Voters, check_maps, everyone
from competition.errors import CompetitionError
from competition.masks.bit_planes import class_areas, unpack_class
from competition.prediction.histograms import LEVELS, check_same_size, count_levels_of_parts
from competition.prediction.opened_maps import ClassMap, tiles

# Beyond this share little is won: a weight vector is scored 714 times faster than on dense maps where 0.15 % is
# contested, 181 times where 1 % is.
CONTESTED_LIMIT = 0.05


@dataclass(frozen=True)
class ContestedImage:
    """What is needed of one image to score any weights and any cuts of the window exactly.

    Attributes:
        values: uint8 (M, N): the members' levels at the contested pixels, class by class, and within a class those
            outside the truth before those inside; 0 where a member does not vote on the class, which nobody reads.
        counts: int64 (C, 2): contested pixels of each class outside and inside the truth; they sum to N.
        positive: int64 (C, 2): surely positive pixels of each class, all of them and those inside the truth.
        truth_area: int64 (C,).
        pixels: int64 (): pixels per class, H * W.
        cuts: int64 (2,): lowest and highest cut this holds for.
    """

    values: NDArray[np.uint8]
    counts: NDArray[np.int64]
    positive: NDArray[np.int64]
    truth_area: NDArray[np.int64]
    pixels: NDArray[np.int64]
    cuts: NDArray[np.int64]

    @property
    def kept(self) -> int:
        """Return how many pixels are contested, over all classes."""
        return int(self.values.shape[1])

    @property
    def total(self) -> int:
        """Return how many pixels there are, over all classes."""
        return int(self.pixels) * len(self.counts)


def contest(
    maps: Sequence[ClassMap], planes: NDArray[np.uint8], window: Window, voters: Voters | None = None
) -> ContestedImage:
    """Keep the contested pixels of one image, of which a tile of one class is in memory at a time.

    Args:
        maps: One uint8 (C, H, W) probability map per member; fewer classes where it predicts some only.
        planes: Label planes of the truth, uint8 (H, W, ceil(C / 8)).
        window: Lowest and highest threshold that may be chosen later.
        voters: Who votes on which class; None where all members predict all classes in one order.

    Returns:
        The contested pixels and the counts of all others.

    Raises:
        CompetitionError: The members' maps have different sizes, or the window holds no cut.
        ValueError: The truth has another size than the maps.
    """
    check_maps(maps, voters)
    voters = voters or everyone(maps[0].shape[0], len(maps))
    classes, size_hw = len(voters.rows), maps[0].shape[1:]
    check_same_size((classes, *size_hw), planes)
    cuts = window_cuts(window)
    counts = np.zeros((classes, 2), dtype=np.int64)
    positive = np.zeros((classes, 2), dtype=np.int64)
    values = []
    for index in range(classes):
        if index % 8 == 0:  # one contiguous plane serves eight classes
            plane = np.ascontiguousarray(planes[..., index // 8 : index // 8 + 1])
        truth = unpack_class(plane, index % 8)
        parts = [_contest_tile(voters.levels(maps, index, tile), truth[tile], cuts) for tile in tiles(size_hw)]
        for inside in range(2):
            kept = np.zeros((len(maps), sum(part.values[inside].shape[1] for part in parts)), dtype=np.uint8)
            kept[voters.of(index)] = np.concatenate([part.values[inside] for part in parts], axis=1)
            counts[index, inside] = kept.shape[1]
            values.append(kept)
        positive[index] = np.sum([part.positive for part in parts], axis=0)
    return ContestedImage(
        values=np.concatenate(values, axis=1),
        counts=counts,
        positive=positive,
        truth_area=class_areas(planes, classes),
        pixels=np.array(planes.shape[0] * planes.shape[1], dtype=np.int64),
        cuts=np.array(cuts, dtype=np.int64),
    )


@dataclass(frozen=True)
class _ContestedTile:
    """Of a tile of one class: the voters' levels (V, n) outside and inside the truth, and as in ContestedImage."""

    values: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    positive: tuple[int, int]


def _contest_tile(levels: list[NDArray[np.uint8]], truth: NDArray[np.bool_], cuts: tuple[int, int]) -> _ContestedTile:
    sure, picked = settle(levels, *cuts)
    kept = np.stack([level.ravel()[picked] for level in levels])
    inside = truth.ravel()[picked]
    positive = int(np.count_nonzero(sure)), int(np.count_nonzero(sure & truth))
    return _ContestedTile((kept[:, ~inside], kept[:, inside]), positive)


def contested_share(images: Iterable[ContestedImage]) -> float:
    """Return the share of contested pixels among all pixels of all classes and images, 0..1."""
    kept = pixels = 0
    for image in images:
        kept += image.kept
        pixels += image.total
    return kept / pixels


def check_contested_share(share: float, window: Window, where: Path | str, members: Sequence[str]) -> None:
    """Reject a set of images of which too much is contested.

    It is asked of a whole set and not of each image: one image on which a member fails costs little, and a small image
    of soft edges may well exceed the limit alone.

    Args:
        share: Of ``contested_share``.
        window: Lowest and highest threshold it was made for.
        where: Whose images, for the message.
        members: Their names.

    Raises:
        CompetitionError: The share is above 5 %.
    """
    if share > CONTESTED_LIMIT:
        low, high = window
        narrower = f"{low + (0.5 - low) / 2:.2f}:{high + (0.5 - high) / 2:.2f}"
        repair = f"Narrow the window of thresholds, for example --window {narrower}"
        if low == high:
            names = ",".join(members)
            ones = ",".join("1" for _ in members)
            repair = (
                f"The members disagree there, and no weights are searched: see what each is worth alone (./run.sh tune "
                f"--members {members[0]}), or give their weights (./run.sh tune --members {names} --weights {ones})"
            )
        raise CompetitionError(
            f"{share:.1%} of the pixels are contested between the thresholds {low} and {high} "
            f"(limit {CONTESTED_LIMIT:.0%})",
            where,
            repair,
        )


def blend_histograms(contested: ContestedImage, weights: Sequence[int] | NDArray[np.integer]) -> NDArray[np.int64]:
    """Count the levels of the members' blend as ``histograms.image_histogram`` would on dense maps.

    Args:
        contested: One image.
        weights: One per member, in thousandths, 1000 in sum; or (C, M) of ``Voters.weights_by_class``.

    Returns:
        int64 (C, 2, 256). Surely negative pixels are counted at level 0 and surely positive ones at 255, so that
        ``dice_curves`` is exactly that of the dense blend at every cut of the window (and not outside of it).

    Raises:
        CompetitionError: The weights are not convex.
    """
    classes = len(contested.counts)
    levels = _blend_contested(contested, np.asarray(weights))
    by_truth = count_levels_of_parts(levels, contested.counts.ravel()).reshape(classes, 2, LEVELS)
    histogram = np.stack([by_truth.sum(axis=1), by_truth[:, 1]], axis=1)
    histogram[:, :, LEVELS - 1] += contested.positive
    histogram[:, 0, 0] += contested.pixels - contested.counts.sum(axis=1) - contested.positive[:, 0]
    histogram[:, 1, 0] += contested.truth_area - contested.counts[:, 1] - contested.positive[:, 1]
    return histogram


def _blend_contested(contested: ContestedImage, weights: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the blend uint8 (N,) of the kept levels; neighbouring classes of equal weights are blended at once."""
    if weights.ndim == 1:
        return blend_levels(list(contested.values), weights.tolist())
    levels = np.empty(contested.values.shape[1], dtype=np.uint8)
    ends = np.cumsum(contested.counts.sum(axis=1))
    first = start = 0
    for last in range(len(weights)):
        if last + 1 == len(weights) or (weights[last + 1] != weights[first]).any():
            part = slice(start, int(ends[last]))
            levels[part] = blend_levels(list(contested.values[:, part]), weights[first].tolist())
            first, start = last + 1, int(ends[last])
    return levels
