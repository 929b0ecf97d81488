"""Losses, as plain functions of float32 logits and soft targets, chosen by name."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from competition.errors import CompetitionError
from competition.text import nearest_hint

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def bce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean binary cross-entropy of logits (N, C, ...) and targets in [0, 1] of the same shape."""
    return F.binary_cross_entropy_with_logits(logits, targets)


def soft_dice(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return one minus the Dice of probabilities, per sample and class, then averaged; both are (N, C, H, W).

    Per sample, because that is the metric; pooling the batch would let a large bone of one hand offset a small one of
    another. A class absent from a sample is left out, because its Dice has no useful gradient: the cross-entropy of a
    mixture covers it, and ``dice`` and ``iou`` alone learn nothing of absence. Reference: Milletari et al. 2016, V-Net,
    with the sum instead of squares in the denominator.
    """
    overlap, predicted, area = _areas(logits, targets)
    dice = (2 * overlap + 1) / (predicted + area + 1)
    return _mean_of_present(1 - dice, area)


def soft_iou(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return one minus IoU as ``soft_dice`` (Rahman and Wang 2016); the hand-bone report's first UNet 3+ used it."""
    overlap, predicted, area = _areas(logits, targets)
    iou = (overlap + 1) / (predicted + area - overlap + 1)
    return _mean_of_present(1 - iou, area)


def _areas(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return overlap, predicted area and true area in pixels, (N, C) each."""
    probs = logits.sigmoid()
    return (probs * targets).sum(dim=(-2, -1)), probs.sum(dim=(-2, -1)), targets.sum(dim=(-2, -1))


def _mean_of_present(losses: torch.Tensor, area: torch.Tensor) -> torch.Tensor:
    """Return the mean over the classes that a sample shows, then over samples; both (N, C)."""
    present = (area > 0).float()
    # Averaged within each sample first, so that a batch gives the same loss whole or in chunks.
    per_sample = (losses * present).sum(dim=1) / present.sum(dim=1).clamp_min(1)
    return per_sample.mean()


def focal(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy weighted by the squared error, so that easy background fades.

    Reference: Lin et al. 2017; in the form for soft targets of Li et al. 2020 (quality focal loss), gamma 2.
    """
    weight = (logits.sigmoid() - targets).square()
    return (weight * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")).mean()


def asymmetric(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the asymmetric loss for rare labels: easy negatives are clipped (0.05) and down-weighted (gamma 4).

    The mean over everything, where timm's version sums over classes, and in older releases over the batch too. In
    float32: its logarithm of 1e-8 is minus infinity in half. Reference: Ridnik et al. 2021, gamma+ 1.
    """
    probs = logits.sigmoid()
    against = (1 - probs + 0.05).clamp(max=1)
    positive = targets * probs.clamp_min(1e-8).log() * (1 - probs)
    negative = (1 - targets) * against.clamp_min(1e-8).log() * (1 - against) ** 4
    return -(positive + negative).mean()


def both(first: Loss, second: Loss) -> Loss:
    """Return the sum of two losses."""
    return lambda logits, targets: first(logits, targets) + second(logits, targets)


bce_dice = both(bce, soft_dice)  # the first counts every pixel alike, the second gives small bones their weight
bce_iou = both(bce, soft_iou)
focal_dice = both(focal, soft_dice)


def first_class_and(others: Loss) -> Loss:
    """Return the cross-entropy of the first class plus five times the loss of the others.

    For the aneurysm track: the score is the AUROC of the first column alone, but the 21 locations show in which views
    the finding is. Most of them are 0, so that their mean alone would hardly count beside the first.
    """

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if logits.shape[1] == 1:
            return bce(logits, targets)
        return bce(logits[:, :1], targets[:, :1]) + 5 * others(logits[:, 1:], targets[:, 1:])

    return loss


bce_first = first_class_and(bce)
bce_first_asymmetric = first_class_and(asymmetric)  # the aneurysm report's loss of locations


def four_sets(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the aneurysm report's losses of every view alone: any aneurysm (``bce``), and where (``asymmetric``).

    The report has four data sets, anterior and posterior images with either question. The means here are over both
    kinds of images; the networks share no weight, so that this only scales their gradients, which AdamW divides by.

    Args:
        logits: (N, V, C) float32 of each view, the question for anything first; minus infinity where a view is not
            asked. A view shows something where any of the locations that it is asked about is 1.
        targets: (N, C) of the patients.
    """
    asked = logits != float("-inf")
    shown = targets[:, None] * asked
    anything = shown[:, :, 1:].amax(dim=2)
    judged = asked[:, :, 0]
    found = bce(logits[:, :, 0][judged], anything[judged])
    return found + asymmetric(logits[:, :, 1:][asked[:, :, 1:]], shown[:, :, 1:][asked[:, :, 1:]])


def bce_first_and_own(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return ``bce_first`` plus a loss that the network computes itself, where it learns more than the classes.

    The two train different parts of the network, so that neither needs a weight; a step's gradient must not be clipped,
    because that would couple them.

    Args:
        outputs: (N, C + 1) float32: logits, and in the last column each sample's own loss.
        targets: (N, C) in [0, 1].
    """
    return bce_first(outputs[:, :-1], targets) + outputs[:, -1].mean()


# A file from outside adds its own: LOSSES["mine"] = loss.
LOSSES: dict[str, Loss] = {
    "bce": bce,
    "dice": soft_dice,
    "iou": soft_iou,
    "bce_dice": bce_dice,
    "bce_iou": bce_iou,
    "soft_margin": bce,  # MultiLabelSoftMarginLoss is the same mean over all entries, under the lumbar report's name
    "focal": focal,
    "focal_dice": focal_dice,
    "asymmetric": asymmetric,
    "bce_first": bce_first,
    "bce_first_asymmetric": bce_first_asymmetric,
    "bce_first_and_own": bce_first_and_own,
    "four_sets": four_sets,
}


def get_loss(name: str) -> Loss:
    """Return the loss of that name.

    Raises:
        CompetitionError: There is none.
    """
    if name not in LOSSES:
        raise CompetitionError(f"unknown loss {name!r}{nearest_hint(name, list(LOSSES))}")
    return LOSSES[name]
