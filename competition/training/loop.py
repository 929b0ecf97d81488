"""The training loop of one fold: epochs, accumulation, moving average, scores, and a checkpoint after each epoch."""

import csv
import io
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import cv2
import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from competition.console import Ticker, progress, say
from competition.data.datasets import Batch, TrainingSet, loading_processes, training_loader
from competition.data.draw_sampler import fold_sampler
from competition.errors import CompetitionError
from competition.files import write_text
from competition.models.layers import stride_of
from competition.prediction.predictor import make_predictor
from competition.training.checkpoints import Best, save_best, save_checkpoint
from competition.training.losses import get_loss
from competition.training.precision import AUTOCAST
from competition.training.schedules import learning_rate, set_learning_rate
from competition.training.state import FoldJob, FoldState, open_start, snapshot, start_or_resume
from competition.training.steps import backward_in_chunks, batch_loss, chunk_sizes
from competition.training.validation import held_out_score
from competition.workspace import checkpoint_file, history_file, last_checkpoint_file

# An interrupted run loses at most this much work, and writing checkpoints takes a few per cent of the time at most.
CHECKPOINT_SECONDS = 30.0


class DivergedError(CompetitionError):
    """The loss is not a number any more."""


def train_fold(job: FoldJob, on_score: Callable[[int, float], None] | None = None) -> FoldState:
    """Train one fold, or continue where it was interrupted; best.pt and history.csv are in the job's folder.

    After an epoch, at most every half minute, last.pt is replaced as a whole; a run killed at any moment and started
    again gives the same weights, bit for bit on a CPU, as one that was not killed. ``on_score`` is called with the
    number of epochs done and the score at native size: first for the scores of a resumed run, then after each score.
    What it raises ends the training.

    Raises:
        CompetitionError: The loss is not a number (``DivergedError``), memory is too small for one sample, or last.pt
            is of another run.
    """
    settings = job.experiment.train
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    _make_deterministic(settings.deterministic)
    # Folds that train at once share the cores, and there is one loading process per core. Those inherit this setting:
    # changing it inside a forked process deadlocks.
    cv2.setNumThreads(1 if loading_processes(job.experiment) else torch.get_num_threads())
    start = open_start(job)
    dataset = TrainingSet(
        job.training, job.workspace, job.track, job.experiment, job.pseudo, job.boxes, stride_of(start[0])
    )
    sampler = fold_sampler(dataset.canvases, settings, job.identity.fold)
    state = start_or_resume(job, start, dataset, sampler, device)
    if on_score is not None:
        for row in state.history:
            if "score" in row:
                on_score(int(row["epoch"]), row["score"])
    loader = training_loader(dataset, sampler, job.experiment)
    curves = SummaryWriter(str(job.folder / "tensorboard"), purge_step=state.epoch + 1)
    saved = time.monotonic()
    with progress(f"fold {job.identity.fold}", (settings.epochs - state.epoch) * len(sampler)) as ticker:
        while state.epoch < settings.epochs:
            sampler.set_epoch(state.epoch)
            row = _train_epoch(job, state, loader, len(sampler), dataset.factor, ticker)
            state.epoch += 1
            if state.epoch % settings.validate_every == 0 or state.epoch == settings.epochs:
                row["score"] = _score(job, state)
            _finish_epoch(job, state, row, curves)
            if time.monotonic() - saved > CHECKPOINT_SECONDS or state.epoch == settings.epochs:
                save_checkpoint(last_checkpoint_file(job.folder), snapshot(job, state))
                saved = time.monotonic()
            if on_score is not None and "score" in row:
                on_score(state.epoch, row["score"])
    curves.close()
    return state


def _train_epoch(
    job: FoldJob, state: FoldState, loader: Iterable[Batch], batches: int, factor: int, ticker: Ticker
) -> dict[str, float]:
    settings = job.experiment.train
    state.model.train()
    started = time.perf_counter()
    steps_per_epoch = math.ceil(batches / settings.accumulate)
    total, done = 0.0, 0
    for group in _groups(loader, settings.accumulate):
        set_learning_rate(state.optimizer, learning_rate(settings, state.step, steps_per_epoch))
        for batch, loss in zip(group, _add_gradients(job, state, group, factor), strict=True):
            done += 1
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the loss became {loss} in epoch {state.epoch + 1}, batch {done} ({', '.join(batch.samples)})",
                    job.folder,
                    "Try a smaller --set train.lr=... or train.precision=fp32 under another name (--name NEW)",
                )
            total += loss
            best = "" if math.isnan(state.best_score) else f", best score {state.best_score:.4f}"
            ticker.advance(f"epoch {state.epoch + 1}/{settings.epochs}, loss {total / done:.4f}{best}")
        _optimizer_step(state, settings.clip)
    rate = state.optimizer.param_groups[0]["lr"]
    return {"epoch": state.epoch + 1, "loss": total / batches, "lr": rate, "seconds": time.perf_counter() - started}


def _groups(loader: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Yield the batches of each optimizer step; the last group may be smaller, its mean is still a mean."""
    batches = iter(loader)
    while group := list(islice(batches, size)):
        yield group


def _add_gradients(job: FoldJob, state: FoldState, group: Sequence[Batch], factor: int) -> list[float]:
    """Add the gradients of one optimizer step and return each batch's mean loss.

    Where the GPU's memory is short, chunks are smaller from now on.
    """
    loss = get_loss(job.experiment.train.loss)
    autocast = AUTOCAST[state.precision]

    def loss_of(part: Batch) -> torch.Tensor:
        return batch_loss(state.model, part, factor, len(job.track.classes), loss, autocast)

    def backward(value: torch.Tensor) -> None:
        state.scaler.scale(value / len(group)).backward()  # type: ignore[no-untyped-call]

    while True:
        sizes = [chunk_sizes(len(batch.samples), state.chunk, state.fewest) for batch in group]
        try:
            return [backward_in_chunks(batch, own, loss_of, backward) for batch, own in zip(group, sizes, strict=True)]
        except torch.cuda.OutOfMemoryError as error:
            largest = max(map(max, sizes))
            if largest // 2 < state.fewest:
                needed = "one sample" if state.fewest == 1 else f"the {largest} samples it must see at once"
                raise CompetitionError(
                    f"the GPU's memory does not hold {needed} of {job.experiment.data.size} pixels",
                    None,
                    "Train on crops (--set data.crop=512 --set predict.tile=512) or smaller (--set data.size=...)",
                ) from error
            # The gradients hold part of a batch, inseparable from the rest: the whole group is repeated.
            state.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            state.chunk = largest // 2
            say(f"GPU memory is short: batches are now split into chunks of at most {state.chunk}")


def _optimizer_step(state: FoldState, clip: float | None) -> None:
    state.scaler.unscale_(state.optimizer)
    if clip is not None:
        nn.utils.clip_grad_norm_(state.model.parameters(), clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    if state.ema is not None:
        state.ema.update(state.model, step=state.step)  # without the step its warm-up is silently off


def _score(job: FoldJob, state: FoldState) -> float:
    if not job.held_out:
        return math.nan  # a model of all samples has nothing to be scored on: its last weights are its best
    model = state.predicting()
    autocast = AUTOCAST[state.precision]
    predictor = make_predictor([model], job.experiment, job.track, job.workspace, autocast, job.boxes)
    return held_out_score(predictor, job.workspace, job.held_out)


def _finish_epoch(job: FoldJob, state: FoldState, row: dict[str, float], curves: SummaryWriter) -> None:
    state.history.append(row)
    score = row.get("score")
    # "not <=" is also true where one of the two is NaN (no AUROC of one kind, no Dice without a class): then the newest
    # is kept.
    if score is not None and not score <= state.best_score:
        state.best_score = score
        save_best(checkpoint_file(job.folder), _predicting_weights(job, state, score))
    keep_every = job.experiment.train.keep_every
    if keep_every is not None and state.epoch % keep_every == 0:
        kept = _predicting_weights(job, state, math.nan if score is None else score)
        save_best(checkpoint_file(job.folder, state.epoch), kept)
    for name in ("loss", "lr", "score"):
        if name in row:
            curves.add_scalar(name, row[name], state.epoch)
    curves.flush()
    _write_history(job, state)


def _predicting_weights(job: FoldJob, state: FoldState, score: float) -> Best:
    weights = {name: value.detach().cpu().clone() for name, value in state.predicting().state_dict().items()}
    return Best(weights, job.experiment, job.identity, state.precision, state.epoch, score)


def _write_history(job: FoldJob, state: FoldState) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["epoch", "loss", "lr", "seconds", "score"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(state.history)
    write_text(history_file(job.folder), text.getvalue())


def _make_deterministic(deterministic: bool) -> None:
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it before it is first used
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not deterministic
