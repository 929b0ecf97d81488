"""The training loop of one fold: epochs, accumulation, moving average, scores, and a checkpoint after each epoch."""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from competition.background import read_ahead
from competition.console import Ticker, progress, say, shout
from competition.data.cache import read_label_planes
from competition.data.datasets import TrainingSet
from competition.data.draw_sampler import fold_sampler
from competition.data.grid import GridSample
from competition.data.loader import Batch, Share, loading_processes, training_loader
from competition.data.manifest import Entry, target_matrix
from competition.errors import CompetitionError
from competition.files import write_csv
from competition.machine import MB, peak_memory_mb
from competition.metrics.tables import TableMetric
from competition.models.gpu import computing_device, is_out_of_memory
from competition.models.layers import stride_of
from competition.prediction.predictor import Predictor, make_predictor, predict_counts, predict_scores
from competition.text import counted
from competition.tracks.track import count_metric
from competition.training.checkpoints import TrainedWeights, kept_epochs, save_trained
from competition.training.precision import AUTOCAST
from competition.training.ranks import ALONE, Ranks
from competition.training.state import FoldJob, FoldState, open_start, save_last, start_or_resume
from competition.training.steps import backward_in_chunks, batch_loss, chunk_sizes, learning_rate, set_learning_rate
from competition.training.tracking import Tracked, track
from competition.workspace import Workspace, checkpoint_file, history_file

# An interrupted run loses at most this much work, and writing checkpoints takes a few per cent of the time at most.
CHECKPOINT_SECONDS = 30.0


class DivergedError(CompetitionError):
    """The loss is not a number any more."""


def train_fold(job: FoldJob, on_score: Callable[[int, float], None] | None = None) -> FoldState:
    """Train one fold, or continue where it was interrupted; weights.pt and history.csv are in the job's folder.

    After an epoch, at most every half minute, last.pt is replaced as a whole; a run killed at any moment and started
    again gives the same weights, bit for bit on a CPU, as one that was not killed. ``on_score`` is called with the
    number of epochs done and the score at native size: first for the scores of a resumed run, then after each score.
    What it raises ends the training. The ranks of the job call this all at once.

    Raises:
        CompetitionError: The loss is not a number (``DivergedError``), memory is too small for one sample, or last.pt
            is of another run.
    """
    settings, ranks = job.experiment.train, job.ranks
    device = computing_device()
    # Folds that train at once share the cores, and there is one loading process per core. Those inherit this setting:
    # changing it inside a forked process deadlocks.
    processes = loading_processes(job.experiment)
    cv2.setNumThreads(1 if processes else torch.get_num_threads())
    start = open_start(job)
    stride = stride_of(start[0])
    dataset = TrainingSet(
        job.training, job.workspace, job.track, job.experiment, job.pseudo, job.boxes, stride, processes
    )
    # Pseudo-labels are of one fold's teacher, so they are not among the shared samples.
    everyone = [entry for entry in (*job.training, *job.held_out) if entry.split == "train"]
    dataset.share(sorted(everyone, key=lambda entry: entry.sample), job.workspace.grids_folder())
    # Of crops, whole images are still scored, unless in tiles.
    fixed_shapes = dataset.one_size() and (job.experiment.data.crop is None or job.experiment.predict.tile is not None)
    make_deterministic(settings.deterministic, device, fixed_shapes)
    sampler = fold_sampler(dataset.canvases, settings, job.identity.fold)
    state = start_or_resume(job, start, dataset, sampler, device)
    if on_score is not None:
        for row in state.history:
            if "score" in row:
                on_score(int(row["epoch"]), row["score"])
    loader = training_loader(dataset, sampler, job.experiment, _share(job, state))
    saved = time.monotonic()
    title, batches = f"fold {job.identity.fold}", (settings.epochs - state.epoch) * len(sampler)
    with (
        _curves(job, state) as curves,
        track(job.tracker if ranks.first else None, _tracked(job, state)) as log,
        progress(title, batches) as ticker,
    ):
        for row in state.history:  # of a resumed run
            log(row)
        while state.epoch < settings.epochs:
            sampler.set_epoch(state.epoch)
            row = _train_epoch(job, state, loader, len(sampler), dataset.factor, ticker)
            state.epoch += 1
            # Running statistics differ between ranks, and what is kept must be what all go on with.
            ranks.copy_first(state.model, *([] if state.ema is None else [state.ema.module]))
            if state.epoch % settings.validate_every == 0 or state.epoch == settings.epochs:
                row["score"] = _score(job, state)
            row["memory_mb"] = _most_memory_mb(device)
            _finish_epoch(job, state, row, curves)
            log(row)
            if ranks.of_first(time.monotonic() - saved > CHECKPOINT_SECONDS or state.epoch == settings.epochs):
                save_last(job, state)
                saved = time.monotonic()
            if on_score is not None and "score" in row:
                on_score(state.epoch, row["score"])
    if ranks.first and not checkpoint_file(job.folder).exists():
        save_trained(checkpoint_file(job.folder), _predicting_weights(job, state, state.score))
    ranks.wait()
    return state


def _curves(job: FoldJob, state: FoldState) -> AbstractContextManager[SummaryWriter | None]:
    """Open the TensorBoard of a fold, for the first rank alone."""
    if not job.ranks.first:
        return nullcontext()
    return SummaryWriter(str(job.folder / "tensorboard"), purge_step=state.epoch + 1)


def _share(job: FoldJob, state: FoldState) -> Share:
    """Return this rank's share of each batch; warn where whole batches are too small for all ranks."""
    size, count = job.experiment.train.batch_size, job.ranks.count
    if (busy := size // state.fewest) < count:
        shout(f"a batch of {counted(size, 'sample')} gives only {busy} of {count} processes something to learn from")
    return Share(job.ranks.number, count, state.fewest)


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
        for batch, loss in zip(group, _summed_gradients(job, state, group, factor), strict=True):
            done += 1
            if not math.isfinite(loss):
                samples = ", ".join(job.ranks.join(batch.samples))
                what = f"the loss became {loss} in epoch {state.epoch + 1}, batch {done} ({samples})"
                repair = "Try a smaller --set train.lr=... or train.precision=fp32 under another name (--name NEW)"
                job.ranks.fail(DivergedError(what, job.folder, repair))
            total += loss
            score = "" if math.isnan(state.score) else f", score {state.score:.4f}"
            ticker.advance(f"epoch {state.epoch + 1}/{settings.epochs}, loss {total / done:.4f}{score}")
        _optimizer_step(state, settings.clip)
    rate = state.optimizer.param_groups[0]["lr"]
    return {"epoch": state.epoch + 1, "loss": total / batches, "lr": rate, "seconds": time.perf_counter() - started}


def _groups(loader: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Yield the batches of each optimizer step; the last group may be smaller, its mean is still a mean."""
    batches = iter(loader)
    while group := list(islice(batches, size)):
        yield group


def _summed_gradients(job: FoldJob, state: FoldState, group: Sequence[Batch], factor: int) -> list[float]:
    """Add the gradients of an optimizer step, those of all ranks; return the losses of its whole batches.

    Ranks meet after the whole group, so that one whose memory is short can repeat its share as often as it must.
    """
    ranks, failure = job.ranks, None
    try:
        losses = _add_gradients(job, state, group, factor)
    except CompetitionError as error:
        if ranks.count == 1:
            raise
        losses, failure = [math.nan] * len(group), error  # the others see that there is something to ask for
    losses = ranks.sum_gradients(state.model, losses)
    if not all(map(math.isfinite, losses)) and any(ranks.join([failure is not None])):
        ranks.fail(failure)
    return losses


def _add_gradients(job: FoldJob, state: FoldState, group: Sequence[Batch], factor: int) -> list[float]:
    """Add the gradients of this rank's shares, in smaller chunks once GPU memory was short; return their losses."""
    autocast = AUTOCAST[state.precision]

    def loss_of(part: Batch) -> torch.Tensor:
        return batch_loss(state.model, part, factor, len(job.track.classes), job.loss, autocast)

    def backward(value: torch.Tensor) -> None:
        state.scaler.scale(value / len(group)).backward()  # type: ignore[no-untyped-call]

    while True:
        sizes = [chunk_sizes(len(batch.samples), state.chunk, state.fewest) for batch in group]
        try:
            return [backward_in_chunks(batch, own, loss_of, backward) for batch, own in zip(group, sizes, strict=True)]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            shortage = error.with_traceback(None)  # it holds on to the tensors of the step that did not fit
        largest = max(size for own in sizes for size in own)
        if largest // 2 < state.fewest:
            needed = "one sample" if state.fewest == 1 else f"the {largest} samples it must see at once"
            what = f"the GPU's memory does not hold {needed} of {job.experiment.data.size} pixels"
            repair = "Train on crops (--set data.crop=512 --set predict.tile=512) or smaller (--set data.size=...)"
            raise CompetitionError(what, None, repair) from shortage
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
    scale = state.scaler.get_scale()
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    if state.scaler.get_scale() < scale:
        return  # a gradient was too large for fp16, so the scaler left the step out
    state.step += 1
    if state.ema is not None:
        state.ema.update(state.model, step=state.step)  # without the step its warm-up is silently off


def _score(job: FoldJob, state: FoldState) -> float:
    if not job.held_out:
        return math.nan  # a model of all samples has nothing to be scored on
    model = state.predicting()
    autocast = AUTOCAST[state.precision]
    predictor = make_predictor([model], job.experiment, job.track, job.workspace, autocast, job.boxes)
    return held_out_score(predictor, job.workspace, job.held_out, job.ranks)


def _most_memory_mb(device: torch.device) -> float:
    """Return the most memory in MB so far: that of tensors on the GPU, or that of this process where there is none."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / MB, 1)
    return peak_memory_mb()


def _finish_epoch(job: FoldJob, state: FoldState, row: dict[str, float], curves: SummaryWriter | None) -> None:
    state.history.append(row)
    if curves is None:
        return  # the first rank writes
    score, settings = row.get("score", math.nan), job.experiment.train
    if state.epoch in kept_epochs(settings):
        save_trained(checkpoint_file(job.folder, state.epoch), _predicting_weights(job, state, score))
    for name in ("loss", "lr", "score"):
        if name in row:
            curves.add_scalar(name, row[name], state.epoch)
    curves.flush()
    columns = ("epoch", "loss", "lr", "seconds", "score", "memory_mb")
    write_csv(history_file(job.folder), [{name: each.get(name, "") for name in columns} for each in state.history])


def _tracked(job: FoldJob, state: FoldState) -> Tracked:
    facts = {
        "settings": job.experiment.model_dump(mode="json"),
        "identity": vars(job.identity) | {"classes": list(job.identity.classes)},
        "precision": state.precision,
        "resumed_after_epoch": state.epoch,
    }
    name = f"{job.folder.parent.name}/{job.folder.name}"
    return Tracked(job.identity.dataset, name, facts, job.workspace.tracking_folder())


def _predicting_weights(job: FoldJob, state: FoldState, score: float) -> TrainedWeights:
    weights = {name: value.detach().cpu().clone() for name, value in state.predicting().state_dict().items()}
    return TrainedWeights(weights, job.experiment, job.identity, state.precision, state.epoch, score)


def make_deterministic(wanted: bool | Literal["auto"], device: torch.device, fixed_shapes: bool) -> None:
    """Let torch give the same numbers each time, or choose the fastest way.

    Args:
        wanted: Whether they are the same; auto on a CPU.
        device: That computes.
        fixed_shapes: Whether all that the network sees has one size, so that cuDNN needs to try its ways only once.
    """
    deterministic = device.type == "cpu" if wanted == "auto" else wanted
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it before it is first used
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    # Otherwise torch writes NaN into every new tensor, to show who reads it before writing: nobody here does.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not deterministic and fixed_shapes


# One plain view, because a score every few epochs must not take longer than the training between.
PLAIN = ("identity",)


def held_out_score(
    predictor: Predictor, workspace: Workspace, held_out: Sequence[Entry], ranks: Ranks = ALONE
) -> float:
    """Return a network's score on held-out samples.

    Segmentation: the count metric at threshold 0.5 and native size over those classes that the samples have.
    Classification: the table metric without tuning. NaN where it is undefined.
    Each of the ``ranks`` predicts its share of the samples, and all get the same score.
    """
    track, read, own = predictor.track, predictor.reader.read, ranks.share(held_out)
    if isinstance(track.metric, TableMetric):
        found = [predict_scores(predictor, entry, PLAIN, sample) for entry, sample in read_ahead(read, own)]
        return track.metric.score_table(target_matrix(held_out), np.stack(ranks.join(found)))

    def read_both(entry: Entry) -> tuple[GridSample, NDArray[np.uint8]]:
        return read(entry), read_label_planes(workspace, track, entry.sample)

    both = read_ahead(read_both, own)
    counts = [predict_counts(predictor, entry, PLAIN, truth, sample) for entry, (sample, truth) in both]
    return count_metric(track).score(np.stack(ranks.join(counts)), [entry.group for entry in held_out])
