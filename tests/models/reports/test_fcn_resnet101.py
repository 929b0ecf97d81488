import pytest
import torch
from torch import nn

from competition.models.reports import fcn_resnet101 as module
from competition.models.reports.fcn_resnet101 import FCNResNet101


@pytest.fixture
def made(monkeypatch):
    """What torchvision is asked for, and its network in place of fetched weights; all on the meta device."""
    asked = []
    original = module.fcn_resnet101

    def make(weights, weights_backbone):
        asked.append((weights, weights_backbone))
        return original(weights=None, weights_backbone=None, aux_loss=weights is not None)

    monkeypatch.setattr(module, "fcn_resnet101", make)
    return asked


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_torchvisions_with_a_head_of_its_own(channels, made):
    with torch.device("meta"):
        model = FCNResNet101(channels, 29, 0.01, pretrained=False, dropout=0.1)
        assert model(torch.zeros(2, channels, 512, 512)).shape == (2, 29, 512, 512)
    assert made == [(None, None)]
    # torchvision counts 54,314,346 with 21 classes and a second, auxiliary head; without it and with our classes:
    auxiliary = 9 * 1024 * 256 + 2 * 256 + 21 * 256 + 21
    heads = (29 - 21) * (512 + 1)
    stem = (3 - channels) * 64 * 49
    assert sum(value.numel() for value in model.parameters()) == 54_314_346 - auxiliary + heads - stem
    assert [layer.p for layer in model.classifier if isinstance(layer, nn.Dropout)] == [0.1]


def test_pretrained_weights_are_cocos_and_the_second_head_is_left_out(made):
    with torch.device("meta"):
        model = FCNResNet101(3, 2, 0.01, pretrained=True)
        assert isinstance(model.eval()(torch.zeros(1, 3, 64, 64)), torch.Tensor)
    assert made == [(module.FCN_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1, None)]
    assert not any("aux" in name for name, _ in model.named_parameters())


def test_a_grey_picture_gives_what_it_gave_in_three_equal_channels():
    stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
    grey = torch.randn(1, 1, 32, 32)
    torch.testing.assert_close(module._for_grey(stem)(grey), stem(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_head_without_weights_answers_the_prior():
    model = FCNResNet101(1, 3, 0.02, pretrained=False).eval()
    nn.init.zeros_(model.classifier[-1].weight)
    with torch.inference_mode():
        probs = model(torch.randn(1, 1, 40, 24)).sigmoid()
    torch.testing.assert_close(probs, torch.full((1, 3, 40, 24), 0.02))
