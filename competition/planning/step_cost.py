"""Memory and work of a training step, counted while the real step runs on shapes alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from competition.data.loader import Batch
from competition.masks.bit_planes import plane_count
from competition.planning.meter import Meter, Rates
from competition.planning.shapes import META, Autocast, network_of_shapes
from competition.settings import Experiment, TrainSettings
from competition.tracks.track import Track
from competition.training.fused_loss import CACHED_LOGITS, FORMS
from competition.training.losses import get_loss
from competition.training.precision import AUTOCAST
from competition.training.steps import batch_outputs

FUSED_BYTES_PER_LOGIT = 40
"""That the fused loss moves (``fused_loss.py``), which is not traced class by class."""


@dataclass(frozen=True)
class Draws:
    """What a step is given.

    Attributes:
        samples: In a batch, N.
        size_hw: Rows and columns on the training grid.
        factor: How many times finer the augmentation grid is.
    """

    samples: int
    size_hw: tuple[int, int]
    factor: int


@dataclass(frozen=True)
class StepCost:
    """What a step needs.

    Attributes:
        weights: Parameters, a number.
        held_bytes: Held from step to step: weights, buffers, their average, the optimizer's moments and, where batches
            are accumulated, gradients.
        peak_bytes: The most at any moment, with ``held_bytes``.
        flops: Of all matrix products and convolutions, forward and backward.
        moved_bytes: Read and written by all operations.
        seconds: At ``Rates``, operation by operation whichever of the two takes longer.
    """

    weights: int
    held_bytes: int
    peak_bytes: int
    flops: int
    moved_bytes: int
    seconds: float


def step_cost(
    experiment: Experiment, track: Track, draws: Draws, precision: str, on_cuda: bool, rates: Rates
) -> StepCost:
    """Trace a forward and a backward pass of one batch.

    Args:
        experiment: Its network, loss and optimizer.
        track: Narrowed to the classes of the network.
        draws: The batch.
        precision: "fp32", "bf16" or "fp16".
        on_cuda: Whether autocast has CUDA's rules or those of a processor.
        rates: For the seconds.
    """
    settings = experiment.train
    network = network_of_shapes(experiment, track)
    meter, lower = Meter(rates, copies_weights=not on_cuda), AUTOCAST[precision]
    asked = on_cuda and settings.deterministic is True
    with _deterministic(asked), meter, nullcontext() if lower is None else Autocast(lower, on_cuda):
        if settings.accumulate > 1:  # gradients are held from batch to batch: the new ones are added and freed
            for weight in network.parameters():
                weight.register_post_accumulate_grad_hook(_forget_gradient)  # type: ignore[no-untyped-call]
        batch = _batch_of_shapes(track, draws)
        outputs = batch_outputs(network, batch, draws.factor, None)
        # Not the tensor's own method, in which modes are off: blocks may be computed again, in their first formats.
        torch.autograd.backward(_loss(outputs, batch, settings, meter))
    held = held_bytes(network, settings)
    return StepCost(
        weights=sum(weight.numel() for weight in network.parameters()),
        held_bytes=held,
        peak_bytes=held + meter.peak,
        flops=meter.flops,
        moved_bytes=meter.moved,
        seconds=meter.seconds,
    )


@contextmanager
def _deterministic(asked: bool) -> Iterator[None]:
    """Take the operations that a card would: bilinear upsampling in many steps where all must be deterministic."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(asked, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def held_bytes(network: nn.Module, settings: TrainSettings) -> int:
    """Return the memory of a network and its optimizer between two batches."""
    weights = sum(weight.nbytes for weight in network.parameters())
    learned = sum(weight.nbytes for weight in network.parameters() if weight.requires_grad)
    buffers = sum(buffer.nbytes for buffer in network.buffers())
    moments = 2 if settings.optimizer == "adamw" else int(settings.momentum > 0)
    gradients = int(settings.accumulate > 1)
    return (1 + settings.ema) * (weights + buffers) + (moments + gradients) * learned


def _forget_gradient(weight: torch.Tensor) -> None:
    weight.grad = None


def _batch_of_shapes(track: Track, draws: Draws) -> Batch:
    samples, views = draws.samples, len(track.views)
    rows, columns = (side * draws.factor for side in draws.size_hw)
    masks = track.task == "segmentation"
    with META:
        return Batch(
            samples=[""] * samples,
            images=torch.empty((samples, views, track.channels, rows, columns), dtype=torch.uint8),
            planes=torch.empty((samples, rows, columns, plane_count(len(track.classes))), dtype=torch.uint8)
            if masks
            else None,
            targets=None if masks else torch.empty((samples, len(track.classes))),
            present=torch.empty((samples, views), dtype=torch.bool),
            mean=torch.empty((samples, views)),
            std=torch.empty((samples, views)),
            whole=samples,
        )


def _loss(
    outputs: torch.Tensor | list[torch.Tensor], batch: Batch, settings: TrainSettings, meter: "Meter"
) -> torch.Tensor:
    loss = get_loss(settings.loss)
    if batch.planes is None:
        assert isinstance(outputs, torch.Tensor)
        assert batch.targets is not None
        return _loss_of_tables(loss, outputs.float(), batch.targets)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    if loss not in FORMS:
        targets = [torch.empty(logits.shape, device=META) for logits in outputs]
        losses = [loss(*pair) for pair in zip((each.float().contiguous() for each in outputs), targets, strict=True)]
        return torch.stack(losses).mean()
    for logits in outputs:
        meter.move(FUSED_BYTES_PER_LOGIT * logits.numel())
    return torch.stack([_FusedBuffers.apply(logits) for logits in outputs]).mean()  # type: ignore[no-untyped-call]


def _loss_of_tables(loss: Callable[..., torch.Tensor], outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss of a few numbers per patient; choosing entries by their values is impossible with shapes."""
    try:
        return loss(outputs, targets)
    except NotImplementedError:
        return outputs.sum()


class _FusedBuffers(torch.autograd.Function):
    """The memory of ``fused_loss``: a gradient in the format of the logits, and what it computes at once."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor) -> torch.Tensor:
        stored = torch.float32 if logits.dtype == torch.float16 else logits.dtype
        ctx.gradients, ctx.format = torch.empty(logits.shape, dtype=stored, device=META), logits.dtype
        torch.empty(6 * min(CACHED_LOGITS, logits.numel()), device=META)
        return torch.empty((), device=META)

    @staticmethod
    def backward(ctx: Any, scale: torch.Tensor) -> torch.Tensor:
        gradients: torch.Tensor = ctx.gradients.mul_(scale).to(ctx.format)
        return gradients
