import copy

import pytest
import torch
from torch import nn

from competition.errors import CompetitionError
from competition.models.factory import build_model
from competition.models.gradient_checkpointing import blocks_in, checkpoint_gradients
from competition.tracks import get_track

# Architecture, encoder: residual blocks, blocks of a transformer, blocks that are given lists, and our own network.
NETWORKS = [
    ("Unet", "tu-test_resnet"),
    ("Segformer", "mit_b0"),
    ("plain_unet", "resnet34"),
    ("multiview_fused", "densenet121"),
]


def build(architecture, encoder, tiny_experiment):
    track = get_track("aneurysm" if architecture.startswith("multiview") else "hand_bone")
    settings = {"architecture": architecture, "encoder": encoder, "decoder_channels": None, "dropout": 0.2}
    if architecture == "plain_unet":
        settings["width"] = 4
    torch.manual_seed(1)
    inputs = [torch.rand(2, track.channels, 64, 64)]
    if architecture.startswith("multiview"):
        inputs = [torch.rand(2, len(track.views), track.channels, 32, 32), torch.ones(2, len(track.views)) > 0]
    return build_model(tiny_experiment(model=settings), track).train(), inputs


def step(network, inputs):
    """Bytes that autograd keeps beside the weights, and the gradients."""
    kept, weights = {}, {value.untyped_storage().data_ptr() for value in network.parameters()}

    def pack(value):
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return value

    network.zero_grad()
    torch.manual_seed(0)  # of dropout
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        loss = network(*inputs).square().mean()
    loss.backward()
    gradients = [value.grad for value in network.parameters() if value.grad is not None]
    return sum(size for pointer, size in kept.items() if pointer not in weights), gradients


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "encoder"), NETWORKS)
def test_gradients_and_running_statistics_are_the_same_in_less_memory(architecture, encoder, tiny_experiment):
    network, inputs = build(architecture, encoder, tiny_experiment)
    thrifty = copy.deepcopy(network)
    checkpoint_gradients(thrifty, architecture)
    assert list(thrifty.state_dict()) == list(network.state_dict())
    for _ in range(2):  # the second step sees what the first has done to the running statistics
        plain_bytes, plain = step(network, inputs)
        thrifty_bytes, found = step(thrifty, inputs)
        assert thrifty_bytes < 0.6 * plain_bytes
        assert len(found) == len(plain)
        for one, other in zip(found, plain, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
    for (name, one), other in zip(thrifty.named_buffers(), network.buffers(), strict=True):
        assert torch.equal(one, other), name
    counts = [value for name, value in thrifty.named_buffers() if name.endswith("num_batches_tracked")]
    assert all(count == 2 for count in counts)
    assert counts or encoder == "mit_b0"


def test_a_copy_recomputes_its_own_layers():
    network = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)), nn.Linear(3, 1))
    checkpoint_gradients(network, "mine")
    copied = copy.deepcopy(network)
    with torch.no_grad():
        for value in network.parameters():
            value.zero_()
    inputs = torch.rand(2, 3)
    assert copied(inputs).abs().sum() > 0
    copied(inputs).sum().backward()
    assert all(value.grad is None for value in network.parameters())
    assert all(value.grad is not None for value in copied.parameters())


def test_in_evaluation_nothing_is_computed_twice():
    network = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), nn.Linear(3, 1))
    calls = []
    network[0][0].register_forward_hook(lambda *_: calls.append(1))
    checkpoint_gradients(network, "mine")
    network(torch.rand(2, 3)).sum().backward()
    assert len(calls) == 2
    network.eval()(torch.rand(2, 3)).sum().backward()
    assert len(calls) == 3


def test_blocks_are_the_largest_parts_of_few_layers():
    pair = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
    several = nn.Sequential(*(copy.deepcopy(pair) for _ in range(7)))
    assert list(blocks_in(pair)) == [pair]
    assert list(blocks_in(several)) == [*several]  # 14 layers are too many for one block
    assert list(blocks_in(nn.ModuleList([pair, nn.Linear(1, 1)]))) == [pair]  # a list is never called itself
    assert not list(blocks_in(nn.Linear(1, 1)))


def test_a_network_without_blocks_is_rejected_in_one_sentence():
    with pytest.raises(CompetitionError, match=r"blocks of layers again, and hidden_layer has none. Use --set train"):
        checkpoint_gradients(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)), "hidden_layer")
