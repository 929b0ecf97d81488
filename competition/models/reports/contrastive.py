"""Contrastive pre-training, which the aneurysm report tried: an encoder that learns without any label.

The two projections of an injection show the same vessels. Their features are pulled together, and pushed away from
those of the other patients of the batch. The head learns the labels on top, without a gradient to the encoder, so that
the score of such a run shows what the pairs alone have taught. The classifier proper is then trained from the
checkpoint by ``model.init``.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from competition.models.multiview import MultiViewClassifier

SKETCH = 128  # numbers that pairs are compared by; the encoder's features themselves are free to carry more
TEMPERATURE = 0.1
NOT_COUNTED = -1e4  # finite, and in half precision too


class ContrastiveClassifier(MultiViewClassifier):
    """The multi-view classifier, its encoder trained on pairs of images alone.

    Reference: Chen et al. 2020 (SimCLR) for the loss and the projection; Azizi et al. 2021 for pairs of one patient's
    images.
    """

    pairs: torch.Tensor

    def __init__(self, views: int, visible: Sequence[Sequence[bool]] | None, **options: Any) -> None:
        """Build the network; options as in ``MultiViewClassifier``.

        Raises:
            ValueError: No two views can show the same classes, so that there are no pairs.
        """
        super().__init__(views=views, visible=visible, **options)
        features = self.head.in_features
        self.project = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, SKETCH))
        two_views = combinations(range(views), 2)
        pairs = [(one, other) for one, other in two_views if visible is None or visible[one] == visible[other]]
        if not pairs:
            raise ValueError("no two views show the same classes, so that there are no pairs to learn from")
        self.register_buffer("pairs", torch.tensor(pairs), persistent=False)

    def forward(self, images: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C) float32; while training (N, C + 1), the last column being a patient's loss of pairs."""
        features = self.view_features(images)
        logits = self.answer(features.detach(), present)
        if not self.training:
            return logits
        return torch.cat([logits, self.pair_losses(self.project(features), present)[:, None]], dim=1)

    def pair_losses(self, sketches: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Return (N,) cross-entropies of matching a patient's pair within the batch.

        The mean is over pairs with both images present and over both directions; ``sketches`` are (N, V, S).
        """
        one, other = F.normalize(sketches.float(), dim=2)[:, self.pairs].unbind(dim=2)
        counted = present[:, self.pairs].all(dim=2).T
        alike = torch.einsum("nps,mps->pnm", one, other) / TEMPERATURE
        patients = torch.arange(len(sketches), device=sketches.device).expand_as(counted)
        losses = torch.zeros_like(counted, dtype=torch.float32)
        for scores in (alike, alike.transpose(1, 2)):
            among = scores.masked_fill(~counted[:, None], NOT_COUNTED)
            losses = losses + F.cross_entropy(among.transpose(1, 2), patients, reduction="none") / 2
        return (losses * counted).sum(dim=0) / counted.sum(dim=0).clamp_min(1)
