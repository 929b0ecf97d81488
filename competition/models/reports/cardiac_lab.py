"""The two networks of the left-ventricle lab, with its figures.

The lab gave two scores per pixel (background, ventricle) to a softmax; heads here are sigmoid, one logit per class,
which for one class and its complement is the same model with half the scores. ReLU after each layer, and a transposed
convolution that starts as bilinear interpolation, are our reading of what the lab's text leaves open.
"""

import torch
from torch import nn

from competition.models.layers import start_from_prior

# 31 taps of a stride-16 transposed convolution: a triangle from one input pixel to the next.
TAPS, STRIDE = 31, 16


class HiddenLayer(nn.Module):
    """All pixels -> one hidden layer -> all pixels: 65,536 -> 512 -> 65,536 per class at 256x256."""

    def __init__(
        self, channels: int, classes: int, prior: float, side: int, dropout: float = 0.0, width: int = 512
    ) -> None:
        """Build the network for images of ``side`` pixels; ``width`` is the number of hidden units."""
        super().__init__()
        self.stride = side
        self.hidden = nn.Linear(channels * side**2, width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes * side**2)
        start_from_prior(self.head, prior)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C, side, side) for images (N, channels, side, side) float32."""
        hidden = self.dropout(self.hidden(images.flatten(1)).relu())
        logits: torch.Tensor = self.head(hidden).unflatten(1, (-1, self.stride, self.stride))
        return logits


class LabFCN(nn.Module):
    """Fully convolutional: 16 times smaller, scored by a 1x1 convolution, enlarged 16 times at once."""

    stride = STRIDE

    def __init__(self, channels: int, classes: int, prior: float, dropout: float = 0.0, width: int = 100) -> None:
        """Build the network; its four convolutions have ``width``, 2, 3 and 3 times ``width`` channels."""
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 5, stride=2, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 5, stride=2, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(2 * width, 3 * width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(3 * width, 3 * width, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout(dropout)
        self.scores = nn.Conv2d(3 * width, classes, 1)
        # Padding 8 and one more row and column at the end give exactly 16 output pixels per input pixel.
        self.enlarge = nn.ConvTranspose2d(classes, classes, TAPS, stride=STRIDE, padding=STRIDE // 2, output_padding=1)
        _start_bilinear(self.enlarge)
        start_from_prior(self.enlarge, prior)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C, H, W) for images (N, channels, H, W) float32."""
        logits: torch.Tensor = self.enlarge(self.scores(self.dropout(self.features(images))))
        return logits


def _start_bilinear(layer: nn.ConvTranspose2d) -> None:
    """Set the weights to bilinear interpolation of each class on its own."""
    ramp = 1 - (torch.arange(TAPS, device=layer.weight.device) - TAPS // 2).abs() / STRIDE
    with torch.no_grad():
        layer.weight.zero_()
        for index in range(layer.in_channels):
            layer.weight[index, index] = ramp[:, None] * ramp[None, :]
