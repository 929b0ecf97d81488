"""The pixels that weights can still decide, in memory and on disk; everything else is counted once.

With thresholds limited to a window, its levels run from ``lowest`` to ``highest``. The blend of ``voting.blend_levels``
is never below the lowest member nor above the highest, rounding included: where all members are at or below a value v,
the weighted sum is at most 1000 v and (1000 v + 500) // 1000 = v; the same from below. So a pixel that all members put
at or below ``lowest`` is negative, and one that all put above ``highest`` is positive, for every convex weight vector
and every level of the window. Only the others, the contested pixels, are needed to score a weight vector exactly.

Of 800 images and five members the maps take most of an hour to read, so each image has a file, which a later tuning
uses as long as the hash of its maps and its truth is the same.
"""

import hashlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.checksums import check_seal, sealed_file
from competition.console import Ticker
from competition.ensembling.segmentation.out_of_fold import TuningMaps
from competition.ensembling.segmentation.thresholds import Window, window_levels
from competition.ensembling.voting.blend import blend_levels, settle
from competition.ensembling.voting.class_votes import Voters, check_maps, everyone
from competition.errors import CompetitionError
from competition.formats.numpy_files import read_next
from competition.masks.bit_planes import class_areas, unpack_class
from competition.metrics.counts import DICE, CountMetric
from competition.metrics.ratios import Ratios, join
from competition.prediction.histograms import LEVELS, check_same_size, count_levels_of_parts, threshold_counts
from competition.prediction.opened_maps import ClassMap, tiles
from competition.workspace import contested_file

# Beyond this share little is won: a weight vector is scored 714 times faster than on dense maps where 0.15 % is
# contested, 181 times where 1 % is.
CONTESTED_LIMIT = 0.05

# What the stored pixels mean; another number makes all files stale.
FORM = 2

_REPAIR = "Delete it and run tune"


@dataclass(frozen=True)
class ContestedImage:
    """What is needed of one image to score any weights at any level of the window exactly."""

    # (M, N): the members' values at the contested pixels, class by class, and within a class those outside the truth
    # before those inside; 0, which is never read, where a member does not vote on the class.
    values: NDArray[np.uint8]
    counts: NDArray[np.int64]  # (C, 2): contested pixels of each class outside and inside the truth, N in sum
    positive: NDArray[np.int64]  # (C, 2): surely positive pixels of each class, all of them and those inside the truth
    truth_area: NDArray[np.int64]  # (C,)
    pixels: NDArray[np.int64]  # (): pixels per class, H * W
    levels: NDArray[np.int64]  # (2,): lowest and highest level this holds for

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

    Raises:
        CompetitionError: The members' maps have different sizes, or the window holds no level.
        ValueError: The truth has another size than the maps.
    """
    check_maps(maps, voters)
    voters = voters or everyone(maps[0].shape[0], len(maps))
    classes, size_hw = len(voters.rows), maps[0].shape[1:]
    check_same_size((classes, *size_hw), planes)
    levels = window_levels(window)
    counts, positive = np.zeros((2, classes, 2), dtype=np.int64)
    values = []
    for index in range(classes):
        if index % 8 == 0:  # one contiguous plane serves eight classes
            plane = np.ascontiguousarray(planes[..., index // 8 : index // 8 + 1])
        truth = unpack_class(plane, index % 8)
        outside, inside = [], []  # of each tile, the contested values (V, n) of the members that vote
        for tile in tiles(size_hw):
            seen, wanted = voters.values(maps, index, tile), truth[tile]
            sure, picked = settle(seen, *levels)
            kept, is_inside = np.stack([value.ravel()[picked] for value in seen]), wanted.ravel()[picked]
            outside.append(kept[:, ~is_inside])
            inside.append(kept[:, is_inside])
            positive[index] += np.count_nonzero(sure), np.count_nonzero(sure & wanted)
        for side, parts in enumerate((outside, inside)):
            counts[index, side] = sum(part.shape[1] for part in parts)
            whole = np.zeros((len(maps), counts[index, side]), dtype=np.uint8)
            whole[voters.of(index)] = np.concatenate(parts, axis=1)
            values.append(whole)
    return ContestedImage(
        values=np.concatenate(values, axis=1),
        counts=counts,
        positive=positive,
        truth_area=class_areas(planes, classes),
        pixels=np.array(planes.shape[0] * planes.shape[1], dtype=np.int64),
        levels=np.array(levels, dtype=np.int64),
    )


def check_contested_share(share: float, window: Window, where: Path | str, members: Sequence[str]) -> None:
    """Reject a set of images of which too much is contested.

    It is checked for a whole set and not for each image: one image on which a member fails costs little, and a small
    image of soft edges may well exceed the limit alone.

    Raises:
        CompetitionError: The share is above 5 %.
    """
    if share <= CONTESTED_LIMIT:
        return
    low, high = window
    narrower = f"{low + (0.5 - low) / 2:.2f}:{high + (0.5 - high) / 2:.2f}"
    repair = f"Narrow the window of thresholds, for example --window {narrower}"
    if low == high:
        alone, together = shlex.quote(members[0]), shlex.quote(",".join(members))
        repair = (
            f"The members disagree there, and no weights are searched: score each alone (./run.sh tune "
            f"--members {alone}), or give their weights (./run.sh tune --members {together} "
            f"--weights {','.join('1' for _ in members)})"
        )
    what = f"{share:.1%} of the pixels are contested (depend on the weights) between the thresholds {low} and {high}"
    raise CompetitionError(f"{what} (limit {CONTESTED_LIMIT:.0%})", where, repair)


def blend_histograms(contested: ContestedImage, weights: Sequence[int] | NDArray[np.integer]) -> NDArray[np.int64]:
    """Count the values of the members' blend as ``histograms.image_histogram`` would on dense maps.

    Args:
        contested: One image.
        weights: One per member, in thousandths, 1000 in sum; or (C, M) of ``Voters.weights_by_class``.

    Returns:
        int64 (C, 2, 256). Surely negative pixels are counted at 0 and surely positive ones at 255, so that
        ``dice_curves`` is exactly that of the dense blend at every level of the window (and not outside of it).

    Raises:
        CompetitionError: The weights are not convex.
    """
    classes = len(contested.counts)
    values = _blend_contested(contested, np.asarray(weights))
    by_truth = count_levels_of_parts(values, contested.counts.ravel()).reshape(classes, 2, LEVELS)
    histogram = np.stack([by_truth.sum(axis=1), by_truth[:, 1]], axis=1)
    histogram[:, :, LEVELS - 1] += contested.positive
    histogram[:, 0, 0] += contested.pixels - contested.counts.sum(axis=1) - contested.positive[:, 0]
    histogram[:, 1, 0] += contested.truth_area - contested.counts[:, 1] - contested.positive[:, 1]
    return histogram


def _blend_contested(contested: ContestedImage, weights: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the blend uint8 (N,) of the kept values; neighbouring classes of equal weights are blended at once."""
    if weights.ndim == 1:
        return blend_levels(list(contested.values), weights.tolist())
    blended = np.empty(contested.kept, dtype=np.uint8)
    ends = np.cumsum(contested.counts.sum(axis=1))
    first = start = 0
    for last in range(len(weights)):
        if last + 1 == len(weights) or (weights[last + 1] != weights[first]).any():
            part = slice(start, int(ends[last]))
            blended[part] = blend_levels(list(contested.values[:, part]), weights[first].tolist())
            first, start = last + 1, int(ends[last])
    return blended


@dataclass(frozen=True)
class ContestedSet:
    """The contested pixels of many images."""

    # Functions that return the pixels of each image, from its file or from memory, in the order of the samples; fewer
    # where too many pixels were contested to go on.
    images: list[Callable[[], ContestedImage]]
    share: float  # contested among all pixels of the images that were looked at, 0..1
    present: NDArray[np.bool_]  # (n, C): whether a class occurs in the truth of an image
    made: int  # how many were found now; the others came from files


def contest_all(data: TuningMaps, window: Window, folder: Path | None, ticker: Ticker) -> ContestedSet:
    """Find the contested pixels of every image, the maps of one image in memory at a time.

    It stops as soon as more pixels are contested than a search may have on all images together. Each image has a file
    in ``folder``, where those of other members or windows are left alone; without a folder all are kept in memory.

    Raises:
        CompetitionError: A map is missing or damaged.
    """
    voters = data.voters()
    lowest, highest = window_levels(window)
    members = hashlib.sha256(repr((data.names, voters.rows.tolist())).encode()).hexdigest()[:10]
    allowed = CONTESTED_LIMIT * data.pixels()
    images: list[Callable[[], ContestedImage]] = []
    present, kept, pixels, made = [], 0, 0, 0
    for sample in data.samples:
        path = None if folder is None else contested_file(folder, members, f"{lowest}-{highest}", sample)
        made_of = f"{FORM} {data.fingerprint(sample)}"
        image = None if path is None else load_fresh(path, made_of)
        if image is None:
            image = contest(data.open_maps(sample), data.truth(sample), window, voters)
            made += 1
            if path is not None:
                save_contested(path, image, made_of)
        images.append(partial(_same, image) if path is None else partial(load_of_window, path, window))
        present.append(image.truth_area > 0)
        kept, pixels = kept + image.kept, pixels + image.total
        ticker.advance(sample)
        if kept > allowed:
            break
    return ContestedSet(images, kept / pixels, np.array(present), made)


def _same(image: ContestedImage) -> ContestedImage:
    return image


def save_contested(path: Path, contested: ContestedImage, made_of: str = "") -> None:
    """Write one image's contested pixels into a file, whole or not at all.

    The arrays follow each other as numpy writes each of them. A search reads every file for every weight vector, and a
    zip of them (.npz) took three times as long to read: longer than it then takes to score the vector. ``made_of``
    describes what they were made from; another text makes the file stale.
    """
    with sealed_file(path) as part, part.open("wb") as file:
        for array in (np.array(made_of), *(getattr(contested, field.name) for field in fields(contested))):
            np.save(file, array, allow_pickle=False)


def load_contested(path: Path, made_of: str | None = None) -> ContestedImage:
    """Read a file of ``save_contested``.

    Raises:
        CompetitionError: It is missing, not whole, or made of another text.
    """
    check_seal(path, _REPAIR)
    try:
        with path.open("rb") as file:
            if made_of not in (str(read_next(file)), None):
                raise ValueError("made of other maps")
            return ContestedImage(*(read_next(file) for _ in fields(ContestedImage)))
    except Exception as error:  # of the many kinds that numpy raises
        raise CompetitionError(f"can't be read as contested pixels ({error})", path, _REPAIR) from error


def load_fresh(path: Path, made_of: str) -> ContestedImage | None:
    """Read a file of ``save_contested``; None where it is missing, damaged or made of something else."""
    try:
        return load_contested(path, made_of)
    except (CompetitionError, OSError):
        return None


def load_of_window(path: Path, window: Window) -> ContestedImage:
    """Read a file of ``save_contested`` that was made for a window.

    Raises:
        CompetitionError: The file is missing, damaged or made for another window.
    """
    contested = load_contested(path)
    if contested.levels.tolist() != list(window_levels(window)):
        raise CompetitionError("contested pixels of another window", path, _REPAIR)
    return contested


def contested_curves(
    units: Sequence[Sequence[Callable[[], ContestedImage]]],
    weights: Sequence[int] | NDArray[np.integer],
    metric: CountMetric = DICE,
) -> Ratios:
    """Score weights, as for ``blend_histograms``, at every level on many images, one of them in memory at a time.

    Args:
        units: Functions that return the contested pixels of the images of each unit of the metric: of one image, unless
            the metric pools the images of a group.
        weights: One per member, or (C, M).
        metric: What is scored.

    Returns:
        Ratios (units, C, 256), exact at the levels of the window and not valid elsewhere.

    Raises:
        CompetitionError: A file is missing or damaged, or the weights are not convex.
    """
    scored = []
    for images in units:
        histogram = np.sum([blend_histograms(load(), weights) for load in images], axis=0)
        scored.append(metric.ratios(*threshold_counts(histogram[None])))
    return join(scored)
