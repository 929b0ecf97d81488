"""The loss of masks with its gradient, class by class, against the plain form that autograd differentiates."""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from competition.machine import peak_memory_mb
from competition.masks.bit_planes import pack_masks
from competition.masks.soft_targets import soft_targets
from competition.text import size_text
from competition.training.losses import LOSSES
from competition.training.steps import supervised_loss
from pipelines.benchmarks.timed_pairs import Row, Scale, compare, in_own_process

SAMPLES = 2
NAMES = ("bce_dice", "focal_dice")


def measure_loss(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Time loss and gradient of two images of half the size, and weigh the memory beyond the logits."""
    planes, size = pack_masks(masks), scale.size // 2
    logits, labels = _inputs(planes, len(masks))
    rows = []
    for name in NAMES:
        work = f"loss {name} of {SAMPLES} x {size_text((len(masks), size, size))}"
        ours, rival = (partial(_gradient, name, logits, labels, fused) for fused in (True, False))
        rows.append(compare(f"{work}: time", ours, rival, min(scale.rounds, 3), target=1.5, equal=_equal))
    our_mb, rival_mb = (
        in_own_process(added_memory, NAMES[0], planes, len(masks), fused).result for fused in (True, False)
    )
    work = f"loss {NAMES[0]} of {SAMPLES} x {size_text((len(masks), size, size))}: memory beyond the logits"
    return [*rows, Row(work, "mb", our_mb, rival_mb, target=2)]


def added_memory(name: str, planes: NDArray[np.uint8], classes: int, fused: bool) -> float:
    """Return the megabytes by which loss and gradient raise the peak of this process."""
    small = np.ascontiguousarray(planes[:16, :16])
    _gradient(name, *_inputs(small, classes), fused)  # imports and threads
    logits, labels = _inputs(planes, classes)
    before = peak_memory_mb()
    _gradient(name, logits, labels, fused)
    return peak_memory_mb() - before


def _inputs(planes: NDArray[np.uint8], classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random logits of half the size of the planes, as convolutions leave them, and the planes of a batch."""
    height, width = (side // 2 for side in planes.shape[:2])
    # Drawn in the final order: a copy would raise the peak first and hide that much of what the loss takes.
    logits = torch.randn(SAMPLES, height, width, classes, generator=torch.Generator().manual_seed(0))
    batch = torch.from_numpy(planes).expand(SAMPLES, -1, -1, -1).contiguous()
    return logits.permute(0, 3, 1, 2), batch


def _gradient(name: str, logits: torch.Tensor, planes: torch.Tensor, fused: bool) -> torch.Tensor:
    """Return the gradient of a loss, in the logits' order of memory."""
    logits = logits.detach().requires_grad_()
    loss, classes = LOSSES[name], logits.shape[1]
    if fused:
        supervised_loss([logits], planes, classes, loss).backward()  # type: ignore[no-untyped-call]
    else:
        targets = soft_targets(planes, classes, (logits.shape[2], logits.shape[3]))
        loss(logits.float().contiguous(), targets).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    return logits.grad


def _equal(ours: torch.Tensor, rival: torch.Tensor) -> bool:
    return bool((ours - rival).abs().max() <= 1e-6 * rival.abs().max())
