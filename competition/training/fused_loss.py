"""Losses of masks from logits and packed label planes, class by class, with their gradients in closed form.

The plain form holds float32 copies of the logits, targets and probabilities of all classes, and autograd keeps and
reads most of them again. Here half a million logits are taken at a time, and their gradient is written at once, in
the format of the logits. Let z be a logit, t its target, p = sigmoid(z), q = p (1 - p) = dp/dz, and n the number of all
logits:

- cross-entropy: loss softplus(z) - z t, gradient p - t, both / n;
- focal: loss (p - t)^2 L with L = softplus(z) - z t, gradient (p - t)^3 + 2 (p - t) q L, both / n;
- Dice, with overlap o = sum p t, predicted s = sum p and area a = sum t: loss w (1 - (2 o + 1) / (s + a + 1)), gradient
  q (A t + B) with A = -2 w / (s + a + 1) and B = w (2 o + 1) / (s + a + 1)^2;
- IoU, with u = s + a - o + 1: loss w (1 - (o + 1) / u), A = -w (u + o + 1) / u^2 and B = w (o + 1) / u^2.

w is 1 / (samples x classes in the sample), 0 for a class that the sample does not show.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from competition.masks.memory_order import class_by_class
from competition.masks.soft_targets import class_targets, plane_channels, present_classes
from competition.training import losses
from competition.training.losses import Loss

CACHED_LOGITS = 1 << 19
"""Logits that are computed at once: 2 MB in float32, of which some six copies are held. Small images are taken
together, because starting an operation takes longer than 64x64 pixels do."""


@dataclass(frozen=True)
class Form:
    """The terms of a loss, which are added."""

    pixels: Literal["cross-entropy", "focal"] | None = None
    regions: Literal["dice", "iou"] | None = None


FORMS: dict[Loss, Form] = {
    losses.bce: Form("cross-entropy"),
    losses.focal: Form("focal"),
    losses.soft_dice: Form(regions="dice"),
    losses.soft_iou: Form(regions="iou"),
    losses.bce_dice: Form("cross-entropy", "dice"),
    losses.bce_iou: Form("cross-entropy", "iou"),
    losses.focal_dice: Form("focal", "dice"),
}
"""The losses that can be computed so, and their terms."""


def fused_loss(logits: torch.Tensor, planes: torch.Tensor, form: Form) -> torch.Tensor:
    """Return the loss of ``form``, a float32 scalar with its gradient.

    Args:
        logits: (N, C, h, w) of any float format; float64 is computed in float64, all others in float32.
        planes: Label planes (N, H, W, ceil(C / 8)) uint8 of any size.
        form: Its terms.
    """
    loss: torch.Tensor = _FusedLoss.apply(logits, planes, form)  # type: ignore[no-untyped-call]
    return loss


class _FusedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, planes: torch.Tensor, form: Form) -> torch.Tensor:
        samples, classes, height, width = logits.shape
        values = class_by_class(logits.detach())
        exact = torch.float64 if logits.dtype == torch.float64 else torch.float32
        # fp16 would lose small gradients before the loss scaling multiplies them.
        stored = exact if logits.dtype == torch.float16 else logits.dtype
        copied = values.data_ptr() != logits.data_ptr() and stored == values.dtype
        gradients = values if copied else torch.empty_like(values, dtype=stored)
        channels = plane_channels(planes, classes)
        present = present_classes(channels, classes)
        weights = present.to(exact) / (present.sum(dim=1, keepdim=True).clamp_min(1) * samples)
        total = torch.zeros((), dtype=exact, device=logits.device)
        for rows, columns in _blocks(samples, classes, height * width):
            own = channels[:, rows]
            targets = [class_targets(own, index, (height, width)) for index in range(classes)[columns]]
            seen = values[rows, columns].to(exact)
            loss, gradient = _block_loss(
                seen, torch.stack(targets, 1).to(exact), form, weights[rows, columns], values.numel()
            )
            total += loss
            gradients[rows, columns] = gradient
        ctx.gradients, ctx.format = gradients, logits.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        gradients: torch.Tensor | None = ctx.gradients
        if gradients is None:
            raise RuntimeError("the gradient of this loss was used already: it is overwritten to save memory")
        ctx.gradients = None
        return gradients.mul_(scale).to(ctx.format), None, None


def _blocks(samples: int, classes: int, pixels: int) -> Iterator[tuple[slice, slice]]:
    """Yield the samples and classes that are computed at once: as many as stay in a processor's cache."""
    at_once = max(1, CACHED_LOGITS // pixels)
    rows = min(samples, at_once)
    columns = max(1, at_once // rows) if rows == samples else 1
    for row in range(0, samples, rows):
        for column in range(0, classes, columns):
            yield slice(row, row + rows), slice(column, column + columns)


def _block_loss(
    logits: torch.Tensor, targets: torch.Tensor, form: Form, weights: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum of the losses of some classes of some samples, and its gradient (n, c, h, w).

    Args:
        logits: (n, c, h, w).
        targets: (n, c, h, w), 0 to 1.
        form: Its terms.
        weights: w of the module's formulas, (n, c).
        count: n of the module's formulas.
    """
    probs, loss, gradient = logits.sigmoid(), torch.zeros_like(weights[0, 0]), None
    if form.regions is not None:
        overlap, predicted, area = _dot(probs, targets), probs.sum(dim=(2, 3)), targets.sum(dim=(2, 3))
        if form.regions == "dice":
            whole, shared = predicted + area + 1, 2 * overlap + 1
            of_targets = -2 * weights / whole
        else:
            whole, shared = predicted + area - overlap + 1, overlap + 1
            of_targets = -weights * (whole + shared) / whole**2
        loss = loss + (weights * (1 - shared / whole)).sum()
        # One after the other: torch has no fast way to multiply and add with numbers that are tensors.
        by_probs = targets.mul(_of_plane(of_targets)).add_(_of_plane(weights * shared / whole**2))
        gradient = torch.ops.aten.sigmoid_backward(by_probs, probs)
    if form.pixels == "cross-entropy":
        loss = loss + (F.softplus(logits).sum() - _dot(logits, targets).sum()) / count
        own = probs.sub_(targets)
    elif form.pixels == "focal":
        entropies = F.softplus(logits).addcmul_(logits, targets, value=-1)
        slopes = torch.ops.aten.sigmoid_backward(entropies, probs)
        errors = probs.sub_(targets)
        squares = errors.square()
        loss = loss + _dot(squares, entropies).sum() / count
        # In factors: (p - t) ((p - t)^2 + 2 q L).
        own = squares.add_(slopes, alpha=2).mul_(errors)
    if form.pixels is not None:
        gradient = own.div_(count) if gradient is None else gradient.add_(own, alpha=1 / count)
    assert gradient is not None  # a form has one of the two
    return loss, gradient


def _dot(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the sums of products over rows and columns, (n, c); einsum is slower and less precise."""
    return (one * other).sum(dim=(2, 3))


def _of_plane(numbers: torch.Tensor) -> torch.Tensor:
    return numbers[:, :, None, None]
