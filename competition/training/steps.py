"""One step: the loss of a batch, its gradients in chunks that fit the memory, the optimizer and its learning rate."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import accumulate, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from competition.data.grid import standardise
from competition.data.loader import Batch
from competition.masks.soft_targets import soft_targets
from competition.settings import TrainSettings
from competition.tracks.track import Track
from competition.training.fused_loss import FORMS, fused_loss
from competition.training.losses import Loss


def batch_loss(
    model: nn.Module, batch: Batch, factor: int, classes: int, loss: Loss, autocast: torch.dtype | None
) -> torch.Tensor:
    """Return the loss of a batch, a scalar with its graph.

    Images and labels come on the augmentation grid and are averaged to the training grid on the model's device: a byte
    per pixel and a bit per class travel to it instead of floats.

    Args:
        model: In the mode it should be in. Its logits may be finer or coarser than the image, and several.
        batch: Its draws.
        factor: How many times finer than the training grid they are.
        classes: Number of classes.
        loss: Computed in float32 whatever the network computes in.
        autocast: What the network computes in; None is float32.
    """
    device = next(model.parameters()).device
    outputs = batch_outputs(model, batch, factor, autocast)
    if batch.planes is None:
        assert isinstance(outputs, torch.Tensor)
        assert batch.targets is not None
        return loss(outputs.float(), batch.targets.to(device, non_blocking=True))
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return supervised_loss(outputs, batch.planes.to(device, non_blocking=True), classes, loss)


def batch_outputs(
    model: nn.Module, batch: Batch, factor: int, autocast: torch.dtype | None
) -> torch.Tensor | list[torch.Tensor]:
    """Return a network's logits of a batch, a list where it gives several; arguments as in ``batch_loss``."""
    device = next(model.parameters()).device
    images = batch.images.to(device, non_blocking=True).float()
    if factor > 1:
        pooled = F.avg_pool2d(images.flatten(0, 1), factor)
        images = pooled.view(*images.shape[:2], *pooled.shape[1:])
    images = standardise(images, batch.mean, batch.std)
    with nullcontext() if autocast is None else torch.autocast(device.type, autocast):
        if batch.planes is None:
            outputs = model(images, batch.present.to(device, non_blocking=True))
        else:
            outputs = model(images[:, 0].contiguous(memory_format=torch.channels_last))
    return outputs  # type: ignore[no-any-return]


def supervised_loss(outputs: Sequence[torch.Tensor], planes: torch.Tensor, classes: int, loss: Loss) -> torch.Tensor:
    """Return the mean over a network's outputs of their losses, each against soft targets of its own size.

    Args:
        outputs: Logits (N, C, h, w), each of any size: several where every level of a decoder is supervised.
        planes: (N, H, W, P) uint8 label planes.
        classes: C.
        loss: Of one output.

    Reference:
        Deep supervision as in Huang et al. 2020, UNet 3+: every level has the same weight.
    """
    if form := FORMS.get(loss):
        return torch.stack([fused_loss(logits, planes, form) for logits in outputs]).mean()
    targets: dict[tuple[int, int], torch.Tensor] = {}
    losses = []
    for logits in outputs:
        size_hw = (logits.shape[-2], logits.shape[-1])
        if size_hw not in targets:
            targets[size_hw] = soft_targets(planes, classes, size_hw)
        # In the targets' order of memory: mixed with the convolutions' channels-last, the loss takes twice the time.
        losses.append(loss(logits.float().contiguous(), targets[size_hw]))
    return torch.stack(losses).mean()


def fewest_samples(model: nn.Module, track: Track, side: int) -> int:
    """Return how many samples a network must see at once to learn: 2 where it normalises single pixels, else 1.

    One sample of ``side`` x ``side`` pixels is tried, with shapes alone (the "meta" device has no numbers), which costs
    no memory and leaves the network as it was. The model must be in training mode.
    """
    if not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in model.modules()):
        return 1
    state = {name: value.to("meta") for name, value in [*model.named_parameters(), *model.named_buffers()]}
    views = torch.empty((1, len(track.views), track.channels, side, side), device="meta")
    present = torch.empty((1, len(track.views)), dtype=torch.bool, device="meta")
    shown = (views, present) if track.task == "classification" else (views[:, 0],)
    try:
        torch.func.functional_call(model, state, shown)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        return 2
    except RuntimeError:
        return 1  # it reads numbers, which shapes do not have: a real step will report the error
    return 1


def chunk_sizes(size: int, chunk: int, fewest: int) -> list[int]:
    """Return sizes of parts of a batch, as even as can be, at most ``chunk`` but none smaller than ``fewest``."""
    if not size:
        return []
    parts = max(1, min(-(-size // chunk), size // fewest))
    edges = [part * size // parts for part in range(parts + 1)]
    return [stop - start for start, stop in pairwise(edges)]


def backward_in_chunks(
    batch: Batch,
    sizes: Sequence[int],
    loss_of: Callable[[Batch], torch.Tensor],
    backward: Callable[[torch.Tensor], None],
) -> float:
    """Add the gradients of a batch's mean loss, a chunk at a time, and return that loss.

    Of a share of a batch it is what the share adds to the mean over the whole batch. ``sizes`` are the samples of each
    chunk, ``loss_of`` the loss of a part, and ``backward`` adds the gradients of a loss.
    """
    total = 0.0
    for start, stop in pairwise(accumulate(sizes, initial=0)):
        part = slice_batch(batch, start, stop)
        share = len(part.samples) / batch.whole
        loss = loss_of(part)
        backward(loss * share)
        total += float(loss.detach()) * share
    return total


def slice_batch(batch: Batch, start: int, stop: int) -> Batch:
    """Return the samples ``start`` to ``stop`` of a batch, as a batch of its own."""
    part = slice(start, stop)
    parts: dict[str, Any] = {
        name: value[part] if isinstance(value, list | torch.Tensor) else value for name, value in vars(batch).items()
    }
    return Batch(**parts | {"whole": len(parts["samples"])})


NOT_DECAYED = ("relative_position_bias_table", "pos_embed", "cls_token")
"""Tables of places and tokens, by name: timm's networks list them, but not once they are wrapped as encoders."""


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return AdamW or SGD; biases, normalisation layers and ``NOT_DECAYED`` are not decayed."""
    plain: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            exempt = parameter.ndim <= 1 or name.rpartition(".")[2] in NOT_DECAYED
            (plain if exempt else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    # Fused: on small networks the plain loop over tensors takes a tenth of a step.
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


def learning_rate(settings: TrainSettings, step: int, steps_per_epoch: int) -> float:
    """Return the rate of an optimizer step; a function of the step alone, so a resumed run needs no schedule state.

    Linear warm-up over ``warmup_epochs``, then half a cosine down to zero, or a drop by ``step_factor`` every
    ``step_epochs``.
    """
    warmup = settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        return settings.lr * (step + 1) / (warmup + 1)
    if settings.schedule == "step":
        return float(settings.lr * settings.step_factor ** (step // (settings.step_epochs * steps_per_epoch)))
    total = settings.epochs * steps_per_epoch
    done = (step - warmup) / max(1.0, total - warmup)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate
