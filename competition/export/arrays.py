"""The arithmetic of prediction on numpy arrays: what ``prediction/predictor.py`` does with torch, up to rounding.

A test compares every function with its counterpart there.
"""

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.prediction.grid_maps import classes_at_once
from competition.prediction.probability_maps import empty_dead_zone
from competition.prediction.scaled_views import SCALES, scaled_size
from competition.tracks.track import Track

Floats = NDArray[np.float32]
Number = TypeVar("Number", np.float32, np.float64)

# Test-time view -> whether it mirrors, and the quarter turns after that; ttach does it in prediction/tta_views.py.
TURNS = {
    ("hflip_" if mirrored else "") + f"rotate{90 * turns}" if turns else ("hflip" if mirrored else "identity"): (
        mirrored,
        turns,
    )
    for mirrored in (False, True)
    for turns in range(4)
}


def see(images: Floats, view: str) -> Floats:
    """Return images (1, channels, H, W) as a test-time view sees them."""
    if view in SCALES:
        return enlarge(images[0], scaled_size((images.shape[-2], images.shape[-1]), view))[None]
    mirrored, turns = TURNS[view]
    return np.rot90(images[..., ::-1] if mirrored else images, turns, axes=(-2, -1))


def see_back(probs: Floats, view: str, seen: Floats, image: Floats) -> Floats:
    """Bring the answer (C, k * rows, k * columns) to what a view has ``seen`` of an image back to k times its size."""
    if view in SCALES:
        finer = probs.shape[-1] // seen.shape[-1]
        return enlarge(probs, (finer * image.shape[-2], finer * image.shape[-1]))
    mirrored, turns = TURNS[view]
    turned = np.rot90(probs, -turns, axes=(-2, -1))
    return turned[..., ::-1] if mirrored else turned


def standardise(images: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> Floats:
    """Return views (V, channels, H, W) float32 with zero mean and unit deviation by each view's statistics (0..255)."""
    shape = (-1, 1, 1, 1)
    deviations = np.maximum(np.array(std, np.float32), np.float32(1)).reshape(shape)
    centred = images.astype(np.float32) - np.array(mean, np.float32).reshape(shape)
    return np.asarray(centred / deviations, np.float32)


def sigmoid(logits: NDArray[Number]) -> NDArray[Number]:
    """Return probabilities of the logits' type."""
    with np.errstate(over="ignore"):  # of exp(1000), which gives the right 0
        return np.asarray(1 / (1 + np.exp(-logits)), logits.dtype)


def to_probabilities(logits: NDArray[Number], track: Track) -> NDArray[Number]:
    """Return probabilities (N, C, ...) of logits (N, C, ...), of their type, as ``models.probabilities``."""
    if not track.exclusive and track.targets == "multilabel":
        return sigmoid(logits)
    if track.task == "segmentation":
        logits = np.pad(logits, ((0, 0), (1, 0), (0, 0), (0, 0)))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = powers / powers.sum(axis=1, keepdims=True)
    return np.asarray(probs[:, 1:] if track.task == "segmentation" else probs, logits.dtype)


def gaussian_weight(height: int, width: int) -> Floats:
    """Return the weights (height, width) of a tile, as ``tiles.gaussian_weight``."""
    rows, columns = (
        np.exp(np.float32(-0.5) * ((np.arange(side, dtype=np.float32) - (side - 1) / 2) / (side / 8)) ** 2)
        for side in (height, width)
    )
    return np.asarray(np.maximum(rows[:, None] * columns[None, :], np.float32(1e-3)), np.float32)


def enlarge(probs: Floats, size_hw: tuple[int, int]) -> Floats:
    """Return maps (C, h, w) at another size, bilinear with half-pixel centres and without averaging."""
    if probs.shape[-2:] == size_hw:
        return probs
    # One class at a time, because OpenCV takes at most 128 channels.
    resized = [cv2.resize(np.ascontiguousarray(one), size_hw[::-1], interpolation=cv2.INTER_LINEAR) for one in probs]
    return np.stack(resized).astype(np.float32, copy=False)


def average(probs: Floats, size_hw: tuple[int, int]) -> Floats:
    """Return maps (C, h, w) at a smaller size; each pixel is the mean of all those that it touches."""
    for axis, wanted in ((1, size_hw[0]), (2, size_hw[1])):
        side = probs.shape[axis]
        starts = np.arange(wanted) * side // wanted
        ends = -(-(np.arange(wanted) + 1) * side // wanted)
        sums = np.insert(np.cumsum(probs, axis=axis, dtype=np.float64), 0, 0, axis=axis)
        counts = (ends - starts).reshape((-1, 1) if axis == 1 else (-1,))
        probs = ((sums.take(ends, axis) - sums.take(starts, axis)) / counts).astype(np.float32)
    return probs


def to_whole_multiple(probs: Floats, size_hw: tuple[int, int], finest: int) -> Floats:
    """Bring probabilities (C, h, w) to k times the image's size, as ``predictor.to_whole_multiple``."""
    finer = min(finest, max(1, round(probs.shape[-1] / size_hw[1])))
    wanted = (finer * size_hw[0], finer * size_hw[1])
    return average(probs, wanted) if probs.shape[-1] > wanted[1] else enlarge(probs, wanted)


def quantise(probs: Floats) -> NDArray[np.uint8]:
    """Round probabilities to map values uint8, as ``probability_maps.quantise``."""
    return empty_dead_zone(np.ceil(probs * np.float32(255) - np.float32(0.5)).clip(0, 255).astype(np.uint8))


def to_native(probs: Floats, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring probabilities (C, h, w) to native size as map values (C, H, W) uint8, as ``native_size.to_native``."""
    at_once = classes_at_once(size_hw)
    pieces = (probs[first : first + at_once] for first in range(0, len(probs), at_once))
    return np.concatenate([quantise(enlarge(piece, size_hw)) for piece in pieces])
