"""A shallow encoder whose features count things: for labels that follow from how many objects an image shows.

A network for photographs of one object is deep, and its features see the whole image. To count cells it is enough to
see a cell: here a feature is the mean over all places of a map in [0, 1], the density of something that fits into 77
pixels, and a number of such things is proportional to it. With 147,000 weights and no pretrained ones it learns
from 200 images. References: Lempitsky and Zisserman 2010, counting by densities; Brendel and
Bethge 2019, BagNet, for small receptive fields.
"""

import torch
from torch import nn

from competition.models.layers import double_convolution

WIDTH = 16
"""Channels of the first level; each further one has twice as many."""
KINDS = 16
"""Density maps: kinds of things that are counted."""


class CountingEncoder(nn.Module):
    """Convolutions at an eighth of the resolution, maps of densities, and their means and maxima.

    The maxima answer whether there is any of a kind, which a mean over hundreds of places hides.
    """

    num_features = 2 * KINDS
    out_channels = (KINDS,)  # of the deepest map, which Grad-CAM explains

    def __init__(self, channels: int) -> None:
        """Build the encoder for images of 1 or 3 ``channels``."""
        super().__init__()
        first = double_convolution(channels, WIDTH)
        assert isinstance(first[0][0], nn.Conv2d)  # type: ignore[index]
        first[0][0].stride = (2, 2)  # type: ignore[index]
        self.levels = nn.Sequential(
            first,
            nn.MaxPool2d(2),
            double_convolution(WIDTH, 2 * WIDTH),
            nn.MaxPool2d(2),
            double_convolution(2 * WIDTH, 4 * WIDTH),
            double_convolution(4 * WIDTH, 4 * WIDTH),
        )
        self.density = nn.Conv2d(4 * WIDTH, KINDS, 1)
        self.scale = nn.BatchNorm1d(2 * KINDS)  # means are small numbers, and differ little between images

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return features (N, 2 * KINDS) of images (N, channels, H, W)."""
        densities = self.density(self.levels(images)).float().sigmoid()
        found: torch.Tensor = self.scale(torch.cat([densities.mean(dim=(2, 3)), densities.amax(dim=(2, 3))], dim=1))
        return found
