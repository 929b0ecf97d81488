"""The fused multi-view classifier with attention: the patient is a weighted mean of the injections.

The maximum of ``multiview_fused`` sends the gradient of each feature to one injection; attention learns which ones
matter and sends it to all of these. The first place of RSNA 2025 (aneurysms) joined slices so.

Reference: Ilse et al. 2018, attention-based deep multiple instance learning, with the gate.
"""

from typing import Any

import torch
from torch import nn

from competition.models.multiview_fused import WIDTH, FusedMultiViewClassifier

HIDDEN = 128


class AttentiveMultiViewClassifier(FusedMultiViewClassifier):
    """As ``FusedMultiViewClassifier``, but for how injections are joined to the patient."""

    def __init__(self, **options: Any) -> None:
        """Build the network; arguments as in ``FusedMultiViewClassifier``."""
        super().__init__(**options)
        self.content, self.gate, self.score = nn.Linear(WIDTH, HIDDEN), nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, 1)

    def join_injections(self, injected: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Return the mean (N, WIDTH) of injections (N, I, WIDTH), weighted by attention; those absent do not count."""
        scores = self.score(self.content(injected).tanh() * self.gate(injected).sigmoid()).float()[..., 0]
        counted = there | ~there.any(dim=1, keepdim=True)
        weights = scores.masked_fill(~counted, float("-inf")).softmax(dim=1)
        joined: torch.Tensor = (weights[..., None] * injected).sum(dim=1)
        return joined
