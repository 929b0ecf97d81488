import pytest
import torch
from torch import nn

from competition.models.reports.plain_unet import PlainUNet

FORMS = {"lumbar": {}, "knee": {"transposed": False}}


def tiny(**options):
    torch.manual_seed(0)
    return PlainUNet(**({"channels": 1, "classes": 3, "prior": 0.02, "width": 2} | options))


def counted(channels, classes, width, transposed):
    """Weights by hand: 3x3 kernels and two numbers per normalised channel, level by level."""
    total, before = 0, channels
    for level in range(5):
        now = width * 2**level
        total += 9 * before * now + 9 * now * now + 4 * now
        before = now
    for level in range(4):
        now = width * 2**level
        joined = 2 * now if transposed else 3 * now
        total += 9 * joined * now + 9 * now * now + 4 * now
        total += 4 * 2 * now * now + now if transposed else 0
    return total + width * classes + classes


@pytest.mark.parametrize(("form", "width"), [("lumbar", 64), ("knee", 32)])
def test_it_has_the_number_of_parameters_counted_by_hand(form, width):
    with torch.device("meta"):
        model = PlainUNet(channels=1, classes=6, prior=0.5, width=width, **FORMS[form])
    wanted = counted(1, 6, width, transposed=form == "lumbar")
    assert sum(value.numel() for value in model.parameters()) == wanted
    # The public figures for these two networks, which differ a little with the number of classes.
    assert round(wanted / 1e6, 1) == {"lumbar": 31.0, "knee": 7.8}[form]


@pytest.mark.parametrize("form", FORMS)
def test_the_levels_shrink_fourfold_times_four_and_come_back(form):
    model = tiny(**FORMS[form]).eval()
    seen = []
    for block in [*model.encoder, *model.decoder]:
        block.register_forward_hook(lambda _, __, features: seen.append(tuple(features.shape[1:])))
    assert model(torch.zeros(1, 1, 32, 48)).shape == (1, 3, 32, 48)
    down = [(2, 32, 48), (4, 16, 24), (8, 8, 12), (16, 4, 6), (32, 2, 3)]
    assert seen == [*down, *reversed(down[:-1])]


def test_the_lumbar_form_enlarges_by_transposed_convolutions_that_halve_the_channels():
    layers = list(tiny().enlargements)
    assert [(layer.in_channels, layer.out_channels, layer.stride) for layer in layers] == [
        (4, 2, (2, 2)),
        (8, 4, (2, 2)),
        (16, 8, (2, 2)),
        (32, 16, (2, 2)),
    ]
    assert all(isinstance(layer, nn.Upsample) for layer in tiny(transposed=False).enlargements)


@pytest.mark.parametrize("form", FORMS)
def test_a_head_without_weights_answers_the_prior(form):
    model = tiny(**FORMS[form])
    nn.init.zeros_(model.head.weight)
    probs = model(torch.randn(2, 1, 16, 16)).sigmoid()
    torch.testing.assert_close(probs, torch.full((2, 3, 16, 16), 0.02))


@pytest.mark.parametrize("form", FORMS)
def test_gradients_reach_every_parameter(form):
    model = tiny(**FORMS[form])
    model(torch.randn(2, 1, 32, 32)).square().mean().backward()
    assert not [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]


def test_dropout_is_silent_in_prediction():
    model, images = tiny(dropout=0.5), torch.randn(1, 1, 16, 16)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    assert any(not torch.equal(model(images), model(images)) for _ in range(5))
    model.eval()
    assert torch.equal(model(images), model(images))
