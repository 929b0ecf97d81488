"""Images that are nearly the same in two groups: saved again, cropped a little, brightened.

Three looks, each at fewer pairs. A perceptual hash (64 signs of the discrete cosine transform of the image at 32x32
pixels, as pHash) finds what is alike as a whole; the pairs that correlate best at 32x32 are aligned by an affine warp
at 128x128; and what counts is the correlation of their fine detail there.

Measured on synthetic hands and angiograms and on real hearts, nuclei and blood cells, 30 copies of each, at 80 % of the
size, JPEG quality 70, up to 5 % cropped from each side and 5 to 25 % brighter: the detail of the copies of hands is at
least 0.996, of hearts 0.991, of nuclei and angiograms 0.974, of blood cells 0.90 (one in ten below 0.965). Of different
groups, synthetic hands reach 0.963, although they correlate up to 0.98 at 32x32, and all others 0.86.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.console import progress
from competition.data.cache import read_cached_image
from competition.data.manifest import Entry
from competition.tracks.track import Track
from competition.workspace import Workspace

SMALL, LARGE = 32, 128
MOST_BITS = 14
"""Of the 64 of the hash: the copies differ in at most 12."""

MOST_PAIRS = 500
"""Pairs that are aligned, those that correlate best: 4 to 8 ms each."""

SAME_DETAIL = 0.97
LEAST_SHARE = 0.6
"""Of an image that the other must cover once it is aligned."""


@dataclass(frozen=True)
class Picture:
    """One view of a sample in 4 kB, so that 100,000 of them fit into memory.

    Attributes:
        entry: The sample.
        view: Its number.
        hash: As of ``perceptual_hash``.
        small: float32 (1024,), the image at 32x32 pixels, of mean 0 and length 1.
    """

    entry: Entry
    view: int
    hash: int
    small: NDArray[np.float32]


@dataclass(frozen=True)
class NearDuplicate:
    """Two pictures of different groups, or of training and test, that look like one.

    Attributes:
        first: A training sample.
        second: A sample of another group, or of the test set.
        views: The number of the view of each.
        likeness: Correlation of their fine detail, 0.97 to 1.
    """

    first: Entry
    second: Entry
    views: tuple[int, int]
    likeness: float


def find_near_duplicates(track: Track, workspace: Workspace, entries: Sequence[Entry]) -> list[NearDuplicate]:
    """Compare every view of every sample with all of other groups; the most alike come first.

    Pictures whose pixels are equal are not among them (see ``duplicates.same_pixels``), nor pairs of two test samples.

    Raises:
        CompetitionError: A cached image is missing or damaged.
    """
    # Training samples first, so that they are the first of a pair.
    ordered = sorted(entries, key=lambda entry: entry.split == "test")
    pictures = _read_small(track, workspace, ordered)
    found = []
    candidates = _candidates(pictures)
    with progress("near duplicates", len(candidates)) as ticker:
        for one, other in candidates:
            first, second = pictures[one], pictures[other]
            greys = (_read_grey(track, workspace, picture.entry, picture.view) for picture in (first, second))
            likeness = detail_correlation(*greys)
            if likeness >= SAME_DETAIL:
                found.append(NearDuplicate(first.entry, second.entry, (first.view, second.view), likeness))
            ticker.advance()
    return sorted(found, key=lambda pair: -pair.likeness)


def _read_small(track: Track, workspace: Workspace, entries: Sequence[Entry]) -> list[Picture]:
    pictures = []
    with progress("pictures", len(entries)) as ticker:
        for entry in entries:
            for view in np.flatnonzero(entry.present).tolist():
                grey = _read_grey(track, workspace, entry, view)
                small = _standardised(_resized(grey, SMALL))
                pictures.append(Picture(entry, view, perceptual_hash(grey), small))
            ticker.advance(entry.sample)
    return pictures


def _read_grey(track: Track, workspace: Workspace, entry: Entry, view: int) -> NDArray[np.float32]:
    """Return a view as float32 (128, 128)."""
    image = read_cached_image(workspace, entry.sample, track.views[view])
    return _resized(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), LARGE)


def _resized(grey: NDArray[np.generic], side: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA), dtype=np.float32)


def perceptual_hash(grey: NDArray[np.generic]) -> int:
    """Return 64 bits: which of the 8x8 lowest frequencies of the image at 32x32 pixels exceed their median."""
    low = cv2.dct(_resized(grey, SMALL))[:8, :8].ravel()
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def _candidates(pictures: Sequence[Picture]) -> list[tuple[int, int]]:
    """Return the pairs (the earlier picture first) of alike hashes that correlate best."""
    if not pictures:
        return []
    hashes = np.array([picture.hash for picture in pictures], dtype=np.uint64)
    small = np.stack([picture.small for picture in pictures])
    group = np.unique([picture.entry.group for picture in pictures], return_inverse=True)[1]
    is_test = np.array([picture.entry.split == "test" for picture in pictures])
    pixels = np.unique([picture.entry.view_pixels[picture.view] for picture in pictures], return_inverse=True)[1]
    pairs: list[tuple[float, int, int]] = []
    for row in range(len(pictures)):
        later = slice(row + 1, None)
        alike = np.bitwise_count(hashes[later] ^ hashes[row]) <= MOST_BITS
        apart = (group[later] != group[row]) | (is_test[later] != is_test[row])
        wanted = alike & apart & ~(is_test[later] & is_test[row]) & (pixels[later] != pixels[row])
        others = np.flatnonzero(wanted) + row + 1
        pairs += zip((small[others] @ small[row]).tolist(), [row] * len(others), others.tolist(), strict=True)
        if len(pairs) > 100 * MOST_PAIRS:  # among 10,000 slices of hearts millions are alike
            pairs = heapq.nlargest(MOST_PAIRS, pairs)
    return [(one, other) for _, one, other in heapq.nlargest(MOST_PAIRS, pairs)]


def _standardised(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an image as a vector of mean 0 and length 1, so that a product of two is their correlation."""
    vector = grey.ravel() - grey.mean()
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-6), dtype=np.float32)


def detail_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the correlation of the fine detail (1 to 2 pixels of 128) of two images after they are aligned.

    The warp maximises the enhanced correlation coefficient (Evangelidis and Psarakis, PAMI 30, 2008), which brightness
    and contrast do not change. 0 where they can't be aligned or overlap too little.
    """
    warp = np.eye(2, 3, dtype=np.float32)
    halves = [_resized(image, LARGE // 2) for image in (one, other)]
    try:
        warp = _refined(halves[0], halves[1], warp, 40, 5)
        warp[:, 2] *= 2
        warp = _refined(one, other, warp, 15, 3)
    except cv2.error:  # the two have nothing in common
        return 0.0
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    covered = cv2.warpAffine(np.ones_like(other), warp, (LARGE, LARGE), flags=flags) > 0.99
    if covered.mean() < LEAST_SHARE:
        return 0.0
    warped = np.where(covered, cv2.warpAffine(other, warp, (LARGE, LARGE), flags=flags), one)
    inside = cv2.erode(covered.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    first, second = (_standardised(_detail(image)[inside]) for image in (one, warped))
    return float(first @ second)


def _refined(
    one: NDArray[np.float32], other: NDArray[np.float32], warp: NDArray[np.float32], steps: int, blur: int
) -> NDArray[np.float32]:
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-4)
    _, found = cv2.findTransformECC(one, other, warp, cv2.MOTION_AFFINE, criteria, None, blur)
    return np.asarray(found, dtype=np.float32)


def _detail(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1) - cv2.GaussianBlur(image, (0, 0), 2), dtype=np.float32)
