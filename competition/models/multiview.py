"""One encoder for all views of a patient, and a probability per class for the patient.

Every view is judged on its own (an aneurysm is seen in some views only), then the views' logits of a class are joined
by the maximum over the views in which the class can be seen. A view that can't show a finding is therefore never
trained to predict it, which is the label noise of per-view training.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from competition.models import torchvision_ops  # noqa: F401  (must come before timm)
from competition.models.counting import CountingEncoder
from competition.models.grades import CumulativeLinks
from competition.models.layers import Float32Linear, start_from_prior
from competition.models.patches import PatchEncoder

import timm  # isort: skip


OWN_ENCODERS: dict[str, type[nn.Module]] = {"counting": CountingEncoder, "patches": PatchEncoder}
"""Encoders of this project, for images with few labels."""


class MultiViewClassifier(nn.Module):
    """A timm encoder shared by all views, a slot embedding, and the maximum over views."""

    visible: torch.Tensor

    def __init__(
        self,
        encoder: str,
        pretrained: bool,
        channels: int,
        classes: int,
        views: int,
        visible: Sequence[Sequence[bool]] | None,
        size: int,
        prior: float,
        dropout: float,
        ordinal: bool = False,
    ) -> None:
        """Build the network.

        Args:
            encoder: A timm model name, or one of ``OWN_ENCODERS``.
            pretrained: Start the encoder from timm's weights.
            channels: 1 or 3.
            classes: Number of outputs.
            views: Number of views of a patient.
            visible: (views, classes), which class can be seen in which view; None means all in all.
            size: Side of an image in pixels.
            prior: Initial probability of every class.
            dropout: Before the head.
            ordinal: Whether the classes are grades in their order: ``CumulativeLinks`` of one number.
        """
        super().__init__()
        self.encoder = view_network(encoder, pretrained, channels, 0, size)
        features = self.encoder.num_features
        self.slot = nn.Parameter(torch.zeros(views, features))
        self.dropout = nn.Dropout(dropout)
        self.head = Float32Linear(features, 1 if ordinal else classes)
        start_from_prior(self.head, 0.5 if ordinal else prior)
        self.links = CumulativeLinks(classes) if ordinal else nn.Identity()
        seen = torch.ones(views, classes, dtype=torch.bool) if visible is None else torch.tensor(visible).bool()
        self.register_buffer("visible", seen, persistent=False)

    def forward(self, images: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C) float32.

        Args:
            images: (N, V, channels, H, W) float32, standardised.
            present: (N, V) bool; views that could not be read are ignored.
        """
        return self.answer(self.view_features(images), present)

    def view_features(self, images: torch.Tensor) -> torch.Tensor:
        """Return features (N, V, F) float32 of images (N, V, channels, H, W)."""
        features: torch.Tensor = self.encoder(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        return features.float()

    def answer(self, features: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Return the patients' logits (N, C) for features of the views (N, V, F)."""
        logits = self.head(self.dropout(features + self.slot))
        visible = self.visible.any(dim=1, keepdim=True) if logits.shape[2] == 1 else self.visible
        joined: torch.Tensor = self.links(view_maximum(logits, present[:, :, None] & visible))
        return joined


def view_network(name: str, pretrained: bool, channels: int, outputs: int, size: int, dropout: float = 0.0) -> Any:
    """Return a timm network for one view with ``outputs`` logits; 0 gives the features before them.

    Those of ``OWN_ENCODERS`` give features only.

    ``size`` is the side of an image in pixels, which Swin transformers are built for; all others take any.
    """
    if name in OWN_ENCODERS and not outputs:
        if pretrained:
            raise ValueError(f"there are no pretrained weights of {name}: use --set model.pretrained=false")
        return OWN_ENCODERS[name](channels)
    fixed_size = {"img_size": size} if name.startswith("swin") else {}
    return timm.create_model(name, pretrained, in_chans=channels, num_classes=outputs, drop_rate=dropout, **fixed_size)


def view_maximum(logits: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Return the maximum (N, C) over the counted views: a finding in one view is a finding of the patient.

    A smooth maximum (log of the mean of exponentials) learned far slower: it spreads the gradient over views that show
    nothing. Where no view of a class counts, all of them do, so that the logit stays finite.

    Args:
        logits: (N, V, C).
        counted: (N, V, C) bool.
    """
    counted = counted | ~counted.any(dim=1, keepdim=True)
    masked = logits.masked_fill(~counted, float("-inf"))
    return masked.amax(dim=1)
