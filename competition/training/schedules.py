"""Optimizers and learning-rate schedules."""

import math

import torch
from torch import nn

from competition.settings import TrainSettings


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return AdamW or SGD; biases and normalisation layers are not decayed."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
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
