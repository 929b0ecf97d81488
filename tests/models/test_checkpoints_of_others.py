"""Checkpoints of other programs: under any key, behind any prefix, and none that takes more than its file holds."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from competition.errors import CompetitionError
from competition.models import checkpoint_loading
from competition.models.checkpoint_loading import load_weights, read_checkpoint, weights_in


def network() -> nn.Module:
    """As ours are: an encoder, a decoder and a head."""
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "encoder": nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Conv2d(4, 8, 3))),
            "decoder": nn.Sequential(nn.Conv2d(8, 4, 3)),
            "head": nn.Conv2d(4, 2, 1),
        }
    )


def other_weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.rand_like(value.float()).to(value.dtype) for name, value in network().state_dict().items()}


def check_loaded(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    model = network()
    loaded = load_weights(model, weights, Path("theirs.pt"))
    assert set(loaded.names) == set(expected)
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize(
    "prefix",
    ["net.", "_orig_mod.", "module._orig_mod.", "my_unet.", "trainer.model.net.", "segmentor.0.", "model.net."],
)
def test_any_prefix_that_all_names_share_is_left_out(prefix: str) -> None:
    expected = other_weights()
    check_loaded({prefix + name: value for name, value in expected.items()}, expected)


def test_a_prefix_that_most_names_share_is_left_out_too() -> None:
    expected = other_weights()
    stored = {"net." + name: value for name, value in expected.items()}
    check_loaded({"criterion.class_weights": torch.ones(2), **stored, "teacher.scale": torch.ones(1)}, expected)


def test_compiled_parts_within_a_network_are_found() -> None:
    expected = other_weights()
    stored = {name.replace("encoder.", "encoder._orig_mod."): value for name, value in expected.items()}
    check_loaded({"net." + name: value for name, value in stored.items()}, expected)


def test_the_name_of_a_part_is_no_prefix() -> None:
    """Most tensors are the encoder's; without "encoder." their names would be those of the decoder."""
    expected = other_weights()
    check_loaded(expected, expected)
    stored = {name: value for name, value in expected.items() if name.startswith("encoder.")}
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_weights(model, stored, Path("theirs.pt"))
    assert torch.equal(model.state_dict()["decoder.0.weight"], before["decoder.0.weight"])
    assert torch.equal(model.state_dict()["encoder.0.weight"], expected["encoder.0.weight"])


def test_where_nothing_fits_three_names_of_each_side_are_shown() -> None:
    stored = {f"backbone.stage{number}.conv.weight": torch.zeros(7, 7, 7, 7) for number in range(5)}
    with pytest.raises(CompetitionError) as caught:
        load_weights(network(), stored, Path("theirs.pt"))
    sentence = str(caught.value)
    assert "no layer of the checkpoint fits this model: theirs.pt" in sentence
    for name in (*list(stored)[:3], *list(network().state_dict())[:3]):
        assert name in sentence


WRAPS = {
    "net": lambda w: {"net": w, "iter": 7},
    "ema": lambda w: {"epoch": 3, "best": torch.tensor(0.9), "ema": w},
    "nested": lambda w: {"meta": {"classes": ["a"]}, "checkpoint": {"params": {"g": w}}},
    "beside numbers": lambda w: {**w, "epoch": 3, "lr": 0.1},
    "ordered": lambda w: OrderedDict(state_dict=OrderedDict(w)),
    "beside the optimizer": lambda w: {
        "optimizer": {
            "state": {0: {"exp_avg": torch.zeros(9, 9), "exp_avg_sq": torch.zeros(9, 9)}},
            "param_groups": [],
        },
        "whatever": w,
    },
    "beside statistics": lambda w: {"normalisation": {"mean": torch.zeros(1), "std": torch.ones(1)}, "whatever": w},
    "with its average": lambda w: {"average": {n: v * 0 for n, v in w.items()}, "model": w},
}


@pytest.mark.parametrize("wrap", WRAPS)
def test_the_weights_are_found_under_any_key(tmp_path: Path, wrap: str) -> None:
    path, weights = tmp_path / "theirs.pt", other_weights()
    torch.save(WRAPS[wrap](weights), path)
    found = weights_in(read_checkpoint(path), path)
    assert list(found) == list(weights)
    assert all(torch.equal(found[name], value) for name, value in weights.items())


def test_several_networks_are_named_and_none_is_guessed(tmp_path: Path) -> None:
    path = tmp_path / "theirs.pt"
    torch.save({"generator": other_weights(), "critic": {f"c{i}.weight": torch.zeros(2, 2) for i in range(9)}}, path)
    with pytest.raises(
        CompetitionError, match=r"several networks \(generator, critic\): .*theirs\.pt\. Save the state_d"
    ):
        weights_in(read_checkpoint(path), path)


def test_parameters_lose_their_gradients(tmp_path: Path) -> None:
    path = tmp_path / "theirs.pt"
    torch.save({"weight": nn.Parameter(torch.ones(2, 2))}, path)
    assert not weights_in(read_checkpoint(path), path)["weight"].requires_grad


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.pt"
    torch.save(network(), path)
    with pytest.raises(CompetitionError, match=r"pickled code, which is not run.*theirs\.pt\. Save the state_dict"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps({"weight": print}))
    with pytest.raises(CompetitionError, match=r"pickled code, which is not run.*theirs\.pt\. Save the state_dict"):
        read_checkpoint(path)


def test_a_tensor_that_is_far_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.pt"
    torch.save({"weight": torch.zeros(1).expand(40_000, 40_000)}, path)
    assert path.stat().st_size < 10_000  # and 6.4 GB once it is copied
    with pytest.raises(CompetitionError, match=r"need 6\.4 GB, more than it holds: .*theirs\.pt"):
        weights_in(read_checkpoint(path), path)


def test_a_zip_that_inflates_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_loading, "SPARE_BYTES", 1 << 20)
    path, piece = tmp_path / "theirs.pt", bytes(1 << 20)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("archive/data/0", "w", force_zip64=True) as file,
    ):
        for _ in range(20):
            file.write(piece)
    assert path.stat().st_size < 200_000
    with pytest.raises(CompetitionError, match=r"it inflates to 20,971,520 bytes.*theirs\.pt"):
        read_checkpoint(path)


@pytest.mark.parametrize("tensor", [torch.zeros(3, device="meta"), torch.eye(3).to_sparse()], ids=["meta", "sparse"])
def test_what_is_no_plain_tensor_is_named(tmp_path: Path, tensor: torch.Tensor) -> None:
    path = tmp_path / "theirs.pt"
    torch.save({"weight": tensor}, path)
    with pytest.raises(CompetitionError, match=r"theirs\.pt"):
        weights_in(read_checkpoint(path), path)
