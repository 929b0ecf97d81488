"""A network becomes ONNX that answers as torch, or is refused with the reason."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from competition.errors import CompetitionError
from competition.export.networks import to_onnx

pytestmark = pytest.mark.slow


class Blur(nn.Module):
    stride = 8

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(1, 3, 5, padding=2)

    def forward(self, images):
        smaller = nn.functional.max_pool2d(self.layer(images), 4)
        return 3 * nn.functional.interpolate(smaller, size=images.shape[-2:], mode="bilinear")


class ByValue(Blur):
    def forward(self, images):
        return self.layer(images) if images.mean() > 0 else -self.layer(images)


class Drifting(Blur):
    """Answers otherwise each time, as a network that draws random numbers would."""

    def forward(self, images):
        return self.layer(images) + torch.rand(1)


class Views(nn.Module):
    def forward(self, images, present):
        return (images.mean(dim=(2, 3, 4)) * present).sum(dim=1, keepdim=True).repeat(1, 2)


def answer(content, *arrays):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return session.run(None, dict(zip(names, arrays, strict=True)))[0]


def test_rows_and_columns_are_free_and_the_network_is_unchanged():
    network = Blur().to(memory_format=torch.channels_last).eval()
    content = to_onnx(network, 512, None, 1)
    for size in ((8, 24), (136, 64)):
        image = torch.randn(1, 1, *size)
        np.testing.assert_allclose(answer(content, image.numpy()), network(image).detach().numpy(), atol=1e-4)
    assert network.layer.weight.requires_grad


def test_views_of_a_patient_may_be_absent():
    content = to_onnx(Views().eval(), 8, (4, 2), 1)
    images, present = np.ones((1, 4, 1, 8, 8), np.float32), np.array([[True, False, False, True]])
    np.testing.assert_allclose(answer(content, images, present), [[2, 2]])


def test_flow_that_depends_on_values_is_refused_with_its_reason():
    with pytest.raises(CompetitionError) as refused:
        to_onnx(ByValue().eval(), 16, None, 1)
    assert "data-dependent" in refused.value.what
    assert "\n" not in refused.value.what


def test_what_answers_otherwise_than_torch_is_refused():
    with pytest.raises(CompetitionError, match="its output differs from torch's"):
        to_onnx(Drifting().eval(), 16, None, 1)
