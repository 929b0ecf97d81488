"""Maps and masks in memory, as the tuning asks for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from competition.ensembling.voting.class_votes import Voters, everyone
from competition.errors import CompetitionError
from competition.metrics.counts import CountMetric
from competition.prediction.histograms import image_histogram
from competition.prediction.probability_maps import quantise


def as_levels(probabilities: ArrayLike) -> NDArray[np.uint8]:
    """Return a probability map as levels, uint8 (C, H, W).

    Args:
        probabilities: (C, H, W) or, of one class, (H, W): floats from 0 to 1, or uint8 levels from 0 to 255.

    Raises:
        CompetitionError: Another shape, or a value that is no probability.
    """
    array = np.asarray(probabilities)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3:
        raise CompetitionError(f"a map has the shape (classes, rows, columns), not {array.shape}")
    if array.dtype == np.uint8:
        return array
    values = array.astype(np.float32)
    if not ((values >= 0) & (values <= 1)).all():
        raise CompetitionError("a map holds probabilities from 0 to 1, or uint8 levels from 0 to 255")
    levels: NDArray[np.uint8] = quantise(torch.from_numpy(values)).numpy()
    return levels


def as_masks(masks: ArrayLike) -> NDArray[np.bool_]:
    """Return masks bool (C, H, W) from arrays (C, H, W) or, of one class, (H, W); what is above 0 is in the mask.

    Raises:
        CompetitionError: Another shape.
    """
    array = np.asarray(masks)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3:
        raise CompetitionError(f"masks have the shape (classes, rows, columns), not {array.shape}")
    found: NDArray[np.bool_] = array > 0
    return found


@dataclass(frozen=True)
class ArrayMaps:
    """The members' maps of images, with their truth, in memory: ``TuningMaps``.

    Attributes:
        maps: Member -> levels uint8 (C, H, W) of each image.
        planes: Label planes of each image.
        folds: int64 (n,).
        groups: (n,).
        classes: (C,).
        metric: What everything is scored by.
    """

    maps: Mapping[str, Sequence[NDArray[np.uint8]]]
    planes: Sequence[NDArray[np.uint8]]
    folds: NDArray[np.int64]
    groups: Sequence[str]
    classes: tuple[str, ...]
    metric: CountMetric

    @property
    def names(self) -> list[str]:
        """Name of the members."""
        return list(self.maps)

    @property
    def samples(self) -> list[str]:
        """Return the images, by number."""
        return [str(number) for number in range(len(self.planes))]

    def voters(self) -> Voters:
        """Return that all members vote on all classes."""
        return everyone(len(self.classes), len(self.maps))

    def open_maps(self, sample: str) -> list[NDArray[np.uint8]]:
        """Return the members' maps of an image."""
        return [maps[int(sample)] for maps in self.maps.values()]

    def truth(self, sample: str) -> NDArray[np.uint8]:
        """Return the label planes of an image."""
        return self.planes[int(sample)]

    def pixels(self) -> int:
        """Return the number of pixels of all classes and images."""
        return len(self.classes) * sum(int(planes.shape[0] * planes.shape[1]) for planes in self.planes)

    def histograms(self) -> NDArray[np.int64]:
        """Return the histograms (n, C, 2, 256) of the first member's maps."""
        first = next(iter(self.maps.values()))
        return np.stack([image_histogram(levels, planes) for levels, planes in zip(first, self.planes, strict=True)])

    def fingerprint(self, sample: str) -> str:
        """Return "": what is in memory is never stale."""
        return ""
