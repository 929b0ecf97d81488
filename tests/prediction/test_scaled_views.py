"""Predictions of views at another scale."""

import numpy as np
import torch
from torch import nn

from competition.data.grid import GridReader
from competition.prediction.predictor import Predictor, predict_map


class Pointwise(nn.Module):
    """Logits of a pixel follow from that pixel alone."""

    def forward(self, images):
        return torch.cat([slope * images - 0.3 for slope in (1.0, -0.5, 2.0)], dim=1)


def test_a_scaled_view_is_averaged_with_the_plain_one(shared_hands, tiny_experiment):
    entry, experiment = shared_hands.train()[0], tiny_experiment()
    reader = GridReader(shared_hands.workspace, shared_hands.track, experiment.data.size, budget_bytes=0)
    predictor = Predictor((Pointwise(),), experiment, shared_hands.track, reader, torch.device("cpu"), None)
    plain, small, both = (
        predict_map(predictor, entry, views).astype(float)
        for views in (["identity"], ["scale75"], ["identity", "scale75"])
    )
    assert 0.5 < np.abs(plain - small).mean() < 40  # blurred a little, and at the same places
    alive = (np.minimum(plain, small) > 5) & (np.maximum(plain, small) < 250)
    assert np.abs(both - (plain + small) / 2)[alive].max() <= 1
