import numpy as np
import pytest
import torch
from torch import nn

from competition.models.reports.cardiac_lab import HiddenLayer, LabFCN


def test_the_hidden_layer_has_the_labs_figures():
    with torch.device("meta"):
        model = HiddenLayer(channels=1, classes=1, prior=0.5, side=256)
    assert (model.hidden.in_features, model.hidden.out_features, model.head.out_features) == (65536, 512, 65536)
    assert sum(value.numel() for value in model.parameters()) == 65536 * 512 + 512 + 512 * 65536 + 65536


def test_every_pixel_of_every_class_is_a_sum_over_hidden_units():
    torch.manual_seed(0)
    model = HiddenLayer(channels=3, classes=2, prior=0.3, side=4, width=5)
    images = torch.randn(2, 3, 4, 4)
    logits = model(images).detach().double().numpy()
    inner, outer = (
        [part.detach().double().numpy() for part in layer.parameters()] for layer in (model.hidden, model.head)
    )
    for sample in range(2):
        hidden = np.maximum(inner[0] @ images[sample].double().numpy().ravel() + inner[1], 0)
        for index, row, column in np.ndindex(2, 4, 4):
            unit = index * 16 + row * 4 + column
            assert logits[sample, index, row, column] == pytest.approx(
                outer[0][unit] @ hidden + outer[1][unit], abs=1e-5
            )


def test_the_fully_convolutional_network_has_the_labs_figures():
    with torch.device("meta"):
        model = LabFCN(channels=1, classes=1, prior=0.5)
        layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
        features = model.features(torch.zeros(1, 1, 256, 256))
    assert [(layer.out_channels, layer.kernel_size[0], layer.stride[0]) for layer in layers] == [
        (100, 5, 2),
        (200, 5, 2),
        (300, 3, 1),
        (300, 3, 1),
        (1, 1, 1),
        (1, 31, 16),
    ]
    assert features.shape == (1, 300, 16, 16)
    counts = (25 * 100 + 100, 25 * 100 * 200 + 200, 9 * 200 * 300 + 300, 9 * 300 * 300 + 300, 300 + 1, 31 * 31 + 1)
    assert sum(value.numel() for value in model.parameters()) == sum(counts)


@pytest.mark.parametrize("size_hw", [(16, 16), (64, 32), (256, 256)])
def test_scores_are_enlarged_to_exactly_the_size_of_the_image(size_hw):
    with torch.device("meta"):
        model = LabFCN(channels=1, classes=2, prior=0.5, width=4)
        assert model(torch.zeros(1, 1, *size_hw)).shape == (1, 2, *size_hw)


def test_the_enlargement_starts_as_bilinear_interpolation_of_each_class_on_its_own():
    model = LabFCN(channels=1, classes=2, prior=0.5, width=4)
    scores = torch.zeros(1, 2, 4, 4)
    scores[0, 0] = torch.arange(4.0)[:, None] * 10 + torch.arange(4.0)
    with torch.inference_mode():
        large = model.enlarge(scores)[0]
    assert not large[1].any()
    # Pixel 7 of each block of 16 is the score itself; between two of them the way is straight.
    for row, column in np.ndindex(3, 3):
        for down, right in ((0, 0), (5, 0), (0, 11), (16, 16)):
            expected = (row + down / 16) * 10 + column + right / 16
            assert large[0, 7 + 16 * row + down, 7 + 16 * column + right].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("make", [lambda: LabFCN(1, 3, 0.02, width=4), lambda: HiddenLayer(1, 3, 0.02, 32, width=4)])
def test_a_head_without_weights_answers_the_prior_and_gradients_reach_everything(make):
    torch.manual_seed(0)
    model, images = make(), torch.randn(2, 1, 32, 32)
    model(images).square().mean().backward()
    assert not [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    last = model.enlarge if isinstance(model, LabFCN) else model.head
    nn.init.zeros_(last.weight)
    torch.testing.assert_close(model(images).sigmoid(), torch.full((2, 3, 32, 32), 0.02))


@pytest.mark.parametrize("make", [LabFCN, lambda *given, **named: HiddenLayer(*given, side=32, **named)])
def test_dropout_is_silent_in_prediction(make):
    model, images = make(1, 3, 0.02, dropout=0.5, width=8), torch.randn(1, 1, 32, 32)
    assert any(not torch.equal(model(images), model(images)) for _ in range(5))
    model.eval()
    assert torch.equal(model(images), model(images))
