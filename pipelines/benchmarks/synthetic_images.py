"""Synthetic truths, submissions and members' probability maps, in memory and on disk."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from competition.console import say
from competition.console import track as shown
from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.masks.stored_arrays import write_array
from competition.phantoms.drawing import fill_polygon
from competition.phantoms.hand_bone.phantom import draw_hand
from competition.prediction.probability_maps import quantise, write_map
from competition.workspace import PHANTOM, Workspace, out_of_fold_folder

FULL_SIZE = 2048
MEMBERS = 5
# Far from any bone a trained network's logits are about -7 with a standard deviation of 1; deep inside about 7.
FAR_LOGIT = 7.0
# Pixels per unit of logit across a bone's outline, at 2048 pixels. Five members of the first kind contest 0.15 % of the
# pixels between the thresholds 0.2 and 0.8, of the second 0.5 %, of the third, which are unsure, 1 %.
SHARP_PX, MIDDLING_PX, SOFT_PX = 2.3, 7.4, 15.0
# Only these images are drawn; all others are flipped and moved copies, which take 0.05 s a map to make instead of 2.
DRAWN = 4
# A map and its share of a label and of the contested pixels take about 3 MB at 2048 pixels.
MB_PER_MAP = 3.0


def draw_masks(size: int, seed: int) -> NDArray[np.bool_]:
    """Draw the 29 overlapping bones of a hand: (29, size, size) bool."""
    _, polygons = draw_hand(seed, 1, "right", False, size)
    return np.stack([fill_polygon(polygon, (size, size)).view(np.bool_) for polygon in polygons])


def draw_submission(masks: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Draw what a good member would submit: every bone is moved by up to three pixels (at 2048)."""
    rng = np.random.default_rng(seed)
    farthest = max(1, 3 * masks.shape[1] // FULL_SIZE)
    moves = rng.integers(-farthest, farthest + 1, (len(masks), 2)).tolist()
    return np.stack([np.roll(mask, move, axis=(0, 1)) for mask, move in zip(masks, moves, strict=True)])


def draw_probs(masks: NDArray[np.bool_], softness_px: float, seed: int) -> Iterator[NDArray[np.float32]]:
    """Draw a member's probabilities for an image, class by class.

    A logit grows with the distance from the bone's outline, up to 7 on both sides. Each member has its own displacement
    of each bone and its own noise in each pixel, both of about one unit of logit.

    Args:
        masks: (C, H, W) bool, the truth.
        softness_px: Pixels per unit of logit, at 2048 pixels.
        seed: Of this member on this image.

    Yields:
        float32 (H, W) probabilities.
    """
    rng = np.random.default_rng(seed)
    height, width = masks.shape[1:]
    softness = softness_px * height / FULL_SIZE
    noise = rng.standard_normal(2 * height * width, dtype=np.float32)
    for mask in masks:
        start = int(rng.integers(height * width))  # one draw of noise serves all classes, each from another offset
        logits = noise[start : start + height * width].reshape(height, width) - np.float32(FAR_LOGIT)
        near = _near(mask, softness)
        logits[near] += _rise(mask[near], softness, float(rng.normal(0, 0.3)))
        yield torch.from_numpy(logits).sigmoid_().numpy()


def _near(mask: NDArray[np.bool_], softness: float) -> tuple[slice, slice]:
    """Return the box around a bone outside of which its logit is at its lowest."""
    reach = int(np.ceil(FAR_LOGIT * softness)) + 2
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(max(y - reach, 0), y + height + reach), slice(max(x - reach, 0), x + width + reach)


def _rise(mask: NDArray[np.bool_], softness: float, displaced: float) -> NDArray[np.float32]:
    """Return how far the logits of a box are above those far from the bone."""
    inside = np.ascontiguousarray(mask).view(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    return np.asarray(np.clip(distance / softness + displaced, -FAR_LOGIT, FAR_LOGIT) + FAR_LOGIT, np.float32)


def draw_map(masks: NDArray[np.bool_], softness_px: float, seed: int) -> NDArray[np.uint8]:
    """Return a member's probability map of an image, uint8 (C, H, W); arguments as for ``draw_probs``."""
    return np.stack([quantise(torch.from_numpy(probs)).numpy() for probs in draw_probs(masks, softness_px, seed)])


@dataclass(frozen=True)
class StoredImages:
    """Images by key, in a workspace whose cache holds their label planes and whose runs hold the members' maps."""

    workspace: Workspace
    samples: list[str]

    def folders(self) -> list[Path]:
        """Return the folder of each member's maps."""
        runs = [self.workspace.fold_folder(f"member{number}", 0) for number in range(MEMBERS)]
        return [out_of_fold_folder(run) for run in runs]


@contextmanager
def stored_images(count: int, size: int) -> Iterator[StoredImages]:
    """Write images of ``size`` x ``size`` pixels and members' maps to a temporary folder.

    Raises:
        CompetitionError: The disk has too little space.
    """
    _check_disk(count * MEMBERS * MB_PER_MAP * (size / FULL_SIZE) ** 2)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        workspace = Workspace(Path(name), f"{PHANTOM}bench")
        images = StoredImages(workspace, [f"image{number:03d}" for number in range(count)])
        for first in shown(range(min(DRAWN, count)), f"drawing {count} images, {MEMBERS} maps of each"):
            masks = draw_masks(size, seed=first)
            maps = [draw_map(masks, MIDDLING_PX, seed=MEMBERS * first + member) for member in range(MEMBERS)]
            for number in range(first, count, DRAWN):
                _store_variant(images, number, masks, maps)
        yield images


def _check_disk(needed_mb: float) -> None:
    place = Path(tempfile.gettempdir())
    free_mb = shutil.disk_usage(place).free / 1024**2
    say(f"{needed_mb:.0f} MB are written to {place} and removed at the end; {free_mb:.0f} MB are free")
    if free_mb < needed_mb:
        what = f"the benchmark needs {needed_mb:.0f} MB for its images, but {free_mb:.0f} MB are free"
        repair = "Free some space, set TMPDIR to another disk, or choose other benchmarks with --only"
        raise CompetitionError(what, place, repair)


def _store_variant(images: StoredImages, number: int, masks: NDArray[np.bool_], maps: list[NDArray[np.uint8]]) -> None:
    """Write a drawn image again, flipped and moved. The truth is moved a little differently, so that scores differ."""
    rng = np.random.default_rng(number)
    farthest = masks.shape[1] // 32
    move = rng.integers(-farthest, farthest + 1, 2)
    turn = number // DRAWN % 4
    planes = _moved(np.moveaxis(pack_masks(masks), -1, 0), turn, move + rng.integers(-1, 2, 2))
    write_array(images.workspace.label_file(images.samples[number]), np.moveaxis(planes, 0, -1))
    for folder, levels in zip(images.folders(), maps, strict=True):
        write_map(folder, images.samples[number], _moved(levels, turn, move))


def _moved(layers: NDArray[np.uint8], turn: int, move: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Flip layers (n, H, W) by the two bits of ``turn`` and roll them."""
    flipped = layers[:, :: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
    return np.roll(flipped, move.tolist(), axis=(1, 2))
