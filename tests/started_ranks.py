"""Starts processes that train together as torchrun would, with a tiny network without batch normalisation."""

import hashlib
import json
import math
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from competition.data.loader import Batch
from competition.data.manifest import Entry
from competition.models.factory import NETWORKS
from competition.runs.held_out_predictions import store_held_out
from competition.settings import Experiment
from competition.tracks.track import Track
from competition.training import loop
from competition.training.checkpoints import load_trained, open_predictor
from competition.training.ranks import Ranks, join_ranks
from competition.training.state import FoldJob
from competition.workspace import Workspace

SECONDS = 60
"""After so long a process is taken to hang."""


class GroupNetwork(nn.Module):
    """Normalises each sample by itself, so that it learns the same from a batch and from its shares."""

    stride = 2  # so that the two sizes of tiny_hands have canvases of their own

    def __init__(self, classes: int, dropout: float) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.GroupNorm(2, 8)
        self.drop, self.last = nn.Dropout(dropout), nn.Conv2d(8, 4 * classes, 3, padding=1)
        self.unused = nn.Parameter(torch.ones(2, 2))  # the optimizer must go on leaving it out
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.shuffle(self.last(self.drop(self.norm(self.first(images)).relu())))


def _group_network(experiment: Experiment, track: Track) -> nn.Module:
    return GroupNetwork(len(track.classes), experiment.model.dropout)


NETWORKS["groups"] = _group_network


def travelling(track: Track) -> Track:
    """The track without the functions that another process can't import; training needs none of them."""
    return replace(track, list_samples=print, list_test=print, read_image=np.load, read_label=None)


def start(count: int, function: Callable[..., None], *arguments: object) -> list[BaseProcess]:
    """Call a function of this module with its ``Ranks`` in so many processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "competition.runs.fold_training"])
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes = [
        context.Process(target=_rank, args=(number, count, port, function, arguments)) for number in range(count)
    ]
    for process in processes:
        process.start()
    return processes


def finish(processes: list[BaseProcess]) -> list[int | None]:
    """Wait for all; return their exit codes, None of one that hung and was killed."""
    for process in processes:
        process.join(SECONDS)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes


def _rank(number: int, count: int, port: int, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(count)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    function(join_ranks(), *arguments)


def train(ranks: Ranks, job: FoldJob, fault: str = "", at: int = 0) -> None:
    """Train a fold, where rank 1 may write nothing, with a fault of rank 1 in its ``at``-th optimizer step.

    What ends the training goes to a file of the rank in the job's folder.
    """
    loop.CHECKPOINT_SECONDS = 0
    if ranks.number:
        os.replace = None  # every file gets its name by this
        if fault:
            _break(fault, at)
    try:
        loop.train_fold(replace(job, ranks=ranks))
    except Exception as error:
        (job.folder / f"error{ranks.number}.txt").write_text(f"{type(error).__name__}: {error}")
        sys.exit(1)


def _break(fault: str, at: int) -> None:
    add_gradients, batch_loss, groups = loop._add_gradients, loop.batch_loss, []

    def faulty_gradients(*arguments: Any) -> list[float]:
        groups.append(arguments)
        if fault == "killed" and len(groups) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return add_gradients(*arguments)

    def faulty_loss(model: nn.Module, batch: Any, *others: Any) -> torch.Tensor:
        most = {"short": 1, "too short": 0}.get(fault, math.inf)
        if len(groups) >= at and len(batch.samples) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        loss = batch_loss(model, batch, *others)
        return loss * math.nan if fault == "nan" and len(groups) == at else loss

    loop._add_gradients, loop.batch_loss = faulty_gradients, faulty_loss


def note_draws(ranks: Ranks, job: FoldJob) -> None:
    """Train a fold and write down each batch of this rank: a list of samples with a checksum of their pixels."""
    add_gradients, seen = loop._add_gradients, []

    def noting(job: FoldJob, state: Any, group: list[Batch], factor: int) -> list[float]:
        seen.extend([[name, _checksum(batch, place)] for place, name in enumerate(batch.samples)] for batch in group)
        return add_gradients(job, state, group, factor)

    loop._add_gradients = noting
    try:
        loop.train_fold(replace(job, ranks=ranks))
    finally:
        loop._add_gradients = add_gradients
    (job.folder / f"draws{ranks.number}.json").write_text(json.dumps(seen))


def _checksum(batch: Batch, place: int) -> str:
    return hashlib.sha256(batch.images[place].numpy().tobytes() + batch.planes[place].numpy().tobytes()).hexdigest()


def predict(ranks: Ranks, prepared: tuple[Track, Workspace, list[Entry]], checkpoint: Path, folder: Path) -> None:
    """Store the predictions of held-out samples by a checkpoint, and the score of its network."""
    track, workspace, held_out = prepared
    trained = load_trained(checkpoint)
    predictor = open_predictor([trained], track, workspace)
    store_held_out(predictor, trained, held_out, folder / "oof", "held out", ranks)
    score = loop.held_out_score(predictor, workspace, held_out, ranks)
    (folder / f"score{ranks.number}.txt").write_text(repr(score))
