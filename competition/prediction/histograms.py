"""Exact counts per probability level, from which the Dice at every threshold follows.

A pixel is positive where its level p (0..255) is greater than a threshold level (0..254); level t is the threshold (t +
0.5) / 255, so that 0.5 is level 127 and a pixel is positive from 128 on. Trying 256 levels one by one costs 0.24 s each
on 29 x 2048 x 2048 pixels; one histogram answers all of them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.checksums import check_seal, sealed_file
from competition.errors import CompetitionError
from competition.formats.numpy_files import open_arrays
from competition.masks.bit_planes import class_areas, unpack_class
from competition.metrics.counts import DICE
from competition.prediction.probability_maps import remake

LEVELS = 256
EXACT_FLOAT32 = 2**24  # OpenCV counts in float32, which holds every integer up to here and not beyond
LARGEST_BYTES = 1 << 33  # 144,000 images of 29 classes; a thousand of 200 classes take 0.4 GB


def count_levels(levels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how often each level occurs in uint8 of any shape, int64 (256,), exact for any number of pixels."""
    if levels.size == 0:
        return np.zeros(LEVELS, dtype=np.int64)
    if levels.size > EXACT_FLOAT32:
        return np.bincount(levels.ravel(), minlength=LEVELS).astype(np.int64)
    # 3 to 8 times faster than np.bincount, which widens every pixel to 8 bytes first.
    rows = np.ascontiguousarray(levels if levels.ndim <= 2 else levels.ravel())
    return np.asarray(cv2.calcHist([rows], [0], None, [LEVELS], [0, LEVELS]).ravel(), dtype=np.int64)


def count_levels_of_parts(levels: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each level occurs in each of many parts, int64 (P, 256), most of them small.

    The part of a pixel is a second axis of one histogram: for 58 parts of 3,000 pixels twice as fast as one by one.

    Args:
        levels: uint8 (N,), part after part.
        sizes: int64 (P,), pixels of each part; they sum to N.
    """
    ends = [0, *np.cumsum(sizes).tolist()]
    counts = np.zeros((len(sizes), LEVELS), dtype=np.int64)
    for first in range(0, len(sizes), LEVELS):  # a uint8 numbers so many parts
        some = sizes[first : first + LEVELS]
        own = levels[ends[first] : ends[first + len(some)]]
        if own.size > EXACT_FLOAT32:
            counts[first : first + len(some)] = [count_levels(part) for part in np.split(own, np.cumsum(some)[:-1])]
        elif own.size:
            part = np.repeat(np.arange(len(some), dtype=np.uint8), some)
            shape, ranges = [len(some), LEVELS], [0, len(some), 0, LEVELS]
            counts[first : first + len(some)] = cv2.calcHist([part, own], [0, 1], None, shape, ranges)
    return counts


def image_histogram(probs_u8: NDArray[np.uint8], planes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count an image's pixels per class and level, all of them and those inside the truth.

    Most of a map is 0. Only where one of eight pixels isn't 0 they are counted one by one: a map of 29x2048x2048 takes
    55 ms, counting all of its pixels 430 ms.

    Args:
        probs_u8: Probability map, uint8 (C, H, W).
        planes: Label planes of the truth, uint8 (H, W, ceil(C / 8)).

    Returns:
        int64 (C, 2, 256): ``[:, 0]`` all pixels, ``[:, 1]`` pixels of the truth.

    Raises:
        ValueError: Map and truth are of different sizes.
    """
    classes, height, width = probs_u8.shape
    check_same_size(probs_u8.shape, planes)
    areas = np.stack([np.full(classes, height * width), class_areas(planes, classes)], axis=1)
    together = 8 if height * width % 8 == 0 else 1
    words = np.ascontiguousarray(probs_u8).reshape(classes, -1).view(np.uint64 if together == 8 else np.uint8)
    truth = planes.reshape(-1, together, planes.shape[2])
    histogram = np.zeros((classes, 2, LEVELS), dtype=np.int64)
    for index in range(classes):
        picked = np.flatnonzero(words[index] != 0)
        levels = words[index].take(picked).view(np.uint8).reshape(-1, together)
        inside = unpack_class(truth.take(picked, axis=0), index)
        histogram[index] = count_levels(levels), count_levels(levels[inside])
        histogram[index, :, 0] += areas[index] - (levels.size, np.count_nonzero(inside))
    return histogram


def check_same_size(shape: tuple[int, ...], planes: NDArray[np.uint8]) -> None:
    """Raise ValueError where a map of shape (C, H, W) and label planes differ in rows, columns or number of classes."""
    classes, *size_hw = shape
    if list(planes.shape) != [*size_hw, -(-classes // 8)]:
        raise ValueError(f"a map of shape {shape} does not fit label planes of shape {planes.shape}")


def threshold_counts(histograms: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the exact pixel counts of every image and class at every level, of histograms (n, C, 2, 256).

    Returns:
        int64 (n, C, 256) pixels in both and predicted pixels, where entry t is of the mask "level > t" (at 255 nothing
        is positive), and (n, C, 1) true pixels: what ``CountMetric.ratios`` takes.
    """
    from_level = np.cumsum(np.asarray(histograms, dtype=np.int64)[..., ::-1], axis=-1)[..., ::-1]
    above = np.zeros_like(from_level)
    above[..., :-1] = from_level[..., 1:]
    return above[:, :, 1], above[:, :, 0], from_level[:, :, 1, :1]


def dice_curves(histograms: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the exact Dice float64 (n, C, 256) of every image and class at every level of ``threshold_counts``."""
    return DICE.ratios(*threshold_counts(histograms)).numerators


def histograms_file(folder: Path) -> Path:
    """Return where the histograms of a folder of maps are stored."""
    return folder / "histograms.npz"


def save_histograms(path: Path, keys: Sequence[str], histograms: NDArray[np.integer]) -> None:
    """Write the histograms (n, C, 2, 256) of several images, with their unique keys, whole or not at all.

    Raises:
        ValueError: Keys are repeated or not as many as histograms, or a count does not fit 32 bits.
    """
    if len(set(keys)) != len(keys) or len(keys) != len(histograms):
        raise ValueError(f"{len(keys)} keys ({len(set(keys))} different) for {len(histograms)} histograms")
    if histograms.size and int(histograms.max()) > np.iinfo(np.int32).max:
        raise ValueError("a count does not fit 32 bits")
    with sealed_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, keys=np.array(keys, dtype=np.str_), histograms=histograms.astype(np.int32))


def load_histograms(path: Path) -> dict[str, NDArray[np.int64]]:
    """Read a file of ``save_histograms``: key -> int64 (C, 2, 256).

    Raises:
        CompetitionError: The file is missing or not whole.
    """
    repair = remake(path.parent)
    if not path.exists():
        raise CompetitionError("no histograms of out-of-fold maps", path, repair)
    check_seal(path, repair)
    stored = open_arrays(path)
    keys, histograms = stored.get("keys"), stored.get("histograms")
    if (
        keys is None
        or histograms is None
        or (keys.dtype.kind, histograms.dtype.name) != ("U", "int32")
        or (len(histograms.shape), *histograms.shape[2:]) != (4, 2, LEVELS)
        or keys.shape != histograms.shape[:1]
        or keys.nbytes + histograms.nbytes > LARGEST_BYTES
    ):
        raise CompetitionError("these are no histograms of out-of-fold maps", path, repair)
    return dict(zip(keys.read().tolist(), histograms.read().astype(np.int64), strict=True))


def join_histograms(
    by_key: Mapping[str, NDArray[np.int64]], keys: Sequence[str], where: Path | str
) -> NDArray[np.int64]:
    """Return histograms int64 (n, C, 2, 256) in the order of ``keys``; ``where`` is for the message.

    Raises:
        CompetitionError: Some image has no histogram.
    """
    missing = [key for key in keys if key not in by_key]
    if missing:
        what = f"{len(missing)} of {len(keys)} images have no out-of-fold prediction (first: {missing[0]})"
        raise CompetitionError(what, where, "Train the missing folds or leave them out of --members")
    return np.stack([by_key[key] for key in keys])
