"""The state of a training fold: made new, kept in last.pt, restored where a run was interrupted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from competition.console import say
from competition.data.boxes import Box
from competition.data.datasets import TrainingSet
from competition.data.draw_sampler import DrawSampler
from competition.data.loader import collate
from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.models.compilation import compile_network
from competition.models.factory import build_model, place
from competition.models.gpu import gpu_of
from competition.models.gradient_checkpointing import checkpoint_gradients
from competition.settings import Experiment
from competition.tracks.track import Track
from competition.training.checkpoints import (
    RETRAIN,
    Identity,
    check_identity,
    code_hash,
    load_checkpoint,
    save_checkpoint,
    stored_identity,
)
from competition.training.losses import Loss, weighted_loss
from competition.training.precision import choose_precision, one_choice, time_step
from competition.training.ranks import ALONE, Ranks
from competition.training.steps import batch_loss, fewest_samples, make_optimizer
from competition.training.unlabelled_start import learn_without_labels
from competition.training.warm_start import start_file, start_from
from competition.workspace import Workspace, last_checkpoint_file

from timm.utils import ModelEmaV3  # isort: skip  (after competition.models, which makes timm importable)


@dataclass(frozen=True)
class FoldJob:
    """What to train, and where checkpoints and curves go."""

    experiment: Experiment
    track: Track
    workspace: Workspace
    folder: Path
    identity: Identity  # what the weights belong to
    training: list[Entry]
    held_out: list[Entry]  # samples to score on; never learned from. Empty for a model of all samples
    # folder of the label planes a teacher gave to the test samples among ``training``; None without one
    pseudo: Path | None = None
    # sample -> the part of it that is learned from and scored; None looks at whole images
    boxes: Mapping[str, Box] | None = None
    tracker: str | None = None  # of ``tracking.TRACKERS``; it changes no weights
    ranks: Ranks = ALONE  # the processes that train it together
    precision_of: str = ""  # what shares one choice of precision, beside each other's folders; "" is the same settings

    @cached_property
    def loss(self) -> Loss:
        """Return the loss, with the weights of its classes where it has them."""
        return weighted_loss(self.experiment.train, self.track, self.training)


@dataclass
class FoldState:
    """Everything that changes while a fold trains; all of it is in last.pt."""

    model: nn.Module
    ema: ModelEmaV3 | None  # the moving average of ``model``
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  # loss scaling of fp16 (a no-op otherwise)
    precision: str
    chunk: int  # samples that go through the network at once; smaller than a batch where GPU memory is short
    fewest: int = 1  # samples that must go through it at once (``steps.fewest_samples``), whatever ``chunk`` is
    epoch: int = 0  # epochs done
    step: int = 0  # optimizer steps done
    history: list[dict[str, float]] = field(default_factory=list)  # one row per epoch

    @property
    def score(self) -> float:
        """Return the last score at native size; NaN before the first."""
        return next((row["score"] for row in reversed(self.history) if "score" in row), math.nan)

    def predicting(self) -> nn.Module:
        """Return the weights that predict: the moving average where there is one."""
        if self.ema is None:
            return self.model
        averaged: nn.Module = self.ema.module
        return averaged


PROGRESS = ("chunk", "epoch", "step", "history")
"""Fields of ``FoldState`` that last.pt holds as they are."""

SEED_STEP = 1_000_003
"""Between the seeds of ranks, so that each drops out other numbers."""

Start = tuple[nn.Module, dict[str, Any] | None]
"""What a training starts from: a network on the CPU, and the content of last.pt, None where there is none."""


def open_start(job: FoldJob) -> Start:
    """Read last.pt, where there is one, and build the network.

    Raises:
        CompetitionError: last.pt is damaged or belongs to another experiment or fold file, or differs between ranks, or
            the network can't be built.
    """
    last = last_checkpoint_file(job.folder)
    stored = load_checkpoint(last) if last.exists() else None
    # Also so that the first rank writes no last.pt of this run before all have looked for that of an earlier one.
    job.ranks.check_same((*vars(job.identity).values(), None if stored is None else stored.get("epoch")), job.folder)
    if stored is not None:
        check_identity(stored_identity(stored, last), job.identity, last)
    return build_model(job.experiment, job.track, pretrained=False if stored else None), stored


def start_or_resume(
    job: FoldJob, start: Start, dataset: TrainingSet, sampler: DrawSampler, device: torch.device
) -> FoldState:
    """Return the state of last.pt where there is one, a new one otherwise.

    Raises:
        CompetitionError: The weights to start from don't fit or have learned from what the fold holds out, or the
            network can't learn from single samples.
    """
    settings = job.experiment.train
    model, stored = start
    fewest = _fewest_samples(model, job)
    if stored is None and job.experiment.model.init is not None:
        path = start_file(job.workspace, job.experiment.model.init, job.identity.fold)
        start_from(model, path, job.identity)
    elif stored is None and job.ranks.first:
        learn_without_labels(model, dataset, sampler, settings.seed)
    model, ranks = place(model, device), job.ranks
    ranks.copy_first(model)
    torch.manual_seed(settings.seed + SEED_STEP * ranks.number)
    if stored is not None:
        precision = str(stored.get("precision"))
    else:
        precision = ranks.of_first(_choose_precision(job, model, dataset, sampler) if ranks.first else "")
    steps = math.ceil(len(sampler) / settings.accumulate) * settings.epochs
    state = FoldState(
        model=model,
        # The average reaches back over a twentieth of the run: long enough to smooth, short enough to forget the start.
        ema=ModelEmaV3(model, decay=1 - 1 / max(2.0, steps / 20), use_warmup=True) if settings.ema else None,
        optimizer=make_optimizer(model, settings),
        scaler=torch.amp.GradScaler(device.type, enabled=precision == "fp16" and device.type == "cuda"),
        precision=precision,
        chunk=settings.batch_size + 1,  # the last batch of an epoch may hold one sample more
        fewest=fewest,
    )
    if ranks.count > 1:
        state.scaler.scale(torch.zeros((), device=device))  # a rank may have no loss to scale before its first step
    # After the copy for the average, which never computes a gradient. Neither changes the name of a weight.
    if settings.gradient_checkpointing:
        checkpoint_gradients(model, job.experiment.model.architecture)
    if settings.compile:
        compile_network(model)
    if stored is not None:
        try:
            restore(state, stored, ranks.number)
        except (AttributeError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
            what = "training can't be resumed from this checkpoint"
            raise CompetitionError(what, last_checkpoint_file(job.folder), RETRAIN) from error
        say(f"fold {job.identity.fold}: resumed after epoch {state.epoch} of {settings.epochs}")
    else:
        # At once, because the precision may have been chosen by timing, which could come out differently the next time.
        save_last(job, state)
    return state


def save_last(job: FoldJob, state: FoldState) -> None:
    """Write last.pt."""
    content = snapshot(job, state)
    if job.ranks.first:
        save_checkpoint(last_checkpoint_file(job.folder), content)


def _fewest_samples(model: nn.Module, job: FoldJob) -> int:
    """Return how many samples the network must see at once; reject batches that hold fewer."""
    settings, data = job.experiment.train, job.experiment.data
    fewest = fewest_samples(model, job.track, data.crop or data.size)
    if min(settings.batch_size, len(job.training) * settings.repeats) < fewest:
        few = "train.batch_size" if settings.batch_size < fewest else "train.repeats"
        what = (
            f"{job.experiment.model.architecture} can't learn from one sample at a time: it normalises single pixels "
            "over the batch"
        )
        raise CompetitionError(what, None, f"Use --set {few}={fewest} or more")
    return fewest


def _choose_precision(job: FoldJob, model: nn.Module, dataset: TrainingSet, sampler: DrawSampler) -> str:
    """Choose the precision of a run, by timing one real batch where the kind of processor does not decide."""
    settings = job.experiment.train

    def time_of(precision: str) -> float:
        batch = collate([dataset[draw] for draw in next(iter(sampler))])

        def step(trial: nn.Module, autocast: torch.dtype | None) -> torch.Tensor:
            return batch_loss(trial, batch, dataset.factor, len(job.track.classes), job.loss, autocast)

        return time_step(model, step, precision)

    device = next(model.parameters()).device
    made_for = f"{job.precision_of or job.identity.config_hash}-{device.type}"
    with one_choice(job.folder.parent, made_for) as chosen:
        if chosen:
            precision, why = chosen[0], f"{chosen[0]}, as in the rest of the run"
        else:
            precision, why = choose_precision(settings.precision, device, time_of)
            chosen.append(precision)
    drawn = "" if settings.repeats == 1 else f" (each drawn {settings.repeats} times an epoch)"
    counts = f"{len(job.training)} samples to learn from{drawn}, {len(job.held_out)} held out"
    say(f"fold {job.identity.fold}: {counts}; precision {why}")
    return precision


def snapshot(job: FoldJob, state: FoldState) -> dict[str, Any]:
    """Return the content of last.pt."""
    return {
        "identity": vars(job.identity) | {"classes": list(job.identity.classes)},
        "config": job.experiment.model_dump(mode="json"),
        "code_hash": code_hash(),
        "model": state.model.state_dict(),
        "ema": None if state.ema is None else state.ema.module.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "precision": state.precision,
        **{name: getattr(state, name) for name in PROGRESS},
        **_random_states(),
        "gpu": gpu_of(next(state.model.parameters()).device),
        "other_ranks": job.ranks.join([_random_states() | {"chunk": state.chunk}])[1:],
    }


def _random_states() -> dict[str, Any]:
    return {
        "random": torch.get_rng_state(),
        # Of the device that trains alone: another machine may have fewer.
        "random_cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
    }


def restore(state: FoldState, stored: dict[str, Any], rank: int = 0) -> None:
    """Bring a new state to that of a checkpoint's content.

    Where fewer ranks trained before, a rank without stored random numbers starts from its seed.
    """
    state.model.load_state_dict(stored["model"])
    if state.ema is not None:
        state.ema.module.load_state_dict(stored["ema"])
    state.optimizer.load_state_dict(stored["optimizer"])
    state.scaler.load_state_dict(stored["scaler"])
    whole = state.chunk
    for name in PROGRESS:
        setattr(state, name, stored[name])
    others: list[dict[str, Any]] = stored.get("other_ranks", [])  # last.pt of version 0.2.0 has none
    own = stored if rank == 0 else others[rank - 1] if rank <= len(others) else {}
    state.chunk = own.get("chunk", state.chunk)
    if stored.get("gpu") != gpu_of(next(state.model.parameters()).device):
        state.chunk = whole  # memory was short elsewhere; here it may not be
    if own:
        torch.set_rng_state(own["random"])
        if torch.cuda.is_available() and own["random_cuda"]:
            torch.cuda.set_rng_state(own["random_cuda"][0])
