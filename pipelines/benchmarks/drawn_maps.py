"""Drawn stand-ins for what a team has before the last mile: truths, submissions and members' probability maps."""

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from competition.phantoms.drawing import fill_polygon
from competition.phantoms.hand_bone.phantom import draw_hand
from competition.prediction.probability_maps import quantise

FULL_SIZE = 2048
# Far from any bone a trained network's logits lie about -7 with a standard deviation of 1; deep inside about 7.
FAR_LOGIT = 7.0
# Pixels per unit of logit across a bone's outline, at 2048 pixels. Five members of the first kind contest 0.15 % of the
# pixels between the thresholds 0.2 and 0.8, of the second 0.5 %, of the third, which are unsure, 1 %.
SHARP_PX, MIDDLING_PX, SOFT_PX = 2.3, 7.4, 15.0


def draw_masks(size: int, seed: int) -> NDArray[np.bool_]:
    """Draw the 29 overlapping bones of a hand: (29, size, size) bool."""
    _, polygons = draw_hand(seed, 1, "right", False, size)
    return np.stack([fill_polygon(polygon, (size, size)).view(np.bool_) for polygon in polygons])


def draw_submission(masks: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Draw what a good member would submit: every bone is up to three pixels (at 2048) beside its place."""
    rng = np.random.default_rng(seed)
    farthest = max(1, 3 * masks.shape[1] // FULL_SIZE)
    moves = rng.integers(-farthest, farthest + 1, (len(masks), 2)).tolist()
    return np.stack([np.roll(mask, move, axis=(0, 1)) for mask, move in zip(masks, moves, strict=True)])


def draw_probs(masks: NDArray[np.bool_], softness_px: float, seed: int) -> Iterator[NDArray[np.float32]]:
    """Draw what a member says about an image, class by class.

    A logit grows with the distance from the bone's outline, up to 7 on both sides. Each member has a displacement of
    its own for each bone and noise of its own in each pixel, both of about one unit of logit.

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
        start = int(rng.integers(height * width))  # one draw of noise serves all classes, each from another place
        logits = noise[start : start + height * width].reshape(height, width) - np.float32(FAR_LOGIT)
        logits[_around(mask, softness)] += _rise(mask[_around(mask, softness)], softness, float(rng.normal(0, 0.3)))
        yield torch.from_numpy(logits).sigmoid_().numpy()


def _around(mask: NDArray[np.bool_], softness: float) -> tuple[slice, slice]:
    """Return the box around a bone outside of which its logit is as low as anywhere."""
    reach = int(np.ceil(FAR_LOGIT * softness)) + 2
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(max(y - reach, 0), y + height + reach), slice(max(x - reach, 0), x + width + reach)


def _rise(mask: NDArray[np.bool_], softness: float, displaced: float) -> NDArray[np.float32]:
    """Return how far the logits of a box lie above those far from the bone."""
    inside = np.ascontiguousarray(mask).view(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    return np.asarray(np.clip(distance / softness + displaced, -FAR_LOGIT, FAR_LOGIT) + FAR_LOGIT, np.float32)


def draw_map(masks: NDArray[np.bool_], softness_px: float, seed: int) -> NDArray[np.uint8]:
    """Return a member's probability map of an image, uint8 (C, H, W); arguments as for ``draw_probs``."""
    return np.stack([quantise(torch.from_numpy(probs)).numpy() for probs in draw_probs(masks, softness_px, seed)])
