"""Classifying an autoencoder's reconstructions, which the aneurysm report tried.

The idea: what an autoencoder can't reproduce is noise. But an aneurysm of a few pixels is as rare as noise, and is lost
with it. The autoencoder learns from the images alone and the classifier from its reconstructions. Both learn at once
without sharing gradients: the classifier's first epochs are spent on the reconstructions of an unfinished autoencoder,
which training one after the other (as the report did) would avoid.
"""

from typing import Any

import torch
from torch import nn

from competition.models.layers import convolution
from competition.models.multiview import MultiViewClassifier

LEVELS = (16, 32, 64)  # channels of the autoencoder; every level halves the image
BOTTLENECK = 8  # channels: at an eighth of the image's sides, an eighth of its numbers


class ReconstructedClassifier(MultiViewClassifier):
    """The multi-view classifier, which sees its views through an autoencoder."""

    def __init__(self, channels: int, **options: Any) -> None:
        """Build the network; options as in ``MultiViewClassifier``."""
        super().__init__(channels=channels, **options)
        self.autoencoder = autoencoder(channels)

    def forward(self, images: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C) float32; while training (N, C + 1).

        The last column is each patient's mean squared error of the reconstruction. Arguments as in
        ``MultiViewClassifier.forward``.
        """
        repeated = self.reconstruct(images)
        logits = super().forward(repeated.detach(), present)
        if not self.training:
            return logits
        errors = (repeated - images).square().mean(dim=(2, 3, 4)) * present
        return torch.cat([logits, (errors.sum(dim=1) / present.sum(dim=1).clamp_min(1))[:, None]], dim=1)

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """Return the autoencoder's float32 reconstructions of views (N, V, channels, H, W)."""
        repeated: torch.Tensor = self.autoencoder(images.flatten(0, 1))
        return repeated[..., : images.shape[-2], : images.shape[-1]].float().view(images.shape)


def autoencoder(channels: int) -> nn.Sequential:
    """Halve an image three times, keep ``BOTTLENECK`` channels, and double it three times (up to 7 pixels more)."""
    layers: list[nn.Module] = []
    inputs = channels
    for outputs in LEVELS:
        layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()]
        inputs = outputs
    layers.append(nn.Conv2d(inputs, BOTTLENECK, 1))
    inputs = BOTTLENECK
    for outputs in reversed(LEVELS):
        layers += [nn.Upsample(scale_factor=2), convolution(inputs, outputs)]
        inputs = outputs
    return nn.Sequential(*layers, nn.Conv2d(inputs, channels, 3, padding=1))
