from dataclasses import replace
from urllib.error import URLError

import pytest
import torch
from torch import nn

from competition.errors import CompetitionError
from competition.models.factory import ARCHITECTURES, NETWORKS, build_model
from competition.settings import LOSS_OF
from competition.tracks.aneurysm.track import ANEURYSM

import timm  # isort: skip  (after competition.models, which makes it importable)

WITHOUT_WIDTH = ("hidden_layer", "fcn_resnet101", "classical")
# All but DPT, which takes transformers only.
CONVOLUTIONAL = tuple(name for name in ARCHITECTURES if name != "DPT")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", CONVOLUTIONAL)
def test_a_head_without_weights_answers_exactly_the_prior(architecture, shared_hands, tiny_experiment):
    settings = {"architecture": architecture, "decoder_channels": None, "prior": 0.02}
    model = build_model(tiny_experiment(model=settings), shared_hands.track).eval()
    for parameter in model.segmentation_head.parameters():
        if parameter.ndim > 1:
            nn.init.zeros_(parameter)
    with torch.inference_mode():
        probs = model(torch.randn(2, 1, 128, 128)).sigmoid()
    torch.testing.assert_close(probs, torch.full((2, 3, 128, 128), 0.02))


def test_a_fresh_network_answers_about_the_prior(shared_hands, tiny_experiment):
    model = build_model(tiny_experiment(model={"prior": 0.02}), shared_hands.track).eval()
    with torch.inference_mode():
        logits = model(torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)))
    # The weights of the head add noise around its bias; a bias of 0 would answer 0.5.
    assert 0.01 < float(logits.median().sigmoid()) < 0.04


def test_weights_follow_from_the_seed_alone_and_leave_the_random_numbers_of_others(shared_hands, tiny_experiment):
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    first = build_model(tiny_experiment(), shared_hands.track).state_dict()
    assert torch.equal(torch.rand(2), expected)
    again = build_model(tiny_experiment(), shared_hands.track).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = build_model(tiny_experiment(train={"seed": 1}), shared_hands.track).state_dict()
    assert not torch.equal(first["encoder.model.conv1.0.weight"], other["encoder.model.conv1.0.weight"])


def test_decoder_channels_set_the_depth(shared_hands, tiny_experiment):
    model = build_model(tiny_experiment(model={"decoder_channels": [32, 16, 8]}), shared_hands.track)
    assert len(model.decoder.blocks) == 3
    assert model.segmentation_head[0].in_channels == 8


def test_dropout_stands_before_the_head_and_is_silent_in_prediction(shared_hands, tiny_experiment):
    model = build_model(tiny_experiment(model={"dropout": 0.5}), shared_hands.track)
    images = torch.randn(1, 1, 32, 32)
    model.eval()
    assert torch.equal(model(images), model(images))
    for layer in model.modules():
        if isinstance(layer, nn.Dropout2d):
            layer.train()
    assert not torch.equal(model(images), model(images))


def test_colour_images_and_patients_get_the_network_they_need(shared_hands, shared_patients, tiny_experiment):
    colour = build_model(tiny_experiment(), replace(shared_hands.track, channels=3))
    assert colour(torch.zeros(2, 3, 32, 32)).shape == (2, 3, 32, 32)
    patients = build_model(tiny_experiment(multiview=True), shared_patients.track)
    assert patients(torch.zeros(2, 4, 1, 32, 32), torch.ones(2, 4, dtype=torch.bool)).shape == (2, 3)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"architecture": "Unett"}, "unknown architecture 'Unett', did you mean 'Unet'"),
        ({"encoder": "resnet999"}, "can't build Unet with encoder 'resnet999'"),
        ({"architecture": "FPN"}, "can't build FPN with encoder 'tu-test_resnet' .*decoder_channels"),
    ],
)
def test_what_can_not_be_built_is_said(settings, sentence, shared_hands, tiny_experiment):
    with pytest.raises(CompetitionError, match=sentence):
        build_model(tiny_experiment(model=settings), shared_hands.track)


def test_a_segmentation_network_for_patients_is_refused(shared_patients, tiny_experiment):
    with pytest.raises(
        CompetitionError, match=r"tiny_patients needs one of the model\.architecture multiview, .*, not 'Unet'"
    ):
        build_model(tiny_experiment(), shared_patients.track)


WAYS_OUT = r"pretrained weights of {} can't be fetched from the network .*model\.pretrained=false.*model\.init=PATH"


@pytest.fixture
def unreachable(monkeypatch, tmp_path):
    """A machine that has fetched nothing yet and is told not to ask."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["tu-resnet10t", "efficientnet-b0"])
@pytest.mark.usefixtures("unreachable")
def test_weights_for_masks_that_can_not_be_fetched_name_the_ways_out(encoder, shared_hands, tiny_experiment):
    settings = {"encoder": encoder, "pretrained": True}
    with pytest.raises(CompetitionError, match=WAYS_OUT.format(encoder)):
        build_model(tiny_experiment(model=settings), shared_hands.track)
    from_file = tiny_experiment(model=settings | {"init": "some.pt"})
    assert build_model(from_file, shared_hands.track) is not None  # the file is read where training starts


@pytest.mark.parametrize("architecture", ["multiview", "multiview_fused", "contrastive", "reconstructed"])
@pytest.mark.usefixtures("unreachable")
def test_weights_for_patients_that_can_not_be_fetched_name_the_ways_out(architecture, shared_patients, tiny_experiment):
    loss = {"loss": LOSS_OF.get(architecture, "bce_first")}
    settings = {"architecture": architecture, "pretrained": True}
    experiment = tiny_experiment(multiview=True, model=settings, train=loss)
    with pytest.raises(CompetitionError, match=WAYS_OUT.format("test_resnet")):
        build_model(experiment, shared_patients.track)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("init", "pretrained", "expected"),
    [
        (None, True, [True, True, True, True]),
        ("medical.pth", True, [False, False, True, True]),
        ("medical.pth", False, [False] * 4),
    ],
)
def test_medical_weights_replace_those_of_imagenet_in_the_binary_networks_alone(
    monkeypatch, tiny_experiment, init, pretrained, expected
):
    asked, create = [], timm.create_model

    def record(name, pretrained, **options):
        asked.append((name, pretrained))
        return create(name, pretrained=False, **options)

    monkeypatch.setattr("competition.models.multiview.timm.create_model", record)
    settings = {"architecture": "report_fourfold", "encoder": "resnet10t", "anterior_encoder": "test_resnet"}
    settings |= {"pretrained": pretrained, "init": init}
    experiment = tiny_experiment(multiview=True, model=settings, train={"loss": "four_sets"})
    build_model(experiment, ANEURYSM)
    names = ["resnet10t", "resnet10t", "test_resnet", "resnet10t"]  # binary, binary, anterior and posterior locations
    assert asked == list(zip(names, expected, strict=True))
    asked.clear()
    build_model(experiment, ANEURYSM, pretrained=False)  # a checkpoint of the run's own follows
    assert asked == [(name, False) for name in names]


class OlderHubError(FileNotFoundError, ValueError):
    """What huggingface_hub raised before its version 1, of both kinds."""


@pytest.mark.parametrize("reason", [ConnectionError("no route to host"), OlderHubError("not cached")])
def test_whatever_keeps_weights_from_being_fetched(monkeypatch, shared_patients, tiny_experiment, reason):
    def fails(*_, **__):
        raise reason

    monkeypatch.setattr("competition.models.multiview.timm.create_model", fails)
    with pytest.raises(CompetitionError, match=WAYS_OUT.format("test_resnet")):
        build_model(tiny_experiment(multiview=True, model={"pretrained": True}), shared_patients.track)


def test_a_network_from_outside_is_built_by_the_name_it_was_added_under(monkeypatch, shared_hands, tiny_experiment):
    def build(experiment, track):
        head = nn.Conv2d(track.channels, len(track.classes), 1)
        return nn.Sequential(head, nn.Identity() if experiment.model.width == 8 else nn.Sigmoid())

    monkeypatch.setitem(NETWORKS, "mine", build)
    experiment = tiny_experiment(model={"architecture": "mine", "width": 8})
    model = build_model(experiment, shared_hands.track)
    assert (model[0].weight.shape, type(model[1])) == ((3, 1, 1, 1), nn.Identity)
    assert torch.equal(build_model(experiment, shared_hands.track)[0].weight, model[0].weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture", sorted(set(NETWORKS) - {*ARCHITECTURES, "hidden_layer", "fcn_resnet101", "classical"})
)
def test_the_reports_networks_are_built_by_name_and_width(architecture, shared_hands, tiny_experiment):
    settings = {"architecture": architecture, "decoder_channels": None, "width": 2}
    experiment = tiny_experiment(model=settings, data={"size": 256})
    model = build_model(experiment, shared_hands.track).eval()
    with torch.inference_mode():
        logits = model(torch.zeros(1, 1, 256, 256))
    finer = {"unet3plus_ds_2048": 4, "unet3plus_ds_2048_eff": 2}.get(architecture, 1)
    assert logits.shape == (1, 3, finer * 256, finer * 256)
    assert next(model.parameters()).shape[0] == 2


def test_the_hidden_layer_is_made_for_the_size_it_is_trained_on(shared_hands, tiny_experiment):
    settings = {"architecture": "hidden_layer", "decoder_channels": None, "width": 4}
    assert build_model(tiny_experiment(model=settings), shared_hands.track).stride == 32
    cropped = tiny_experiment(model=settings, data={"size": 64, "crop": 32}, predict={"tile": 32})
    assert build_model(cropped, shared_hands.track).stride == 32
    whole = tiny_experiment(model=settings, data={"size": 64, "crop": 32})
    with pytest.raises(CompetitionError, match="hidden_layer trained on 32 pixels can't predict 64"):
        build_model(whole, shared_hands.track)


@pytest.mark.parametrize(
    ("model", "data", "sentence"),
    [
        ({"architecture": "unet3plu"}, {}, "unknown architecture 'unet3plu', did you mean 'unet3plus'"),
        (
            {"architecture": "plain_unet"},
            {},
            "model.decoder_channels is for the decoders of smp; plain_unet has its own",
        ),
        (
            {"width": 8},
            {},
            r"model\.width is for the reports' networks; Unet of smp takes model\.decoder_channels",
        ),
        (
            {"architecture": "plain_unet", "decoder_channels": None, "pretrained": True},
            {},
            r"no pretrained weights of plain_unet\. Use --set model\.pretrained=false",
        ),
        (
            {"architecture": "fcn_resnet101", "decoder_channels": None, "width": 8},
            {},
            r"model\.width can't be changed in fcn_resnet101",
        ),
        (
            {"architecture": "unet3plus_ds_2048_eff", "decoder_channels": None, "width": 2},
            {"size": 512, "crop": 288},
            r"data\.crop 288 is not a multiple of 256, .*data\.crop=N with N for example 256 or 512",
        ),
        (
            {"architecture": "FPN", "decoder_channels": None},
            {"size": 40},
            r"data\.size 40 is not a multiple of 32, which FPN needs.*32 or 64",
        ),
    ],
)
def test_what_does_not_go_together_is_said(model, data, sentence, shared_hands, tiny_experiment):
    with pytest.raises(CompetitionError, match=sentence):
        build_model(tiny_experiment(model=model, data=data), shared_hands.track)


def test_a_tile_that_the_network_can_not_halve_is_refused_before_training(shared_hands, tiny_experiment):
    settings = {"architecture": "plain_unet", "decoder_channels": None, "width": 2}
    experiment = tiny_experiment(model=settings, data={"size": 64}, predict={"tile": 40})
    with pytest.raises(CompetitionError, match=r"predict\.tile 40 is not a multiple of 16.*32 or 48"):
        build_model(experiment, shared_hands.track)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["tu-swin_tiny_patch4_window7_224", "tu-swinv2_cr_tiny_ns_224"])
def test_swin_encoders_take_images_of_any_size(encoder, shared_hands, tiny_experiment):
    settings = {"architecture": "UPerNet", "encoder": encoder, "decoder_channels": None}
    model = build_model(tiny_experiment(model=settings, data={"size": 96}), shared_hands.track).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 1, 96, 64)).shape == (1, 3, 96, 64)


def test_weights_of_torchvision_that_can_not_be_fetched_name_the_ways_out(monkeypatch, shared_hands, tiny_experiment):
    def unreachable(**_):
        raise URLError("no route to host")

    monkeypatch.setattr("competition.models.reports.fcn_resnet101.fcn_resnet101", unreachable)
    settings = {"architecture": "fcn_resnet101", "decoder_channels": None, "pretrained": True}
    with pytest.raises(CompetitionError, match=WAYS_OUT.format("fcn_resnet101")):
        build_model(tiny_experiment(model=settings), shared_hands.track)
