"""Losses, as plain functions of float32 logits and soft targets, chosen by name."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F

from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.models.probabilities import with_background
from competition.settings import TrainSettings
from competition.text import nearest_hint
from competition.tracks.track import Track

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
    return _dice_loss(logits.sigmoid(), targets)


def _dice_loss(probs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    overlap, predicted, area = _areas(probs, targets)
    dice = (2 * overlap + 1) / (predicted + area + 1)
    return _mean_of_present(1 - dice, area)


def soft_iou(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return one minus IoU as ``soft_dice`` (Rahman and Wang 2016); the hand-bone report's first UNet 3+ used it."""
    overlap, predicted, area = _areas(logits.sigmoid(), targets)
    iou = (overlap + 1) / (predicted + area - overlap + 1)
    return _mean_of_present(1 - iou, area)


def _areas(probs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return overlap, predicted area and true area in pixels, (N, C) each."""
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


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Return the mean cross-entropy of logits (N, C) of classes that exclude each other; targets sum to 1 per sample.

    With ``weights`` (C,) each sample counts as much as its class; they are not normalised over the batch, so that a
    batch gives the same loss whole or in chunks.
    """
    entropies = -targets * logits.log_softmax(dim=1)
    return (entropies if weights is None else entropies * weights.to(logits.device)).sum(dim=1).mean()


def ordinal(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of the questions "is the grade k or higher?", k = 1 to C - 1.

    A probability that is two grades off fails two questions, where ``cross_entropy`` counts all wrong grades alike. The
    answers are sums of the softmax over the grades, so P(grade >= k) falls with k whatever the logits are, and the
    stored probabilities of the grades sum to 1; a sigmoid for each question would need a repair for both. Cumulative
    links are those of McCullagh 1980.

    Args:
        logits: (N, C) of the grades, in their order.
        targets: (N, C), in each row summing to 1.
    """
    probs = logits.log_softmax(dim=1)
    at_least = probs.flip(1).logcumsumexp(dim=1).flip(1)[:, 1:]
    below = probs.logcumsumexp(dim=1)[:, :-1]
    shares = targets.flip(1).cumsum(dim=1).flip(1)[:, 1:]
    return -(shares * at_least + (1 - shares) * below).mean()


def cross_entropy_dice(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return cross-entropy over classes and background plus ``soft_dice``, for masks that exclude each other.

    Args:
        logits: (N, C, H, W) of the classes; that of the background is 0.
        targets: (N, C, H, W) the share of each pixel that a class covers; the rest is background.
    """
    shares = torch.cat([(1 - targets.sum(dim=1, keepdim=True)).clamp_min(0), targets], dim=1)
    logarithms = with_background(logits).log_softmax(dim=1)
    entropy = -(shares * logarithms).sum(dim=1).mean()
    return entropy + _dice_loss(logarithms[:, 1:].exp(), targets)


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
    "cross_entropy": cross_entropy,
    "ordinal": ordinal,
    "cross_entropy_dice": cross_entropy_dice,
}

Kind = Literal["masks", "masks that exclude each other", "multilabel", "multiclass", "ordinal"]
"""What is learned."""

FITTING: dict[Kind, tuple[str, ...]] = {
    "masks": ("bce_dice", "bce_iou", "focal_dice", "bce", "dice", "iou", "focal", "soft_margin", "asymmetric"),
    "masks that exclude each other": ("cross_entropy_dice",),
    "multilabel": (
        *("bce", "asymmetric", "focal", "soft_margin", "bce_first", "bce_first_asymmetric"),
        *("bce_first_and_own", "four_sets"),
    ),
    "multiclass": ("cross_entropy",),
    "ordinal": ("ordinal", "cross_entropy"),
}
"""The losses that fit, the usual one first; one from outside, which is in none of them, is taken to fit."""


def get_loss(name: str) -> Loss:
    """Return the loss of that name.

    Raises:
        CompetitionError: There is none.
    """
    if name not in LOSSES:
        raise CompetitionError(f"unknown loss {name!r}{nearest_hint(name, list(LOSSES))}")
    return LOSSES[name]


def kind_of(track: Track) -> Kind:
    """Return what a track has to be learned as."""
    if track.task == "classification":
        return track.targets
    return "masks that exclude each other" if track.exclusive else "masks"


def usual_loss(track: Track) -> str:
    """Return the name of the loss for experiments that name none."""
    return FITTING[kind_of(track)][0]


def check_loss(settings: TrainSettings, track: Track) -> None:
    """Reject a loss that is unknown or does not fit a track, and class weights of a loss that has none.

    Raises:
        CompetitionError: With the losses that fit.
    """
    get_loss(settings.loss)
    kind, known = kind_of(track), {name for names in FITTING.values() for name in names}
    if settings.loss in known and settings.loss not in FITTING[kind]:
        what = f"train.loss {settings.loss} does not fit track {track.name}, which is {kind}"
        raise CompetitionError(what, None, f"Use --set train.loss={' or '.join(FITTING[kind])}")
    weights = settings.class_weights
    if weights is None:
        return
    if settings.loss != "cross_entropy":
        what = f"train.class_weights weighs classes in cross_entropy, not in {settings.loss}"
        raise CompetitionError(what, None, "Use --set train.loss=cross_entropy, or leave the weights out")
    if weights != "balanced" and set(weights) != set(track.classes):
        names = ", ".join(track.classes)
        raise CompetitionError(f"train.class_weights needs a weight for each class of {track.name}: {names}")


def weighted_loss(settings: TrainSettings, track: Track, training: Sequence[Entry]) -> Loss:
    """Return the loss of an experiment, with the weights of its classes where it has them.

    Balanced weights are those with which all classes count alike and the mean over the training samples is 1: n / (k *
    n_c) for n_c of n samples and k classes that occur.
    """
    loss = get_loss(settings.loss)
    if settings.class_weights is None:
        return loss
    if settings.class_weights == "balanced":
        # Not by ``target_matrix``: those of a teacher are probabilities.
        counts = torch.tensor([entry.targets for entry in training]).float().sum(dim=0)
        weights = counts.sum() / ((counts > 0).sum() * counts.clamp_min(1))
    else:
        weights = torch.tensor([settings.class_weights[name] for name in track.classes])
    return partial(cross_entropy, weights=weights)
