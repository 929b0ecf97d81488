"""A residual encoder U-Net like nnU-Net's, trained from random weights with deep supervision.

As in nnU-Net's preset ResEnc M: instance normalisation, blocks per level 1, 3, 4, 6, 6, 6, 6, widths that double from
32 up to 512, one convolution per decoder level. Unlike there, all supervised levels have the same weight, as
``supervised_loss`` has it, and they end at an eighth of the resolution.

Reference: Isensee et al. 2024, nnU-Net Revisited.
"""

import torch
from torch import nn

from competition.models.layers import start_from_prior

BLOCKS = (1, 3, 4, 6, 6, 6, 6)
WIDEST = 512
SUPERVISED = 4
"""Decoder levels with a head, from the finest."""


class ResidualUNet(nn.Module):
    """While training it gives a list of logits, the finest first, otherwise the finest alone."""

    stride = 2 ** len(BLOCKS)  # leaves 2x2 pixels of the deepest level: one alone can't be normalised

    def __init__(self, channels: int, classes: int, prior: float, dropout: float = 0.0, width: int = 32) -> None:
        """Build the network; arguments as in ``PlainUNet``."""
        super().__init__()
        widths = [min(width * 2**level, WIDEST) for level in range(len(BLOCKS))]
        self.stem = normalised(channels, widths[0])
        inputs = [widths[0], *widths[:-1]]
        self.encoder = nn.ModuleList(
            nn.Sequential(
                *(
                    ResidualBlock(own if block else above, own, 2 if level and not block else 1)
                    for block in range(count)
                )
            )
            for level, (above, own, count) in enumerate(zip(inputs, widths, BLOCKS, strict=True))
        )
        finer = list(zip(widths[1:], widths[:-1], strict=True))
        self.enlargements = nn.ModuleList(nn.ConvTranspose2d(below, own, 2, stride=2) for below, own in finer)
        self.decoder = nn.ModuleList(normalised(2 * own, own) for own in widths[:-1])
        self.dropout = nn.Dropout2d(dropout)
        self.heads = nn.ModuleList(nn.Conv2d(own, classes, 1) for own in widths[:SUPERVISED])
        for head in self.heads:
            start_from_prior(head, prior)

    def forward(self, images: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Return logits (N, C, H, W) for images (N, channels, H, W) float32.

        While training: a list of these first, then those of a half, a quarter and an eighth of the side.
        """
        skipped: list[torch.Tensor] = []
        features = self.stem(images)
        for blocks in self.encoder:
            features = blocks(features)
            skipped.append(features)
        outputs: list[torch.Tensor] = []
        for level in reversed(range(len(self.decoder))):
            enlarged = self.enlargements[level](features)
            features = self.decoder[level](torch.cat([skipped[level], enlarged], dim=1))
            if level == 0 or (self.training and level < len(self.heads)):
                outputs.append(self.heads[level](self.dropout(features)))
        return outputs[::-1] if self.training else outputs[-1]


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which is averaged and projected where size or width change."""

    def __init__(self, channels: int, outputs: int, stride: int) -> None:
        """Build the block; ``stride`` shrinks both sides."""
        super().__init__()
        self.first = normalised(channels, outputs, stride)
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.InstanceNorm2d(outputs, affine=True)
        )
        changes: list[nn.Module] = [nn.AvgPool2d(stride)] if stride > 1 else []
        if channels != outputs:
            changes += [nn.Conv2d(channels, outputs, 1, bias=False), nn.InstanceNorm2d(outputs, affine=True)]
        self.shortcut = nn.Sequential(*changes)
        self.cut = nn.LeakyReLU(inplace=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, outputs, H / stride, W / stride) for features (N, channels, H, W)."""
        cut: torch.Tensor = self.cut(self.second(self.first(features)) + self.shortcut(features))
        return cut


def normalised(channels: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution, instance normalisation and leaky ReLU."""
    layer = nn.Conv2d(channels, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.InstanceNorm2d(outputs, affine=True), nn.LeakyReLU(inplace=True))
