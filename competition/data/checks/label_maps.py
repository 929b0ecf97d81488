"""Where the classes lie: centres, frequency and overlaps of label planes, from one pass over the cached labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.console import progress
from competition.data.cache import read_label_planes
from competition.data.manifest import Entry
from competition.masks.bit_planes import sample_planes, unpack_planes
from competition.tracks.track import Track
from competition.workspace import Workspace

GRID = 256
"""Rows and columns at which planes are looked at: of 2048 pixels every eighth, so that the centre of a bone of 500
pixels is known to 2 pixels. Reading 29 classes of 1024x1024 takes 7 ms, looking at them 8 ms."""

CELLS = 32
"""Rows and columns of the heat maps."""


@dataclass(frozen=True)
class LabelMaps:
    """Positions of the C classes in n samples.

    Attributes:
        samples: Keys (n,) of the samples that were read.
        centres: float64 (n, C, 2), row and column of each class's centre as shares of the image's sides, 0 to 1; NaN
            where the class is absent.
        frequency: float64 (C, 32, 32), the share of the samples in which a place belongs to the class.
        overlaps: float64 (C, C), pixels that two classes share, summed over the samples; the areas on the diagonal.
    """

    samples: tuple[str, ...]
    centres: NDArray[np.float64]
    frequency: NDArray[np.float64]
    overlaps: NDArray[np.float64]


def map_labels(track: Track, workspace: Workspace, entries: Sequence[Entry]) -> LabelMaps:
    """Look at the labels of training samples, every pixel of small images and a grid of 256x256 of larger ones.

    Raises:
        CompetitionError: A cached label is missing or damaged.
    """
    classes = len(track.classes)
    centres = np.full((len(entries), classes, 2), np.nan)
    frequency = np.zeros((classes, CELLS, CELLS))
    overlaps = np.zeros((classes, classes))
    middles = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    with progress("label positions", len(entries)) as ticker:
        for row, entry in enumerate(entries):
            planes = sample_planes(read_label_planes(workspace, track, entry.sample), (GRID, GRID))
            masks = unpack_planes(planes, classes).astype(np.float32)
            areas = masks.sum(axis=(1, 2))
            seen = areas > 0
            centres[row, seen, 0] = masks[seen].sum(axis=2) @ middles / areas[seen]
            centres[row, seen, 1] = masks[seen].sum(axis=1) @ middles / areas[seen]
            blocks = masks.reshape(classes, CELLS, GRID // CELLS, CELLS, GRID // CELLS)
            frequency += blocks.mean(axis=(2, 4))
            flat = masks.reshape(classes, -1)
            overlaps += (flat @ flat.T) * (entry.height * entry.width / GRID**2)
            ticker.advance(entry.sample)
    frequency /= max(1, len(entries))
    return LabelMaps(tuple(entry.sample for entry in entries), centres, frequency, overlaps)
