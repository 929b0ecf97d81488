"""From a network's logits to the probabilities of classes: independent ones, or those of one class out of several."""

import torch
import torch.nn.functional as F

from competition.tracks.track import Track


def to_probabilities(logits: torch.Tensor, track: Track) -> torch.Tensor:
    """Return probabilities (N, C, ...) of logits (N, C, ...), in their float format.

    Where classes are independent, each logit has its own sigmoid. Where they exclude each other, a sample is of one
    class: softmax. A pixel may also belong to none, so masks are the softmax over the classes and the background, whose
    logit is 0: a softmax does not change if one number is added to all logits, so nothing is lost, and a network has as
    many outputs as there are classes.
    """
    if track.task == "segmentation":
        return with_background(logits).softmax(dim=1)[:, 1:] if track.exclusive else logits.sigmoid()
    return logits.sigmoid() if track.targets == "multilabel" else logits.softmax(dim=1)


def with_background(logits: torch.Tensor) -> torch.Tensor:
    """Return logits (N, 1 + C, H, W) with those of the background, 0, before those of the classes (N, C, H, W)."""
    return F.pad(logits, (0, 0, 0, 0, 1, 0))
