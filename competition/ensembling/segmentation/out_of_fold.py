"""The out-of-fold predictions that a segmentation is tuned on."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from competition.data.cache import read_cached_planes
from competition.ensembling.segmentation.true_objects import TrueObjects
from competition.ensembling.voting.class_votes import Voters, find_voters
from competition.masks.objects import Objects, components
from competition.masks.stored_arrays import open_array
from competition.metrics.counts import DICE, CountMetric
from competition.prediction.histograms import histograms_file, join_histograms, load_histograms
from competition.prediction.opened_maps import ClassMap, OpenedMap, open_map
from competition.prediction.probability_maps import map_file
from competition.runs.members import Member
from competition.workspace import Workspace


class TuningMaps(Protocol):
    """The images that everything is chosen on, with maps in files (``OutOfFold``) or in memory (``ArrayMaps``).

    Attributes:
        names: Of the members.
        samples: Keys of the images that all members cover, (n,).
        folds: int64 (n,), the fold that held out each image.
        groups: (n,).
        classes: (C,) names, in the order of the label planes.
        metric: What everything is scored by.
    """

    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def samples(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def folds(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def groups(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def metric(self) -> CountMetric: ...  # noqa: D102

    def voters(self) -> Voters:
        """Return who votes on which class."""

    def open_maps(self, sample: str) -> Sequence[ClassMap]:
        """Return the members' maps of an image, each from a model that was not trained on it."""

    def truth(self, sample: str) -> NDArray[np.uint8]:
        """Return the label planes of an image, (H, W, ceil(C / 8))."""

    def true_objects(self, sample: str) -> Objects:
        """Return the true objects of an image."""

    def pixels(self) -> int:
        """Return the number of pixels of all classes and images."""

    def histograms(self) -> NDArray[np.int64]:
        """Return the histograms (n, C, 2, 256) of the first member's maps."""

    def fingerprint(self, sample: str) -> str:
        """Return a hash of what ``open_maps`` and ``truth`` return; "" where there is none."""


@dataclass(frozen=True)
class OutOfFold:
    """The out-of-fold predictions of trained members and the cached labels, in files.

    Attributes:
        members: Who votes.
        folders: Of each member, sample -> folder of its out-of-fold map.
        workspace: Where the label planes are.
        read_objects: Reads true objects; None where they are connected components.

    The others are those of ``TuningMaps``.
    """

    members: Sequence[Member]
    folders: Sequence[Mapping[str, Path]]
    workspace: Workspace
    samples: list[str]
    folds: NDArray[np.int64]
    groups: list[str]
    classes: tuple[str, ...]
    metric: CountMetric = DICE
    read_objects: TrueObjects | None = None

    @property
    def names(self) -> list[str]:
        """Return the names of the members."""
        return [member.name for member in self.members]

    def histograms(self) -> NDArray[np.int64]:
        """Return the histograms (n, C, 2, 256) of the first member's maps, as its training stored them.

        Raises:
            CompetitionError: An image has no histogram.
        """
        rows = self.voters().rows[:, 0]
        stored: dict[str, NDArray[np.int64]] = {}
        for folder in dict.fromkeys(self.folders[0].values()):
            stored |= load_histograms(histograms_file(folder))
        return join_histograms(stored, self.samples, self.names[0])[:, rows]

    def voters(self) -> Voters:
        """Return who votes on which class."""
        return find_voters(self.classes, [member.classes for member in self.members])

    def open_maps(self, sample: str) -> list[OpenedMap]:
        """Return the members' maps of a sample, each from the fold that held it out, read a tile at a time.

        Raises:
            CompetitionError: A map is missing or damaged.
        """
        return [open_map(folder_of[sample], sample) for folder_of in self.folders]

    def truth(self, sample: str) -> NDArray[np.uint8]:
        """Return the label planes of a sample."""
        return read_cached_planes(self.workspace, sample)

    def true_objects(self, sample: str) -> Objects:
        """Return the true objects of a sample.

        Raises:
            CompetitionError: Its label can't be read.
        """
        planes = self.truth(sample)
        if self.read_objects is None:
            return components(planes, len(self.classes))
        return self.read_objects(sample, planes)

    def pixels(self) -> int:
        """Return the pixels of all classes and images, without reading the images."""
        shapes = [open_array(self.workspace.label_file(sample)).shape for sample in self.samples]
        return len(self.classes) * sum(int(height) * int(width) for height, width, _ in shapes)

    def fingerprint(self, sample: str) -> str:
        """Return a hash of the files of ``open_maps`` and ``truth``; "", which never matches, where one is missing.

        It reads 7 MB for five members of 29 x 2048 x 2048: a hundredth of the time that the maps take.
        """
        files = [map_file(folder_of[sample], sample) for folder_of in self.folders]
        digest = hashlib.sha256()
        for path in [*files, self.workspace.label_file(sample)]:
            if not path.exists():
                return ""
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()
