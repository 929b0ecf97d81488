"""UNet 3+, as published and in the three forms of the hand-bone report.

Every decoder level sees the features of all five scales at once: those of finer encoder levels pooled, those of coarser
decoder levels enlarged, each through a convolution of ``width`` channels. Heads are sigmoid: one logit per class, so
that classes may overlap.

| form | input -> output | levels | supervised |
|---|---|---|---|
| plain | 512 -> 512 | halved | the last decoder level |
| ds | 512 -> 512 | halved | every decoder level, enlarged to the input's size |
| ds 2048 | 512 -> 2048 | halved | the last decoder level at 2048, the others at 512 |
| ds 2048 eff | 1024 -> 2048 | quartered, half the channels | every decoder level, enlarged at most 4x |

Reference: Huang et al. 2020, UNet 3+: A Full-Scale Connected UNet for Medical Image Segmentation (without its
classification-guided module, which is for images that may hold nothing at all).
"""

import torch
import torch.nn.functional as F
from torch import nn

from competition.models.layers import convolution, double_convolution, start_from_prior

LEVELS = 5


class UNet3Plus(nn.Module):
    """UNet 3+; while training with deep supervision it gives a list of logits, otherwise one tensor."""

    def __init__(
        self,
        channels: int,
        classes: int,
        prior: float,
        dropout: float = 0.0,
        width: int = 64,
        rate: int = 2,
        deep_supervision: bool = False,
        output_scale: int = 1,
        most_enlarged: int = 16,
    ) -> None:
        """Build the network; other arguments as in ``PlainUNet``.

        Args:
            channels: Of the image.
            classes: Number of outputs.
            prior: Initial probability of each head.
            dropout: Of whole channels, before each head.
            width: Channels of the first encoder level (they double per level) and of each skip branch.
            rate: How many times smaller each level is than the one before.
            deep_supervision: Whether every decoder level has a head while training.
            output_scale: Output pixels per input pixel along a side.
            most_enlarged: The logits of a coarser level are enlarged at most this many times.
        """
        super().__init__()
        self.stride = rate ** (LEVELS - 1)
        self._rate = rate
        self._deep_supervision = deep_supervision
        self._enlargements = [min(rate**level, most_enlarged) for level in range(LEVELS)]
        encoded = [width * 2**level for level in range(LEVELS)]
        # The coarsest level is encoder and decoder in one.
        decoded = [LEVELS * width] * (LEVELS - 1) + encoded[-1:]
        inputs = [channels, *encoded[:-1]]
        self.encoder = nn.ModuleList(double_convolution(above, own) for above, own in zip(inputs, encoded, strict=True))
        self.branches = nn.ModuleList(
            nn.ModuleList(convolution(seen, width) for seen in encoded[: level + 1] + decoded[level + 1 :])
            for level in range(LEVELS - 1)
        )
        self.fusions = nn.ModuleList(convolution(LEVELS * width, LEVELS * width) for _ in range(LEVELS - 1))
        self.dropout = nn.Dropout2d(dropout)
        supervised = decoded if deep_supervision else decoded[:1]
        self.heads = nn.ModuleList(nn.Conv2d(outputs, classes, 3, padding=1) for outputs in supervised)
        for head in self.heads:
            start_from_prior(head, prior)
        self.enlarge = nn.Identity() if output_scale == 1 else _enlargement(classes, output_scale)

    def forward(self, images: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Return logits (N, C, s * H, s * W) for images (N, channels, H, W) float32, s the output scale.

        While training with deep supervision: a list of five, these first, then those of the coarser levels.
        """
        decoded = self._decode(self._encode(images))
        finest: torch.Tensor = self.enlarge(self.heads[0](self.dropout(decoded[0])))
        if not (self.training and self._deep_supervision):
            return finest
        outputs = [finest]
        for head, features, scale in zip(self.heads[1:], decoded[1:], self._enlargements[1:], strict=True):
            logits = head(self.dropout(features))
            outputs.append(F.interpolate(logits, scale_factor=scale, mode="bilinear", align_corners=False))
        return outputs

    def _encode(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the features of all levels, the finest first."""
        features: list[torch.Tensor] = []
        for level, block in enumerate(self.encoder):
            below = F.max_pool2d(features[-1], self._rate) if level else images
            features.append(block(below))
        return features

    def _decode(self, encoded: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the decoded features of all levels, the finest first; made from the coarsest up."""
        decoded = list(encoded)
        for level in reversed(range(LEVELS - 1)):
            size_hw = encoded[level].shape[-2:]
            branches = self.branches[level]
            assert isinstance(branches, nn.ModuleList)
            seen = []
            # "decoded" still holds the encoder's features at this level and at the finer ones.
            for other, (features, branch) in enumerate(zip(decoded, branches, strict=True)):
                if other < level:
                    features = F.max_pool2d(features, self._rate ** (level - other))
                elif other > level:
                    features = F.interpolate(features, size=size_hw, mode="bilinear", align_corners=False)
                seen.append(branch(features))
            decoded[level] = self.fusions[level](torch.cat(seen, dim=1))
        return decoded


def _enlargement(classes: int, scale: int) -> nn.Sequential:
    """Return bilinear enlargement of logits, then a 3x3 convolution of each class, initialised to the identity."""
    convolve = nn.Conv2d(classes, classes, 3, padding=1, groups=classes)
    nn.init.dirac_(convolve.weight, groups=classes)
    assert convolve.bias is not None
    nn.init.zeros_(convolve.bias)
    return nn.Sequential(nn.Upsample(scale_factor=scale, mode="bilinear", align_corners=False), convolve)
