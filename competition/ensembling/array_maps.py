"""Maps and masks in memory, in the form that a tuning reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from competition.ensembling.voting.class_votes import Voters, everyone
from competition.errors import CompetitionError
from competition.masks.objects import Objects, components
from competition.metrics.counts import CountMetric
from competition.prediction.histograms import image_histogram
from competition.prediction.probability_maps import quantise


def as_map(probabilities: ArrayLike) -> NDArray[np.uint8]:
    """Return a probability map as it is stored, uint8 (C, H, W).

    Args:
        probabilities: (C, H, W) or, of one class, (H, W): floats from 0 to 1, or uint8 values from 0 to 255.

    Raises:
        CompetitionError: Another shape, or a value that is no probability.
    """
    array = _with_classes(probabilities, "a map has")
    if array.dtype == np.uint8:
        return array
    floats = array.astype(np.float32)
    if not ((floats >= 0) & (floats <= 1)).all():
        raise CompetitionError("a map has probabilities from 0 to 1, or uint8 values from 0 to 255")
    values: NDArray[np.uint8] = quantise(torch.from_numpy(floats)).numpy()
    return values


def as_masks(masks: ArrayLike) -> NDArray[np.bool_]:
    """Return masks bool (C, H, W) from arrays (C, H, W) or, of one class, (H, W); values above 0 are in the mask.

    Raises:
        CompetitionError: Another shape.
    """
    found: NDArray[np.bool_] = _with_classes(masks, "masks have") > 0
    return found


def _with_classes(given: ArrayLike, what: str) -> NDArray[Any]:
    array = np.asarray(given)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3:
        raise CompetitionError(f"{what} the shape (classes, rows, columns), not {array.shape}")
    return array


@dataclass(frozen=True)
class ArrayMaps:
    """``TuningMaps`` in memory: ``maps`` uint8 (C, H, W) of each member and image, and ``planes`` of the truth."""

    maps: Mapping[str, Sequence[NDArray[np.uint8]]]
    planes: Sequence[NDArray[np.uint8]]
    folds: NDArray[np.int64]
    groups: Sequence[str]
    classes: tuple[str, ...]
    metric: CountMetric

    @property
    def names(self) -> list[str]:
        """Return the names of the members."""
        return list(self.maps)

    @property
    def samples(self) -> list[str]:
        """Return the numbers of the images as keys."""
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

    def true_objects(self, sample: str) -> Objects:
        """Return the connected components of the truth of an image."""
        return components(self.truth(sample), len(self.classes))

    def pixels(self) -> int:
        """Return the number of pixels of all classes and images."""
        return len(self.classes) * sum(int(planes.shape[0] * planes.shape[1]) for planes in self.planes)

    def histograms(self) -> NDArray[np.int64]:
        """Return the histograms (n, C, 2, 256) of the first member's maps."""
        first = next(iter(self.maps.values()))
        return np.stack([image_histogram(values, planes) for values, planes in zip(first, self.planes, strict=True)])

    def fingerprint(self, sample: str) -> str:
        """Return "": what is in memory is never stale."""
        return ""
