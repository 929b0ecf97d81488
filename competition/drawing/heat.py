"""Heat maps laid over pictures."""

import cv2
import numpy as np
from numpy.typing import NDArray

STRONGEST = 0.7
"""How much of a pixel's colour comes from the hottest place of a map: the picture stays visible below it."""


def heat_overlay(picture: NDArray[np.uint8], values: NDArray[np.floating], hottest: float) -> NDArray[np.uint8]:
    """Return an RGB picture (h, w, 3) uint8 with a map over it, in matplotlib's perceptually uniform "inferno".

    The hotter a place, the less of the picture is left; where the map is 0 or less, the picture stays as it is.

    Args:
        picture: (h, w, 3) uint8, RGB.
        values: (H, W) of any size.
        hottest: The value that gets the last colour; 0 leaves the picture as it is.
    """
    height, width = picture.shape[:2]
    shrinks = height <= values.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(values.astype(np.float32), (width, height), interpolation=method)
    strength = np.clip(resized / hottest, 0, 1) if hottest > 0 else np.zeros((height, width), np.float32)
    colours = cv2.applyColorMap(np.rint(255 * strength).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    opacity = STRONGEST * strength[..., None]
    return np.asarray(np.rint(picture * (1 - opacity) + colours * opacity), dtype=np.uint8)


def heat_bar(height: int, width: int) -> NDArray[np.uint8]:
    """Return the colours of ``heat_overlay`` from 0 at the bottom to the hottest at the top, (h, w, 3) uint8 RGB."""
    levels = np.rint(np.linspace(255, 0, height)).astype(np.uint8)
    bar = cv2.applyColorMap(np.repeat(levels[:, None], width, axis=1), cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(bar[..., ::-1], dtype=np.uint8)
