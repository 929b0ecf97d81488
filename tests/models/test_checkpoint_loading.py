from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from competition.errors import CompetitionError
from competition.models.checkpoint_loading import bare_name, fit_shape, load_weights, read_checkpoint, weights_in
from competition.models.factory import build_model

from timm import create_model  # isort: skip  (after competition.models, which makes timm importable)


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_a_warm_start_loads_what_fits_and_lists_the_rest(shared_hands, tiny_experiment):
    source = build_model(tiny_experiment(train={"seed": 1}), replace(shared_hands.track, classes=("a", "b")))
    target = build_model(tiny_experiment(), shared_hands.track)
    before = weights_of(target)
    stored = weights_of(source)
    del stored["encoder.model.conv1.0.weight"]
    stored["elsewhere"] = torch.zeros(1)
    loaded = load_weights(target, stored, Path("other.pt"))
    assert loaded.unmatched == (
        "encoder.model.conv1.0.weight (16, 1, 3, 3) is not in the checkpoint and keeps its random weights",
        "segmentation_head.0.weight is (2, 8, 3, 3) in the checkpoint, (3, 8, 3, 3) here, and keeps its random weights",
        "segmentation_head.0.bias is (2,) in the checkpoint, (3,) here, and keeps its random weights",
        "elsewhere of the checkpoint has no place here",
    )
    assert loaded.changed == ()
    fresh = {"encoder.model.conv1.0.weight", "segmentation_head.0.weight", "segmentation_head.0.bias"}
    assert set(loaded.names) == set(before) - fresh
    for name, value in target.state_dict().items():
        assert torch.equal(value, before[name] if name in fresh else stored[name])


def medical_resnet18(prefix="module."):
    """A checkpoint as MedicalNet leaves it: 3D kernels, one grey channel, no downsample layers, a segmentation head."""
    torch.manual_seed(1)
    weights = {}
    for name, value in create_model("resnet18", in_chans=1, num_classes=0).state_dict().items():
        if "downsample" in name:
            continue
        if value.ndim == 4:
            value = torch.randn(*value.shape[:2], value.shape[-1], *value.shape[2:])
        weights[prefix + name] = value + torch.rand(()) if value.is_floating_point() else value + 5
    weights[prefix + "conv_seg.0.weight"] = torch.randn(512, 32, 2, 2, 2)
    return weights


@pytest.mark.slow
def test_a_medical_resnet_finds_its_place_in_the_encoder_of_a_patients_classifier(
    tmp_path, shared_patients, tiny_experiment
):
    path = tmp_path / "resnet_18_23dataset.pth"
    stored = medical_resnet18()
    torch.save({"state_dict": stored, "optimizer": {}}, path)
    settings = {"encoder": "resnet18", "pretrained": True, "init": str(path)}
    model = build_model(tiny_experiment(multiview=True, model=settings), shared_patients.track)
    before = weights_of(model)
    loaded = load_weights(model, weights_in(read_checkpoint(path), path), path)
    encoder = {name for name in before if name.startswith("encoder.")}
    shortcuts = {name for name in encoder if "downsample" in name}
    assert len(shortcuts) == 18  # three layers, each a convolution and five tensors of its normalisation
    assert set(loaded.names) == encoder - shortcuts
    kernels = [name for name in loaded.names if before[name].ndim == 4]
    assert len(kernels) == 17
    assert [sentence.split()[0] for sentence in loaded.changed] == kernels
    assert loaded.changed[0] == ("encoder.conv1.weight is (64, 1, 7, 7, 7) in the checkpoint; its depth axis is summed")
    for name, value in model.state_dict().items():
        if name in loaded.names:
            source = stored["module." + name.removeprefix("encoder.")].double()
            source = sum(source[:, :, depth] for depth in range(source.shape[2])) if source.ndim == 5 else source
            torch.testing.assert_close(value.double(), source, rtol=1e-4, atol=1e-5)
        else:
            assert torch.equal(value, before[name])
    assert "module.conv_seg.0.weight of the checkpoint has no place here" in loaded.unmatched
    assert (
        "encoder.layer2.0.downsample.0.weight (128, 64, 1, 1) is not in the checkpoint and keeps its random weights"
        in (loaded.unmatched)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "prefix", ["", "encoder.", "backbone.", "module.backbone.", "model.encoder.", "encoder.model."]
)
def test_prefixes_of_other_programs_do_not_matter(prefix, shared_hands, tiny_experiment):
    settings = {"encoder": "resnet18", "decoder_channels": [16, 8]}
    model = build_model(tiny_experiment(model=settings), shared_hands.track)
    stored = {name: value for name, value in medical_resnet18(prefix).items() if value.ndim < 5}
    kernel = torch.randn(64, 64, 3, 3)
    stored[prefix + "layer1.0.conv1.weight"] = kernel
    load_weights(model, stored, Path("other.pt"))
    assert torch.equal(model.encoder.layer1[0].conv1.weight, kernel)
    assert torch.equal(model.encoder.bn1.running_var, stored[prefix + "bn1.running_var"])


def test_the_whole_name_comes_before_the_name_without_prefixes():
    model = nn.ModuleDict({"encoder": nn.Linear(2, 2), "backbone": nn.Linear(2, 2)})
    stored = {f"{part}.weight": torch.full((2, 2), value) for part, value in (("encoder", 1.0), ("backbone", 2.0))}
    load_weights(model, stored, Path("other.pt"))
    assert (model["encoder"].weight == 1).all()
    assert (model["backbone"].weight == 2).all()


def test_two_tensors_of_one_name_but_for_the_prefix_are_an_error_that_names_both():
    model = nn.ModuleDict({"body": nn.Linear(2, 2, bias=False)})
    stored = {f"{part}.body.weight": torch.full((2, 2), value) for part, value in (("encoder", 1.0), ("backbone", 2.0))}
    with pytest.raises(
        CompetitionError, match=r"encoder\.body\.weight and backbone\.body\.weight both fit body\.weight"
    ):
        load_weights(model, stored, Path("other.pt"))
    stored["body.weight"] = torch.full((2, 2), 3.0)  # the exact name is no question
    load_weights(model, stored, Path("other.pt"))
    assert (model["body"].weight == 3).all()


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("module.encoder.conv1.weight", "conv1.weight"),
        ("decoder.encoder.weight", "decoder.encoder.weight"),
        ("encoders.weight", "encoders.weight"),
        ("backbone.model.module.bn1.bias", "bn1.bias"),
        ("encoder.model.layers_0.blocks.10.norm1.bias", "layers.0.blocks.10.norm1.bias"),
        ("conv_seg.0.weight", "conv_seg.0.weight"),
        ("block_1x1.weight", "block_1x1.weight"),
    ],
)
def test_only_whole_prefixes_in_front_are_taken_off(name, bare):
    assert bare_name(name) == bare


def test_a_kernel_summed_over_depth_gives_what_the_volume_of_equal_slices_gave():
    kernel, picture = torch.randn(4, 2, 3, 3, 3), torch.randn(1, 2, 9, 8)
    flat, how = fit_shape(kernel, torch.Size([4, 2, 3, 3]))
    volume = picture[:, :, None].expand(-1, -1, 5, -1, -1)
    expected = F.conv3d(volume, kernel, padding=1)[:, :, 2]
    torch.testing.assert_close(F.conv2d(picture, flat, padding=1), expected, rtol=1e-4, atol=1e-4)
    assert how == "its depth axis is summed"


def test_a_kernel_summed_over_colours_gives_what_equal_colours_gave():
    kernel, picture = torch.randn(4, 3, 3, 3), torch.randn(1, 1, 9, 8)
    grey, how = fit_shape(kernel, torch.Size([4, 1, 3, 3]))
    expected = F.conv2d(picture.expand(-1, 3, -1, -1), kernel)
    torch.testing.assert_close(F.conv2d(picture, grey), expected, rtol=1e-4, atol=1e-4)
    assert how == "its three colours are summed to grey"


def test_a_coloured_volume_kernel_is_summed_twice_and_other_shapes_are_refused():
    value, how = fit_shape(torch.ones(2, 3, 5, 7, 7), torch.Size([2, 1, 7, 7]))
    assert (value == 15).all()
    assert how == "its depth axis is summed and its three colours are summed to grey"
    for found, wanted in [((2, 1, 7, 7), (2, 3, 7, 7)), ((2, 2, 3, 3), (2, 1, 3, 3)), ((2, 1, 3, 3, 3), (2, 1, 5, 5))]:
        assert fit_shape(torch.ones(found), torch.Size(wanted)) == (None, "")


@pytest.mark.parametrize(
    "stored",
    [{"weight": torch.zeros(9, 9), "other": torch.zeros(1)}, {"bias": torch.zeros(3)}],
    ids=["nothing", "a bias alone"],
)
def test_a_checkpoint_of_which_nothing_fits_is_an_error(stored):
    model = nn.Linear(2, 3)
    before = weights_of(model)
    with pytest.raises(CompetitionError, match=r"no layer of the checkpoint fits this model: other\.pt"):
        load_weights(model, stored, Path("other.pt"))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"weights": w}, lambda w: {"model": w, "epoch": 3}])
def test_weights_are_found_in_our_checkpoints_and_in_plain_state_dicts(tmp_path, wrap):
    weights = {"layer": torch.arange(3.0)}
    torch.save(wrap(weights), tmp_path / "some.pt")
    assert torch.equal(
        weights_in(read_checkpoint(tmp_path / "some.pt"), tmp_path / "some.pt")["layer"], weights["layer"]
    )


def test_a_file_without_weights_is_named(tmp_path):
    path = tmp_path / "some.pt"
    with pytest.raises(CompetitionError, match=r"checkpoint not found: .*some\.pt"):
        weights_in(read_checkpoint(path), path)
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(CompetitionError, match=r"checkpoint can't be read .*some.pt"):
        weights_in(read_checkpoint(path), path)
    for content in ([1, 2], {"epoch": 3}, torch.zeros(2)):
        torch.save(content, path)
        with pytest.raises(CompetitionError, match=r"checkpoint holds no weights: .*some.pt"):
            weights_in(read_checkpoint(path), path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "encoder", "file_of"),
    [
        ("UPerNet", "tu-swin_tiny_patch4_window7_224", "swin_tiny_patch4_window7_224"),
        ("Unet", "tu-resnet10t", "resnet10t"),
    ],
)
def test_a_file_fetched_from_the_hub_by_hand_starts_the_whole_encoder(
    tmp_path, shared_hands, tiny_experiment, architecture, encoder, file_of
):
    torch.manual_seed(2)
    path = tmp_path / "model.safetensors"
    source = create_model(file_of, in_chans=3)
    save_file(source.state_dict(), path)
    settings = {"architecture": architecture, "encoder": encoder, "decoder_channels": None}
    model = build_model(tiny_experiment(model=settings, data={"size": 64}), shared_hands.track)
    own = [name for name in model.state_dict() if name.startswith("encoder.")]
    loaded = load_weights(model, weights_in(read_checkpoint(path), path), path)
    fresh = [name for name in own if name not in loaded.names]
    assert not [name for name in fresh if "norm" not in name], fresh  # smp asks for a norm of each level, timm for one
    assert len(loaded.names) > 0.9 * len(own)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CompetitionError, match=r"checkpoint can't be read .*model\.safetensors"):
        read_checkpoint(path)
