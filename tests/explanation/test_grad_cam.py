"""Grad-CAM against arithmetic by hand, and against the package grad-cam for five families of encoders."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from competition.errors import CompetitionError
from competition.explanation.grad_cam import grad_cam
from competition.models import torchvision_ops  # noqa: F401  (must come before smp and timm)
from competition.models.multiview import MultiViewClassifier
from competition.models.multiview_fused import FusedMultiViewClassifier
from competition.models.reports.cardiac_lab import HiddenLayer, LabFCN
from competition.models.reports.classical_spine import ClassicalSpine
from competition.models.reports.four_fold import ReportFourFold
from competition.models.reports.plain_unet import PlainUNet
from competition.models.reports.unet3plus import UNet3Plus
from competition.tracks.aneurysm.track import ANEURYSM

import segmentation_models_pytorch as smp  # isort: skip

SIDE = 64


class TwoChannels(nn.Module):
    """Features 2x and 3x of the image x; the answer is 5 times the first's sum minus 7 times the second's first row."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Conv2d(1, 2, 1, bias=False)
        self.encoder.num_features = 2
        with torch.no_grad():
            self.encoder.weight.copy_(torch.tensor([2.0, 3.0]).view(2, 1, 1, 1))

    def forward(self, images):
        features = self.encoder(images)
        return 5 * features[:, 0].sum(dim=(1, 2)) - 7 * features[:, 1, 0].sum(dim=1)


def test_a_map_is_what_follows_from_gradient_and_activation_by_hand():
    network = TwoChannels().eval()
    image = torch.tensor([[[[1.0, 2.0], [-3.0, 4.0]]]])
    # The mean gradients are 5 and -7/2, so the map is relu(5 * 2x - 3.5 * 3x) = relu(-0.5 x).
    np.testing.assert_allclose(grad_cam(network, (image,), torch.sum), [[[0, 0], [1.5, 0]]])
    # The negative answer turns the signs.
    np.testing.assert_allclose(grad_cam(network, (image,), lambda logits: -logits.sum()), [[[0.5, 1], [0, 2]]])


def test_the_answer_of_one_image_says_nothing_of_another():
    network = TwoChannels().eval()
    images = -torch.ones(2, 1, 2, 2)
    maps = grad_cam(network, (images,), lambda logits: logits[1])
    np.testing.assert_allclose(maps, [np.zeros((2, 2)), np.full((2, 2), 0.5)])


def test_parameters_random_numbers_and_hooks_stay_as_they_were():
    network = smp.create_model("Unet", "tu-resnet10t", encoder_weights=None, in_channels=1, classes=2).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random = torch.random.get_rng_state()
    image = torch.ones(1, 1, SIDE, SIDE)
    with torch.no_grad():
        grad_cam(network, (image,), lambda logits: logits[0, 0].sum())
    assert torch.equal(random, torch.random.get_rng_state())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
    assert not image.requires_grad


def test_a_network_that_is_training_is_refused():
    with pytest.raises(ValueError, match="evaluation mode"):
        grad_cam(TwoChannels(), (torch.ones(1, 1, 2, 2),), torch.sum)


def test_features_of_a_single_position_and_answers_without_gradient_are_refused():
    network = MultiViewClassifier("resnet10t", False, 1, 3, 2, None, 32, 0.1, 0.0).eval()
    inputs = (torch.ones(1, 2, 1, 32, 32), torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(CompetitionError, match=r"single position at this size\. Train it with a larger data\.size\."):
        grad_cam(network, inputs, torch.sum)

    class Constant(TwoChannels):
        def forward(self, images):
            return self.encoder(images).detach() + images.sum()

    with pytest.raises(CompetitionError, match="Constant: its answer has no gradient there"):
        grad_cam(Constant().eval(), (torch.ones(1, 1, 2, 2),), torch.sum)


def test_of_networks_without_an_encoder_the_map_of_most_channels_is_explained():
    network = LabFCN(1, 2, 0.3, width=4).eval()
    image = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    (cam,) = grad_cam(network, (image,), lambda logits: logits[0, 1].sum())
    (negative,) = grad_cam(network, (image,), lambda logits: -logits[0, 1].sum())
    assert cam.shape == (4, 4)
    assert (cam - negative).any()


def test_networks_that_grad_cam_can_not_explain_are_named():
    images, present = torch.rand(1, 8, 1, SIDE, SIDE), torch.ones(1, 8, dtype=torch.bool)
    views = ReportFourFold(
        "test_resnet", "test_resnet", False, False, 1, ANEURYSM.classes, ANEURYSM.views, SIDE, 0.2, 0
    )
    with pytest.raises(CompetitionError, match=r"ReportFourFold: its (answer|encoders see 4 of 8)"):
        grad_cam(views.eval(), (images, present), lambda logits: logits[0, 1])
    for network in (HiddenLayer(1, 6, 0.3, SIDE, width=4), ClassicalSpine(1, 6, 0.3)):
        with pytest.raises(CompetitionError, match="it has no deep features"):
            grad_cam(network.eval(), (images[0, :1],), lambda logits: logits[0, 1].sum())


@pytest.mark.parametrize("network", [PlainUNet(1, 2, 0.3, width=4), UNet3Plus(1, 2, 0.3, width=4)])
def test_of_own_networks_the_deepest_level_is_explained(network):
    network.eval()
    seen = []
    network.encoder[-1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    image = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    (cam,) = grad_cam(network, (image,), lambda logits: logits[0, 1].sum()).numpy()
    features = seen[0].detach().requires_grad_()
    network.encoder[-1].register_forward_hook(lambda module, inputs, output: features)
    (gradient,) = torch.autograd.grad(network(image)[0, 1].sum(), features)
    expected = sum(g.mean() * a for g, a in zip(gradient[0].numpy(), features[0].detach().numpy(), strict=True))
    assert cam.shape == (4, 4)
    np.testing.assert_allclose(cam, np.maximum(expected, 0), rtol=1e-4, atol=1e-7)


def test_maps_of_views_that_the_network_mirrors_are_mirrored_back(shared_patients):
    torch.manual_seed(0)
    network = FusedMultiViewClassifier("resnet10t", False, shared_patients.track, 96, 0.1, 0.0).eval()
    turned = network.turned.tolist()
    assert True in turned
    assert False in turned
    images = torch.randn(1, 4, 1, 96, 96, generator=torch.Generator().manual_seed(0))
    present = torch.ones(1, 4, dtype=torch.bool)
    target = next(t for t in (torch.sum, lambda logits: -logits.sum()) if grad_cam(network, (images, present), t).any())
    maps = grad_cam(network, (images, present), target)
    two = (images.repeat(2, 1, 1, 1, 1), present.repeat(2, 1))
    twice = grad_cam(network, two, lambda logits: target(logits[1:]))
    np.testing.assert_allclose(twice, torch.cat([torch.zeros_like(maps), maps]), atol=1e-6)  # a second patient
    # The same network without the flips sees the same if it is given flipped images, and answers with flipped maps.
    network.turned = torch.zeros(4, dtype=torch.bool)
    flips = torch.tensor(turned)[None, :, None, None, None]
    flipped = grad_cam(network, (torch.where(flips, images.flip(-1), images), present), target)
    assert any(maps[view].any() for view, is_turned in enumerate(turned) if is_turned)
    for view, is_turned in enumerate(turned):
        np.testing.assert_allclose(maps[view], flipped[view].flip(-1) if is_turned else flipped[view])


FAMILIES = {
    "resnet10t": lambda network: network.layer4,
    "densenet121": lambda network: network.features,
    "convnext_atto": lambda network: network.stages,
    "efficientnet_b0": lambda network: network.bn2,
    "swin_tiny_patch4_window7_224": lambda network: network.norm,
}
SMP_FAMILIES = {
    "resnet18": ("Unet", lambda encoder: encoder.layer4),
    "densenet121": ("Unet", lambda encoder: encoder.features.norm5),
    "tu-convnext_atto": ("FPN", lambda encoder: encoder.model.stages_3),
    "efficientnet-b0": ("Unet", lambda encoder: encoder._blocks[-1]),
    "tu-swin_tiny_patch4_window7_224": ("FPN", lambda encoder: encoder.model.layers_3),
}


def package():
    return pytest.importorskip("pytorch_grad_cam", reason="needs: pip install --no-deps grad-cam tqdm")


def scaled(cam, side):
    """As the package gives a map: stretched to 0..1 and enlarged, then stretched again."""
    for _ in range(2):
        cam = cam - cam.min()
        cam = cv2.resize(cam / (1e-7 + cam.max()), (side, side))
    return cam


def channels_first(features):
    return features.permute(0, 3, 1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", FAMILIES)
def test_maps_of_a_patients_views_equal_those_of_the_package(encoder):
    cam_of = package().GradCAM
    torch.manual_seed(0)
    network = MultiViewClassifier(encoder, False, 1, 8, 2, None, SIDE, 0.1, 0.0).eval()
    images, present = torch.randn(1, 2, 1, SIDE, SIDE), torch.ones(1, 2, dtype=torch.bool)
    all_maps = [grad_cam(network, (images, present), lambda logits, c=c: logits[0, c]).numpy() for c in range(8)]
    index = int(np.argmax([maps.max() for maps in all_maps]))  # of random weights, some classes have empty maps
    ours = all_maps[index]

    class Patient(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, views):
            return self.network(views[None], present)

    reshape = channels_first if encoder.startswith("swin") else None
    with cam_of(Patient(), [FAMILIES[encoder](network.encoder)], reshape) as explain:
        theirs = explain(images[0], [lambda logits: logits[index]])
    assert ours.max() > 0
    np.testing.assert_allclose([scaled(cam, SIDE) for cam in ours], theirs, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", SMP_FAMILIES)
def test_maps_of_a_segmentation_equal_those_of_the_package(encoder):
    cam_of = package().GradCAM
    torch.manual_seed(1)
    architecture, layer = SMP_FAMILIES[encoder]
    options = {"strict_img_size": False} if "swin" in encoder else {}
    network = smp.create_model(architecture, encoder, encoder_weights=None, in_channels=1, classes=2, **options).eval()
    image = torch.randn(1, 1, SIDE, SIDE)
    mask = network(image)[0, 1].detach() > 0
    (ours,) = grad_cam(network, (image,), lambda logits: logits[0, 1][mask].sum()).numpy()
    reshape = channels_first if "swin" in encoder else None
    with cam_of(network, [layer(network.encoder)], reshape) as explain:
        (theirs,) = explain(image, [lambda logits: (logits[1] * mask).sum()])
    assert ours.max() > 0
    np.testing.assert_allclose(scaled(ours, SIDE), theirs, atol=1e-5)
