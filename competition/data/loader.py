"""Batches of draws, loaded by processes of their own beside a GPU."""

import shutil
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from competition.console import shout
from competition.data.datasets import Drawn, TrainingSet
from competition.data.draw_sampler import Draw, DrawSampler
from competition.data.grid import pad_to
from competition.machine import MB, own_cores
from competition.settings import Experiment


@dataclass
class Batch:
    """Draws stacked along a first axis N, padded to the largest of them; the fields are those of ``Drawn``.

    ``whole`` are the draws of the whole batch, of which this may be a share.
    """

    samples: list[str]
    images: torch.Tensor
    planes: torch.Tensor | None
    targets: torch.Tensor | None
    present: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    whole: int

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory, which a GPU copies while it computes; the loader calls this."""
        pinned: dict[str, Any] = {
            name: value.pin_memory() if isinstance(value, torch.Tensor) else value for name, value in vars(self).items()
        }
        return Batch(**pinned)


def loading_processes(experiment: Experiment) -> int:
    """Return the number of processes that load data beside the one that trains."""
    if experiment.data.workers is not None:
        return experiment.data.workers
    # Without a GPU the loading would only take cores away from the training.
    return min(8, own_cores() - 1) if torch.cuda.is_available() else 0


BATCHES_AHEAD = 3
"""Batches of a loading process: two that it prepares ahead, as torch does by default, and one that is read."""
GB = 1024 * MB
SHARED_MEMORY = Path("/dev/shm")
"""Where loading processes leave their batches, on Linux; a container has 64 MB there unless it is given more."""


def fitting_processes(wanted: int, batch_bytes: int, shared: Path = SHARED_MEMORY) -> int:
    """Return how many loading processes the shared memory allows; each leaves up to three batches there."""
    if not wanted or not shared.is_dir():
        return wanted
    free = shutil.disk_usage(shared).free
    fitting = min(wanted, free // (BATCHES_AHEAD * batch_bytes))
    if fitting < wanted:
        shout(
            f"{shared} has {free // MB:,} MB free, which holds batches of {batch_bytes // MB:,} MB for {fitting} of "
            f"{wanted} loading processes; in Docker give --shm-size {ceil(wanted * BATCHES_AHEAD * batch_bytes / GB)}g"
        )
    return fitting


@dataclass(frozen=True)
class Share:
    """Which part of each batch a process learns from, where several train together.

    Attributes:
        number: Of the process, from 0.
        count: Of the processes.
        fewest: Samples that must go through the network at once; a share has as many or none.
    """

    number: int = 0
    count: int = 1
    fewest: int = 1

    def of(self, draws: list[Draw]) -> list[Draw]:
        """Return the part of a batch's draws, which may be empty; the parts of all are as even as can be."""
        parts = max(1, min(self.count, len(draws) // self.fewest))
        if self.number >= parts:
            return []
        return draws[self.number * len(draws) // parts : (self.number + 1) * len(draws) // parts]


@dataclass(frozen=True)
class _Shares(Dataset[Batch]):
    """A process's share of any batch, padded as the whole batch would be."""

    dataset: TrainingSet
    share: Share

    def __getitem__(self, draws: list[Draw]) -> Batch:
        """Return the share of a batch of these draws."""
        own = [self.dataset[draw] for draw in self.share.of(draws)]
        return collate(own, self.dataset.size_of(draws), len(draws))


ALL = Share()


def training_loader(
    dataset: TrainingSet, sampler: DrawSampler, experiment: Experiment, share: Share = ALL
) -> DataLoader[Batch]:
    """Return a loader of the batches, or of this process's share of each, in the sampler's order."""
    workers = fitting_processes(loading_processes(experiment), dataset.draw_bytes() * experiment.train.batch_size)
    return DataLoader(
        _Shares(dataset, share),
        batch_size=None,  # an item is a batch
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_start_loading if workers else None,
        pin_memory=torch.cuda.is_available(),
        # One of its own, or the loader would use up random numbers of dropout, differently once it is resumed.
        generator=torch.Generator(),
    )


def _start_loading(_: int) -> None:
    """Let a loading process use one thread, because there is one process per core."""
    blosc2.set_nthreads(1)


def collate(drawn: list[Drawn], size_hw: tuple[int, int] | None = None, whole: int | None = None) -> Batch:
    """Stack draws into a batch.

    Args:
        drawn: The draws; none gives a batch of empty tensors.
        size_hw: What they are padded to with black; None is the largest of them.
        whole: Draws of the whole batch, of which these may be a share; None where they are all.
    """
    whole = len(drawn) if whole is None else whole
    if not drawn:
        nothing = torch.empty(0)
        return Batch([], nothing, nothing, nothing, nothing, nothing, nothing, whole)
    rows, columns = size_hw or tuple(max(draw.images.shape[axis] for draw in drawn) for axis in (-2, -1))
    images = np.zeros((len(drawn), *drawn[0].images.shape[:-2], rows, columns), np.uint8)
    for place, draw in zip(images, drawn, strict=True):
        place[..., : draw.images.shape[-2], : draw.images.shape[-1]] = draw.images
    planes = [pad_to(draw.planes, (rows, columns)) for draw in drawn if draw.planes is not None]
    targets = [draw.targets for draw in drawn if draw.targets is not None]
    return Batch(
        samples=[draw.sample for draw in drawn],
        images=torch.from_numpy(images),
        planes=torch.from_numpy(np.stack(planes)) if planes else None,
        targets=torch.from_numpy(np.stack(targets)) if targets else None,
        present=torch.from_numpy(np.stack([draw.present for draw in drawn])),
        mean=torch.from_numpy(np.stack([draw.mean for draw in drawn])),
        std=torch.from_numpy(np.stack([draw.std for draw in drawn])),
        whole=whole,
    )
