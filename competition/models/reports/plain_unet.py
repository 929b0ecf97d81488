"""The U-Nets of the lumbar report (transposed convolutions) and of the knee report (VGG blocks, enlarged bilinearly).

They differ in width and in how a level is enlarged; the knee's figures are our reading of "VGG-like blocks", after the
public U-Net of that name with 32 to 512 channels. Heads are sigmoid: one logit per class. Reference: Ronneberger et al.
2015, with batch normalisation and padded convolutions.
"""

import torch
from torch import nn

from competition.models.layers import double_convolution, start_from_prior

LEVELS = 5


class PlainUNet(nn.Module):
    """U-Net of five levels; sides of the input must be multiples of ``stride``."""

    stride = 2 ** (LEVELS - 1)

    def __init__(
        self, channels: int, classes: int, prior: float, dropout: float = 0.0, width: int = 64, transposed: bool = True
    ) -> None:
        """Build the network.

        Args:
            channels: Of the image.
            classes: Number of outputs.
            prior: Initial probability.
            dropout: Of whole channels, before the head.
            width: Channels of the first level; they double per level.
            transposed: Enlarge levels by a 2x2 transposed convolution that halves the channels instead of bilinearly.
        """
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS)]
        inputs = [channels, *widths[:-1]]
        self.encoder = nn.ModuleList(double_convolution(above, own) for above, own in zip(inputs, widths, strict=True))
        self.pool = nn.MaxPool2d(2)
        self.enlargements = nn.ModuleList(_enlargement(2 * level, transposed) for level in widths[:-1])
        self.decoder = nn.ModuleList(
            double_convolution(level + (level if transposed else 2 * level), level) for level in widths[:-1]
        )
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(width, classes, 1)
        start_from_prior(self.head, prior)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C, H, W) for images (N, channels, H, W) float32."""
        skipped: list[torch.Tensor] = []
        features = images
        for level, block in enumerate(self.encoder):
            features = block(self.pool(features) if level else features)
            skipped.append(features)
        for level in reversed(range(LEVELS - 1)):
            enlarged = self.enlargements[level](features)
            features = self.decoder[level](torch.cat([skipped[level], enlarged], dim=1))
        logits: torch.Tensor = self.head(self.dropout(features))
        return logits


def _enlargement(channels: int, transposed: bool) -> nn.Module:
    if transposed:
        return nn.ConvTranspose2d(channels, channels // 2, 2, stride=2)
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
