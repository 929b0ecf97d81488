"""What the training loop draws from: augmented samples, each reproducible from (seed, epoch, position) alone.

No draw depends on how many were drawn before it, so a run that was cut and resumed sees exactly what the whole run
would have seen, with any number of loading processes.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from competition.config import Experiment, TrainSettings
from competition.data.augmentation import Augmenter, check_augmentation
from competition.data.boxes import Box
from competition.data.copy_paste import copy_paste
from competition.data.folds import FULL, Fold
from competition.data.grid import MEMORY_BUDGET_BYTES, GridReader, oversampling
from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.tracks.track import Mirror, Track
from competition.workspace import Workspace

Draw = tuple[int, int]
"""(index of the entry, random seed of this draw)"""


@dataclass(frozen=True)
class Drawn:
    """One augmented draw on the augmentation grid (k times finer than the training grid of S pixels).

    Attributes:
        sample: Key.
        images: (V, channels, k*S, k*S) uint8.
        planes: (k*S, k*S, P) uint8 label planes, or None for classification.
        targets: (C,) float32 for classification, 0 or 1 or a teacher's probability; or None.
        present: (V,) bool.
        mean, std: (V,) float32, grey statistics of the whole preprocessed views, 0..255.
    """

    sample: str
    images: NDArray[np.uint8]
    planes: NDArray[np.uint8] | None
    targets: NDArray[np.float32] | None
    present: NDArray[np.bool_]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]


@dataclass
class Batch:
    """Draws stacked along a first axis N; the fields are those of ``Drawn``."""

    samples: list[str]
    images: torch.Tensor
    planes: torch.Tensor | None
    targets: torch.Tensor | None
    present: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor


class TrainingSet(Dataset[Drawn]):
    """Draws augmented training samples."""

    def __init__(
        self,
        entries: Sequence[Entry],
        workspace: Workspace,
        track: Track,
        experiment: Experiment,
        pseudo: Path | None = None,
        boxes: Mapping[str, Box] | None = None,
    ) -> None:
        """Remembers what to draw from; nothing is read yet.

        Args:
            entries: Training samples, and test samples that a teacher has labelled.
            workspace: Where the cache is.
            track: What is competed in.
            experiment: All settings.
            pseudo: Folder of the label planes of those test samples.
            boxes: Sample -> the part of it to draw from, at native size; None draws from whole images.

        Raises:
            CompetitionError: Draws are to be mirrored and the track's anatomy does not allow it, classes are to be
                pasted and the track has no masks, the augmentation is unknown or turns what has a fixed up, or a
                preprocessing is unknown.
        """
        if experiment.data.flip and track.mirror is None:
            raise CompetitionError(f"data.flip mirrors the images, which track {track.name} does not allow")
        if experiment.data.copy_paste and track.task == "classification":
            raise CompetitionError(f"data.copy_paste pastes what masks mark, and track {track.name} has no masks")
        check_augmentation(experiment.data.augmentation, track)
        self.entries = list(entries)
        self.factor = oversampling(entries, track, experiment.data, boxes)
        self._track = track
        self._settings = experiment.data
        self._augment = Augmenter(experiment.data.augmentation, labelled=track.task == "segmentation")
        budget = MEMORY_BUDGET_BYTES // max(1, loading_processes(experiment))
        self._reader = GridReader(
            workspace,
            track,
            experiment.data.size,
            budget,
            preprocessing=experiment.data.preprocess,
            pseudo=pseudo,
            boxes=boxes,
            finer=self.factor,
        )

    def __len__(self) -> int:
        """Number of training samples."""
        return len(self.entries)

    def __getitem__(self, draw: Draw) -> Drawn:
        """One augmented draw."""
        index, seed = draw
        entry = self.entries[index]
        random = np.random.default_rng(seed)
        sample = self._reader.read(entry)
        side = self._settings.size * self.factor
        images = [pad_to(image, side, grey=self._track.task == "classification") for image in sample.images]
        planes = None if sample.planes is None else pad_to(sample.planes, side)
        if planes is not None and self._settings.copy_paste and random.random() < self._settings.copy_paste:
            images[0], planes = self._paste(index, images[0], planes, random)
        targets, present, statistics = entry.targets, entry.present, list(zip(sample.mean, sample.std, strict=True))
        if self._settings.flip and self._track.mirror is not None and random.random() < 0.5:
            images, planes, targets, present = mirror_sample(images, planes, targets, present, self._track.mirror)
            statistics = [statistics[view] for view in self._track.mirror.views]
        images, planes = self._augment(images, planes, int(random.integers(2**32)))
        if self._settings.crop is not None:
            images, planes = random_crop(images, planes, self._settings.crop * self.factor, random)
        stacked = np.stack([image[None] if image.ndim == 2 else image.transpose(2, 0, 1) for image in images])
        classification = self._track.task == "classification"
        return Drawn(
            sample=entry.sample,
            images=stacked,
            planes=planes,
            targets=np.array(targets, dtype=np.float32) if classification else None,
            present=np.array(present),
            mean=np.array([mean for mean, _ in statistics], dtype=np.float32),
            std=np.array([std for _, std in statistics], dtype=np.float32),
        )

    def _paste(
        self, index: int, image: NDArray[np.uint8], planes: NDArray[np.uint8], random: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Lays one class of another sample over this one; a single sample stays as it is."""
        if len(self.entries) == 1:
            return image, planes
        away = int(random.integers(1, len(self.entries)))
        other = self._reader.read(self.entries[(index + away) % len(self.entries)])
        assert other.planes is not None
        side = len(image)
        donor, donor_planes = pad_to(other.images[0], side), pad_to(other.planes, side)
        return copy_paste(image, planes, donor, donor_planes, len(self._track.classes), random)


def pad_to(image: NDArray[np.uint8], side: int, grey: bool = False) -> NDArray[np.uint8]:
    """Pads at the bottom and right to a square of ``side`` pixels.

    Args:
        image: (h, w) or (h, w, channels) uint8.
        side: Of the square.
        grey: Pad with the picture's median grey instead of black. Views of patients are padded so: which stills were
            not square is known of their console, and a black bar would tell it to the network.
    """
    height, width = image.shape[:2]
    if (height, width) == (side, side):
        return image
    padded = np.empty((side, side, *image.shape[2:]), np.uint8)
    padded[:] = np.median(image, axis=(0, 1)).astype(np.uint8) if grey else 0
    padded[:height, :width] = image
    return padded


def mirror_sample(
    images: list[NDArray[np.uint8]],
    planes: NDArray[np.uint8] | None,
    targets: tuple[float, ...],
    present: tuple[bool, ...],
    mirror: Mirror,
) -> tuple[list[NDArray[np.uint8]], NDArray[np.uint8] | None, tuple[float, ...], tuple[bool, ...]]:
    """Mirrors a sample left to right, with everything that has to move along.

    Args:
        images: One per view.
        planes: Label planes, or None.
        targets: One per class.
        present: One per view.
        mirror: What changes places.

    Returns:
        The four in mirrored form.
    """
    flipped = [image[:, ::-1] if flips else image for image, flips in zip(images, mirror.flipped_views, strict=True)]
    if planes is not None:
        if mirror.classes != tuple(range(len(mirror.classes))):
            raise ValueError("label planes of classes that change places can't be mirrored bit by bit")
        planes = np.ascontiguousarray(planes[:, ::-1])
    return (
        [np.ascontiguousarray(flipped[view]) for view in mirror.views],
        planes,
        tuple(targets[index] for index in mirror.classes),
        tuple(present[view] for view in mirror.views),
    )


def random_crop(
    images: list[NDArray[np.uint8]], planes: NDArray[np.uint8] | None, side: int, random: np.random.Generator
) -> tuple[list[NDArray[np.uint8]], NDArray[np.uint8] | None]:
    """Cuts the same random square out of all images and the planes."""
    height, width = images[0].shape[:2]
    top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
    window = slice(top, top + side), slice(left, left + side)
    return [image[window] for image in images], None if planes is None else planes[window]


class DrawSampler(Sampler[list[Draw]]):
    """Which samples make up each batch of an epoch, and the seed of each draw."""

    def __init__(self, samples: int, batch_size: int, repeats: int, seed: int) -> None:
        """Starts before the first epoch; ``set_epoch`` chooses another."""
        self._samples = samples
        self._batch_size = batch_size
        self._repeats = repeats
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The next iteration gives the batches of this epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Batches in an epoch."""
        draws = self._samples * self._repeats
        whole, rest = divmod(draws, self._batch_size)
        # A single last sample joins the batch before it: batch normalisation can't work on one.
        return max(1, whole + (rest > 1 or (rest == 1 and whole == 0)))

    def __iter__(self) -> Iterator[list[Draw]]:
        """The batches of the epoch."""
        random = np.random.default_rng([self._seed, self._epoch])
        order = np.concatenate([random.permutation(self._samples) for _ in range(self._repeats)])
        seeds = random.integers(2**32, size=len(order))
        draws = list(zip(order.tolist(), seeds.tolist(), strict=True))
        for number in range(len(self)):
            start = number * self._batch_size
            last = number == len(self) - 1
            yield draws[start:] if last else draws[start : start + self._batch_size]


# The model of all samples draws its own numbers; no fold has this one.
NUMBER_OF_FULL = 999


def fold_sampler(samples: int, settings: TrainSettings, fold: Fold) -> DrawSampler:
    """The batches of a fold: other folds and other seeds draw others."""
    number = NUMBER_OF_FULL if fold == FULL else fold
    return DrawSampler(samples, settings.batch_size, settings.repeats, settings.seed + 1000 * number)


def loading_processes(experiment: Experiment) -> int:
    """Number of processes that load data beside the one that trains."""
    if experiment.data.workers is not None:
        return experiment.data.workers
    # Without a GPU the loading would only take cores away from the training.
    return min(8, max(0, (os.cpu_count() or 1) - 1)) if torch.cuda.is_available() else 0


def training_loader(dataset: TrainingSet, sampler: DrawSampler, experiment: Experiment) -> DataLoader[Drawn]:
    """A loader that gives ``Batch`` objects in the sampler's order."""
    workers = loading_processes(experiment)
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        # One of its own, or the loader would draw from the numbers of dropout, once or in each epoch as it is resumed.
        generator=torch.Generator(),
    )


def collate(drawn: list[Drawn]) -> Batch:
    """Stacks draws into a batch."""
    planes = [draw.planes for draw in drawn if draw.planes is not None]
    targets = [draw.targets for draw in drawn if draw.targets is not None]
    return Batch(
        samples=[draw.sample for draw in drawn],
        images=torch.from_numpy(np.stack([draw.images for draw in drawn])),
        planes=torch.from_numpy(np.stack(planes)) if planes else None,
        targets=torch.from_numpy(np.stack(targets)) if targets else None,
        present=torch.from_numpy(np.stack([draw.present for draw in drawn])),
        mean=torch.from_numpy(np.stack([draw.mean for draw in drawn])),
        std=torch.from_numpy(np.stack([draw.std for draw in drawn])),
    )
