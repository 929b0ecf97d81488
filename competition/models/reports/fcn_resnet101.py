"""torchvision's FCN with a ResNet-101, which segmentation_models_pytorch does not have.

The hand-bone competition's own baseline is of this family, started from weights for everyday photographs (COCO).
"""

import torch
from torch import nn

from competition.models import torchvision_ops  # noqa: F401  (must come before torchvision)
from competition.models.layers import start_from_prior

from torchvision.models.segmentation import FCN_ResNet101_Weights, fcn_resnet101  # isort: skip


class FCNResNet101(nn.Module):
    """FCN-ResNet101; heads are sigmoid, one logit per class."""

    def __init__(self, channels: int, classes: int, prior: float, pretrained: bool, dropout: float = 0.0) -> None:
        """Build the network; ``pretrained`` starts it from torchvision's COCO weights, with a new head.

        Raises:
            OSError: The weights can't be fetched.
        """
        super().__init__()
        weights = FCN_ResNet101_Weights.DEFAULT if pretrained else None
        network = fcn_resnet101(weights=weights, weights_backbone=None)
        self.backbone = network.backbone
        if channels == 1:
            self.backbone["conv1"] = _for_grey(self.backbone["conv1"])
        self.classifier = network.classifier
        self.classifier[-2] = nn.Dropout(dropout)
        head = nn.Conv2d(self.classifier[-1].in_channels, classes, 1)
        start_from_prior(head, prior)
        self.classifier[-1] = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C, H, W) for images (N, channels, H, W) float32."""
        coarse = self.classifier(self.backbone(images)["out"])
        return nn.functional.interpolate(coarse, size=images.shape[-2:], mode="bilinear", align_corners=False)


def _for_grey(stem: nn.Conv2d) -> nn.Conv2d:
    """Return the first convolution for grey images, which gives the same as for three equal channels."""
    grey = nn.Conv2d(1, stem.out_channels, 7, stride=2, padding=3, bias=False)
    with torch.no_grad():
        grey.weight.copy_(stem.weight.sum(dim=1, keepdim=True))
    return grey
