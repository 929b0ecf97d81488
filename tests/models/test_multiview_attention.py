import numpy as np
import torch

from competition.models.multiview_attention import AttentiveMultiViewClassifier
from competition.models.multiview_fused import WIDTH
from competition.tracks import get_track


def classifier():
    torch.manual_seed(0)
    options = {"encoder": "test_resnet", "pretrained": False, "size": 32, "prior": 0.1, "dropout": 0.0}
    return AttentiveMultiViewClassifier(**options, track=get_track("aneurysm")).eval()


def test_the_patient_is_the_mean_weighted_by_gated_attention():
    network, injected = classifier(), torch.randn(1, 3, WIDTH)
    there = torch.tensor([[True, False, True]])
    found = network.join_injections(injected, there)[0].detach().numpy()
    rows = injected[0].numpy()[[0, 2]].astype(float)
    content, gate, score = (
        (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for layer in (network.content, network.gate, network.score)
    )
    hidden = np.tanh(rows @ content[0].T + content[1]) / (1 + np.exp(-(rows @ gate[0].T + gate[1])))
    weights = np.exp(hidden @ score[0].T + score[1])
    np.testing.assert_allclose(found, (weights * rows).sum(0) / weights.sum(), rtol=1e-4, atol=1e-5)


def test_a_patient_without_views_has_a_finite_answer():
    network, track = classifier(), get_track("aneurysm")
    logits = network(torch.rand(1, len(track.views), track.channels, 32, 32), torch.zeros(1, len(track.views)) > 0)
    assert torch.isfinite(logits).all()
    assert logits.shape == (1, len(track.classes))
