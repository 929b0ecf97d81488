"""The lumbar report's baseline without a network, completed: Canny edges and region growing.

The report thresholded the image at the grey values 50 to 100 and took Canny edges, described region growing without
running it, and could not tell the vertebrae apart. Here 50 and 100 are Canny's limits, and a band of brightness around
each seed's own replaces the fixed threshold, so that a network has more to beat than an empty mask:

1. The image is freed of its slow changes of exposure, because a fixed band of grey values lies in the soft tissue of
   one image and in the bone of the next.
2. The spine is the brightest path from top to bottom that bends little.
3. Along the path bodies are brighter than discs: the crests of the profile are the seeds.
4. From each seed a region grows over pixels in a band around its median brightness, as wide as brightness varies there,
   not across edges, not beyond the middle to the next.
5. The six neighbouring regions that lie most centrally are taken as the six vertebrae, from the top down.

It has the form of a network, although training changes only its confidence, so that it is held out, tuned, weighted and
ranked by the same code as any member.
"""

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Picture = NDArray[np.float32]

VERTEBRAE = 6
EDGE_LOW, EDGE_HIGH = 50, 100
"""The report's two values, here as Canny's."""
LEVEL_SHARE = 36 / 290
"""A vertebra with its disc, of the 290 mm that a lumbar film is high."""
DEPTH_SHARE = 34 / 290
"""A body from front to back."""
CENTRE_SHARE = 0.46
"""Where the middle of the six lies: films are centred on the fourth of them, a little below it."""
STEEPEST = 1
"""The path moves at most so many columns per row: 45 degrees."""
BEND = 0.15
"""What a step sideways costs, in units of the relief."""


class ClassicalSpine(nn.Module):
    """Finds six vertebrae by rules.

    Attributes:
        confidence: The logit inside a region; outside it is the negative.
    """

    def __init__(self, channels: int, classes: int, prior: float, dropout: float = 0.0) -> None:
        """Make the module; ``prior`` is the probability outside of all regions.

        Raises:
            ValueError: Not 1 channel and 6 classes (from the top down), or dropout.
        """
        super().__init__()
        if channels != 1 or classes != VERTEBRAE or dropout:
            raise ValueError(f"it finds {VERTEBRAE} vertebrae on grey images by rules, without dropout")
        self.stride = 1
        self.confidence = nn.Parameter(torch.tensor(math.log((1 - prior) / prior)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 6, H, W) for images (N, 1, H, W) float32, standardised."""
        pictures = images[:, 0].detach().float().cpu().numpy()
        masks = torch.from_numpy(np.stack([find_vertebrae(picture) for picture in pictures]))
        return (2 * masks.to(images.device).float() - 1) * self.confidence


def find_vertebrae(picture: Picture) -> NDArray[np.bool_]:
    """Return six vertebrae (6, H, W) bool, from the top down; all empty where fewer than six seeds are found.

    ``picture`` is (H, W) float32 of zero mean and unit deviation, bright is dense.
    """
    relief = _relief(picture)
    path = _spine_path(relief)
    rows = _seed_rows(relief, path)
    if len(rows) < VERTEBRAE:
        return np.zeros((VERTEBRAE, *picture.shape), np.bool_)
    starts = range(len(rows) - VERTEBRAE + 1)
    first = min(starts, key=lambda start: abs(rows[start : start + VERTEBRAE].mean() - CENTRE_SHARE * len(relief)))
    return _grow(relief, path, rows[first : first + VERTEBRAE])


def _relief(picture: Picture) -> Picture:
    """Return what is brighter than its wide surroundings, in units of the deviation there."""
    smooth = cv2.medianBlur(picture, 5)
    sigma = LEVEL_SHARE * len(picture)
    surroundings = cv2.GaussianBlur(smooth, (0, 0), sigma)
    deviation = np.sqrt(cv2.GaussianBlur((smooth - surroundings) ** 2, (0, 0), sigma))
    return np.asarray((smooth - surroundings) / (deviation + 0.05), np.float32)


def _spine_path(relief: Picture) -> NDArray[np.int64]:
    """Return the column of the spine in each row: the path of the largest sum, by dynamic programming from the top."""
    depth = max(3, round(DEPTH_SHARE * len(relief)))
    worth = cv2.blur(relief, (depth, depth))
    total, came_from = worth[0].copy(), np.zeros(worth.shape, np.int64)
    columns = np.arange(worth.shape[1])
    moves = range(-STEEPEST, STEEPEST + 1)
    for row in range(1, len(worth)):
        padded = np.pad(total, STEEPEST, constant_values=-np.inf)
        choices = np.stack([padded[STEEPEST + move :][: len(total)] - BEND * abs(move) for move in moves])
        best = choices.argmax(axis=0)
        came_from[row] = columns + best - STEEPEST
        total = worth[row] + choices[best, columns]
    path = np.empty(len(worth), np.int64)
    path[-1] = int(total.argmax())
    for row in range(len(worth) - 1, 0, -1):
        path[row - 1] = came_from[row, path[row]]
    return path


def _seed_rows(relief: Picture, path: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows where the profile along the path has a crest: the middles of the bodies."""
    from scipy.signal import find_peaks  # here, because it takes 0.6 s to import and few runs have this model

    level = LEVEL_SHARE * len(relief)
    half = max(1, round(0.25 * DEPTH_SHARE * len(relief)))
    padded = np.pad(relief, ((0, 0), (half, half)), mode="edge")
    profile = np.array([padded[row, column : column + 2 * half + 1].mean() for row, column in enumerate(path)])
    smooth = cv2.GaussianBlur(profile.astype(np.float32)[:, None], (1, 0), sigmaX=0.01, sigmaY=0.13 * level).ravel()
    return np.asarray(find_peaks(smooth, distance=max(1.0, 0.55 * level))[0], np.int64)


def _grow(relief: Picture, path: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the regions (6, H, W) around the seeds."""
    grey = cv2.normalize(relief, np.empty_like(relief), 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    edges = cv2.Canny(grey, EDGE_LOW, EDGE_HIGH) > 0
    middles = (rows[1:] + rows[:-1]) / 2
    reach = np.diff(rows).mean() / 2
    tops, bottoms = [rows[0] - reach, *middles], [*middles, rows[-1] + reach]
    depth = DEPTH_SHARE * len(relief)
    line, column = np.indices(relief.shape)
    regions = []
    for row, top, bottom in zip(rows, tops, bottoms, strict=True):
        near = (line > top) & (line < bottom) & (np.abs(column - path[row]) < 0.75 * depth)
        core = near & (np.hypot(line - row, column - path[row]) < 0.25 * depth)
        tolerance = 1.5 * relief[core].std() + 0.25
        like = near & ~edges & (np.abs(relief - np.median(relief[core])) < tolerance)
        regions.append(_connected(like | core, int(row), int(path[row]), depth))
    return np.stack(regions)


def _connected(pixels: NDArray[np.bool_], row: int, column: int, depth: float) -> NDArray[np.bool_]:
    """Return the part of ``pixels`` that is connected to the seed, its holes closed and its threads removed."""
    _, labels = cv2.connectedComponents(pixels.astype(np.uint8), connectivity=4)
    part = np.asarray(labels == labels[row, column], np.uint8)
    size = max(3, round(0.2 * depth) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.morphologyEx(cv2.morphologyEx(part, cv2.MORPH_CLOSE, kernel), cv2.MORPH_OPEN, kernel) > 0)
