import pytest
import torch
from torch import nn

from competition.models.layers import Float32Linear, double_convolution, head_in_float32, start_from_prior


def test_a_block_is_two_convolutions_each_normalised_and_cut_at_zero():
    torch.manual_seed(0)
    block = double_convolution(2, 3).double().train()
    images = torch.randn(4, 2, 7, 5, dtype=torch.float64)
    features = images
    for layer in block:
        kernel = layer[0].weight
        padded = nn.functional.pad(features, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1)
        features = torch.einsum("nchwij,ocij->nohw", padded, kernel)
        mean, variance = features.mean((0, 2, 3), keepdim=True), features.var((0, 2, 3), unbiased=False, keepdim=True)
        features = ((features - mean) / (variance + 1e-5).sqrt()).clamp(min=0)
    torch.testing.assert_close(block(images), features)
    assert len(block) == 2


@pytest.mark.parametrize("prior", [0.01, 0.5, 0.9])
def test_the_bias_answers_the_prior(prior):
    layer = nn.Conv2d(3, 2, 1)
    start_from_prior(layer, prior)
    torch.testing.assert_close(layer(torch.zeros(1, 3, 2, 2)).sigmoid(), torch.full((1, 2, 2, 2), prior))


def test_logits_under_autocast_have_no_ties_that_float32_has_not():
    torch.manual_seed(0)
    head, plain, features = Float32Linear(16, 1), nn.Linear(16, 1), torch.randn(400, 16)
    plain.load_state_dict(head.state_dict())
    with torch.autocast("cpu", torch.bfloat16):
        logits, rounded = head(features.bfloat16()), plain(features)
    assert logits.dtype == torch.float32
    assert len(logits.unique()) == 400 > len(rounded.unique())
    torch.testing.assert_close(logits, plain(features.bfloat16().float()))


def test_the_last_layer_of_a_network_is_replaced_with_its_weights_and_names():
    network = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
    before, shown = {name: value.clone() for name, value in network.state_dict().items()}, torch.randn(5, 3)
    expected = network(shown)
    head = head_in_float32(network)
    assert network[1][1] is head
    assert list(network.state_dict()) == list(before)
    assert torch.equal(network(shown), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(shown).dtype == torch.float32
