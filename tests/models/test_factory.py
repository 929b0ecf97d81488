from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from competition.errors import CompetitionError
from competition.models.factory import ARCHITECTURES, build_model, load_weights, read_weights

# All but DPT, which takes transformers only.
CONVOLUTIONAL = tuple(name for name in ARCHITECTURES if name != "DPT")


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


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
        ({"architecture": "FPN"}, "can't build FPN with encoder 'tu-resnet10t' .*decoder_channels"),
    ],
)
def test_what_can_not_be_built_is_said(settings, sentence, shared_hands, tiny_experiment):
    with pytest.raises(CompetitionError, match=sentence):
        build_model(tiny_experiment(model=settings), shared_hands.track)


def test_a_segmentation_network_for_patients_is_refused(shared_patients, tiny_experiment):
    with pytest.raises(CompetitionError, match=r"tiny_patients needs model\.architecture multiview, not 'Unet'"):
        build_model(tiny_experiment(), shared_patients.track)


def test_weights_that_can_not_be_fetched_name_the_ways_out(monkeypatch, shared_patients, tiny_experiment):
    def unreachable(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("competition.models.multiview.timm.create_model", unreachable)
    with pytest.raises(CompetitionError, match=r"resnet10t can't be fetched .*model.pretrained=false.*model.init=PATH"):
        build_model(tiny_experiment(multiview=True, model={"pretrained": True}), shared_patients.track)


def test_a_warm_start_loads_what_fits_and_lists_the_rest(shared_hands, tiny_experiment):
    source = build_model(tiny_experiment(train={"seed": 1}), replace(shared_hands.track, classes=("a", "b")))
    target = build_model(tiny_experiment(), shared_hands.track)
    before = weights_of(target)
    stored = weights_of(source)
    del stored["encoder.model.conv1.0.weight"]
    stored["elsewhere"] = torch.zeros(1)
    assert load_weights(target, stored, Path("other.pt")) == [
        "encoder.model.conv1.0.weight (24, 1, 3, 3) is not in the checkpoint and stays fresh",
        "segmentation_head.0.weight is (2, 8, 3, 3) in the checkpoint, (3, 8, 3, 3) here, and stays fresh",
        "segmentation_head.0.bias is (2,) in the checkpoint, (3,) here, and stays fresh",
        "elsewhere of the checkpoint has no place here",
    ]
    fresh = {"encoder.model.conv1.0.weight", "segmentation_head.0.weight", "segmentation_head.0.bias"}
    for name, value in target.state_dict().items():
        assert torch.equal(value, before[name] if name in fresh else stored[name])


def test_a_checkpoint_of_which_nothing_fits_is_an_error():
    with pytest.raises(CompetitionError, match=r"no layer of the checkpoint fits this model: other\.pt"):
        load_weights(nn.Linear(2, 3), {"weight": torch.zeros(9, 9), "other": torch.zeros(1)}, Path("other.pt"))


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"weights": w}, lambda w: {"model": w, "epoch": 3}])
def test_weights_are_found_in_our_checkpoints_and_in_plain_state_dicts(tmp_path, wrap):
    weights = {"layer": torch.arange(3.0)}
    torch.save(wrap(weights), tmp_path / "some.pt")
    assert torch.equal(read_weights(tmp_path / "some.pt")["layer"], weights["layer"])


def test_a_file_without_weights_is_named(tmp_path):
    path = tmp_path / "some.pt"
    with pytest.raises(CompetitionError, match=r"checkpoint not found: .*some\.pt"):
        read_weights(path)
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(CompetitionError, match=r"checkpoint can't be read .*some.pt"):
        read_weights(path)
    for content in ([1, 2], {"epoch": 3}, torch.zeros(2)):
        torch.save(content, path)
        with pytest.raises(CompetitionError, match=r"checkpoint holds no weights: .*some.pt"):
            read_weights(path)
