"""The Dice that a perfect network of some training targets attains: labels brought to the grid and back."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from competition.data.grid import GridReader, grid_size, oversampling
from competition.data.manifest import Entry
from competition.masks.soft_targets import soft_targets
from competition.prediction.predictor import to_native
from competition.settings import DataSettings
from competition.tracks.track import Track
from competition.workspace import Workspace


def target_maps(
    workspace: Workspace, track: Track, settings: DataSettings, entries: Sequence[Entry]
) -> Iterator[NDArray[np.uint8]]:
    """Yield each sample's training targets at native size, as a network that has learned them perfectly would predict.

    Maps are (C, H, W) uint8, of whole images without augmentation. With ``data.oversample`` 1 every target is the label
    under the middle of its pixel (nearest neighbour), with more it is the share of the pixel that the class covers
    (soft). The largest image of ``entries`` bounds the oversampling, as in training.
    """
    factor = oversampling(entries, track, settings)
    reader = GridReader(workspace, track, settings.size, budget_bytes=0, finer=factor)
    for entry in entries:
        planes = reader.read(entry).planes
        assert planes is not None  # training samples are labelled
        native_hw = (entry.height, entry.width)
        targets = soft_targets(torch.from_numpy(planes)[None], len(track.classes), grid_size(native_hw, settings.size))
        yield to_native(targets[0], native_hw)
