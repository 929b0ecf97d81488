"""export writes a model file that predicts as the runs do: masks but for 1e-4 of the pixels, tables to 1e-5."""

import re
import shutil
import sys
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from predicted_files import CLASSES, add_second_run, edit, list_hands, list_patients, masks_in
from safetensors.torch import load

import competition.export.faster
import competition.export.runtime
import competition.export.writing
import pipelines.context
from competition.data.cache import read_cached_planes
from competition.ensembling.decision import load_decision
from competition.ensembling.expectation import expect_of_folds
from competition.errors import CompetitionError
from competition.export.faster import Times
from competition.export.package import read_package
from competition.formats.json_files import read_json
from competition.masks.bit_planes import unpack_class
from competition.prediction.probability_maps import read_map
from competition.training.checkpoints import load_trained, save_trained

pytestmark = pytest.mark.slow


@pytest.fixture
def known(monkeypatch):
    """Makes a track known to the stages and to model files."""

    def make(track):
        monkeypatch.setattr(pipelines.context, "get_track", lambda name: track)
        monkeypatch.setattr(competition.export.runtime, "get_track", lambda name: track)
        return track

    return make


@pytest.mark.exhaustive
def test_masks_are_those_of_two_runs_of_which_one_is_cropped_by_the_other(
    hands_with_run, shared_hands, known, new_hands, tiny_experiment, stage, refusal, tmp_path
):
    track = known(replace(shared_hands.track, list_test=list_hands))
    crop = {"run": "quick", "classes": ["square"], "margin": 0.5}
    data = {"crop_to": crop, "classes": ["bar", "square"], "size": 64}
    predict = {"views": ["identity", "hflip", "scale75"], "tile": 32}
    add_second_run(hands_with_run, track, tiny_experiment(data=data, predict=predict, model={"prior": 0.3}))
    stage("tune", "--members", "quick,second:0", "--weights", "3,2", "--name", "both")
    edit(hands_with_run, "both", operations={"disc": "surest+fill", "square": "none", "bar": "drop<25px"})
    model = tmp_path / "model.zip"
    figures, said = stage("export", "--decision", "both", "--out", model)
    assert figures["networks"] == 3  # the first stage is quick itself, which is not stored twice
    assert f"./run.sh predict {model} IMAGE..." in said
    expected, _ = stage("predict", new_hands, "--decision", "both", "--out", tmp_path / "torch")
    shutil.rmtree(hands_with_run.root)  # a model file needs no workspace
    found, said = stage("predict", model, new_hands, "--out", tmp_path / "onnx")
    assert "decision both of track tiny_hands, 3 classes" in said
    for name in ("hand1", "hand10", "hand11"):
        masks = [masks_in(tmp_path / folder, name) for folder in ("torch", "onnx")]
        assert masks[0].any()
        assert np.mean(masks[0] != masks[1]) <= 1e-4
        files = [cv2.imread(str(tmp_path / folder / f"{name}.disagreement.png"), -1) for folder in ("torch", "onnx")]
        assert np.abs(files[0].astype(int) - files[1]).max() <= 8
        assert np.mean(files[0] != files[1]) <= 1e-2
    for one, other in zip(expected["rows"], found["rows"], strict=True):
        assert one["fold_dice"] == pytest.approx(other["fold_dice"], abs=0.01)
    assert [path.name for path in sorted((tmp_path / "torch").iterdir())] == [
        path.name for path in sorted((tmp_path / "onnx").iterdir())
    ]
    _check_content(model)
    error, _ = refusal("predict", model, new_hands, "--decision", "both", "--out", tmp_path / "no")
    assert "a model file holds one decision" in error
    error, _ = refusal("predict", model, "--out", tmp_path / "no")
    assert "images are missing after the model file" in error
    known(replace(track, classes=("disc", "square", "stick")))
    error, _ = refusal("predict", model, new_hands, "--out", tmp_path / "no")
    assert "track tiny_hands of this version has other classes, views or channels than the model" in error


def _check_content(model):
    """No name of a person or an image is in it, and the weights are those of the run."""
    with zipfile.ZipFile(model) as archive:
        assert not archive.namelist()[0].startswith("/")
        card = archive.read("card.md").decode()
        description = archive.read("model.json").decode()
        state = load(archive.read("weights/second/fold0.safetensors"))
    for text in (card, description):
        assert "person" not in text.replace("persons", "")
        assert ".npy" not in text
    assert "10 training samples of 5 groups" in card
    assert "| disc | 0." in card
    assert "cross-fitted: compare by this" in card
    assert f"medcomp predict {model.name} IMAGE" in card
    assert len(state) > 50


@pytest.mark.exhaustive
def test_tables_are_those_of_the_run(patients_with_run, shared_patients, known, stage, tmp_path):
    known(replace(shared_patients.track, list_test=list_patients))
    stage("tune", "--members", "quick", "--name", "all")
    edit(patients_with_run, "all", thresholds={"left": 0.0, "right": 1.0}, gate=0.0)
    for fold in (0, 1):  # as if trained with this view
        _add_view(patients_with_run.fold_folder("quick", fold) / "weights.pt")
    model, raw = tmp_path / "model.zip", shared_patients.workspace.root / "raw"
    stage("export", "--out", model)
    expected, _ = stage("predict", raw, "--out", tmp_path / "torch")
    found, _ = stage("predict", model, raw, "--out", tmp_path / "onnx")
    assert read_package(model).model.members[0].views == ("identity", "hflip")
    assert [row["name"] for row in found["rows"]] == ["0", "3", "8"]
    for one, other in zip(expected["rows"], found["rows"], strict=True):
        numbers = [key for key, value in one.items() if isinstance(value, float | int)]
        assert len(numbers) > 7
        assert [one[key] for key in numbers] == pytest.approx([other[key] for key in numbers], abs=1e-5)


def _add_view(path):
    trained = load_trained(path)
    predict = trained.experiment.predict.model_copy(update={"views": ("identity", "hflip")})
    save_trained(path, replace(trained, experiment=trained.experiment.model_copy(update={"predict": predict})))


class ByValue(torch.nn.Module):
    stride = 32

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images) * (1 if images.mean() > 0 else -1)


@pytest.mark.exhaustive
def test_a_network_that_onnx_cannot_hold_is_named_and_nothing_is_written(
    hands_with_run, shared_hands, known, stage, refusal, tmp_path, monkeypatch
):
    known(shared_hands.track)
    stage("tune", "--members", "quick", "--name", "one")
    original = competition.export.writing.to_onnx
    monkeypatch.setattr(
        competition.export.writing, "to_onnx", lambda network, *rest: original(ByValue(network).eval(), *rest)
    )
    error, _ = refusal("export", "--out", tmp_path / "model.zip")
    assert "ONNX can't hold the network of member 'quick' (Unet: " in error
    assert "data-dependent" in error
    assert "Tune without it (--members A,B --name OTHER)" in error
    assert not (tmp_path / "model.zip").exists()


def test_bad_input_is_refused_in_a_sentence(
    hands_with_run, shared_hands, known, stage, refusal, float_arrays, tmp_path, monkeypatch
):
    known(shared_hands.track)
    stage("import", "--name", "theirs", "--test", float_arrays[1])
    stage("tune", "--members", "quick,theirs", "--weights", "1,1", "--name", "both")
    error, _ = refusal("export", "--out", tmp_path / "model.zip")
    assert "member 'theirs' was imported and has no weights" in error
    error, _ = refusal("export", "--out", tmp_path / "model.onnx")
    assert "a model file ends in .zip" in error
    for share in ("0", "1", "nan", "-2"):
        error, _ = refusal("export", "--out", tmp_path / "model.zip", f"--fast={share}")
        assert "--fast takes a share of the time between 0 and 1" in error
    declaration = tmp_path / "mine.py"
    known(replace(shared_hands.track, declaration=declaration))
    stage("tune", "--members", "quick", "--name", "one")
    error, _ = refusal("export", "--out", tmp_path / "model.zip")
    assert "a track of Python code can't be exported" in error

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(competition.export.packages.importlib, "import_module", missing)
    pip = re.escape(f"{sys.executable} -m pip install")
    with pytest.raises(CompetitionError, match=rf"need the package onnxruntime.*Run {pip} onnxruntime"):
        competition.export.packages.needed("onnxruntime")
    with pytest.raises(CompetitionError, match=f"Run {pip} onnx onnxscript onnxruntime"):
        competition.export.packages.needed("onnx")


def dense_score(workspace, entries, fold_of, levels):
    """Mean Dice of quick's held-out masks at these levels, by arrays."""
    scores = []
    for entry in entries:
        values = read_map(workspace.fold_folder("quick", fold_of[entry.group]) / "oof", entry.sample)
        truth = read_cached_planes(workspace, entry.sample)
        for index in range(3):
            own, mask = values[index] > levels[CLASSES[index]], unpack_class(truth, index)
            total = own.sum() + mask.sum()
            scores.append(2 * (own & mask).sum() / total if total else 1.0)
    return np.mean(scores)


def test_fast_drops_members_then_folds_and_states_the_score(
    hands_with_run, shared_hands, known, tiny_experiment, stage, refusal, tmp_path, monkeypatch
):
    track = known(shared_hands.track)
    add_second_run(hands_with_run, track, tiny_experiment(train={"epochs": 1}))
    stage("tune", "--members", "quick,second", "--weights", "3,2", "--name", "both")
    edit(hands_with_run, "both", operations=dict.fromkeys(CLASSES, "none"))
    times = {"quick": Times(("identity",), 0.3), "second": Times(("identity",), 0.08, stage=0.02)}
    monkeypatch.setattr(competition.export.faster, "time_members", lambda *_: times)
    monkeypatch.setattr(competition.export.writing, "to_onnx", lambda *_: b"a network")  # tested above
    levels = read_json(hands_with_run.decision_file("both"), "")["levels"]
    entries, fold_of = shared_hands.train(), shared_hands.folds.fold_of
    figures, said = stage("export", "--out", tmp_path / "model.zip", "--fast", "0.8")
    assert figures["fast"]["members"] == ["quick:0,1"]
    assert figures["fast"]["share"] == 0.75
    expected = dense_score(hands_with_run, entries, fold_of, levels)
    assert figures["fast"]["oof_after"] == pytest.approx(expected, abs=1e-6)
    before = figures["fast"]["oof_before"]
    assert before != pytest.approx(expected, abs=1e-6)
    assert f"Out-of-fold Dice {expected:.4f}, {before:.4f} with all ({expected - before:+.4f}), on 10 samples." in said
    figures, said = stage("export", "--out", tmp_path / "model.zip", "--fast", "0.4")
    assert figures["fast"]["members"] == ["quick:0"]
    assert figures["fast"]["share"] == 0.375
    assert figures["fast"]["oof_after"] == pytest.approx(expected, abs=1e-6)
    assert "so no score shows what averaging fewer folds costs" in said
    model = read_package(tmp_path / "model.zip").model
    assert model.decision.scores.oof == pytest.approx(expected, abs=1e-6)
    assert model.decision.scores.oof_crossfit is None
    assert [(one.name, one.folds, one.weight) for one in model.decision.members] == [("quick", (0,), 1000)]
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        assert "quick:0 of quick:0,1 + second:0,1" in archive.read("card.md").decode()
    error, _ = refusal("export", "--out", tmp_path / "model.zip", "--fast", "0.1")
    assert "one fold and view of quick takes 0.375 of the time already" in error


@pytest.mark.exhaustive
def test_fast_predicts_what_was_held_out_again_with_fewer_views(
    hands_with_run, shared_hands, known, tiny_experiment, stage, tmp_path, monkeypatch
):
    track = known(replace(shared_hands.track, list_test=list_hands))
    views = ("identity", "hflip", "rotate180")
    shown = {"data": {"crop_to": {"run": "quick", "classes": ["square"], "margin": 0.5}}, "model": {"prior": 0.3}}
    add_second_run(hands_with_run, track, tiny_experiment(**shown, predict={"views": views}))
    stage("tune", "--members", "second", "--name", "three")
    plain = {"levels": dict.fromkeys(CLASSES, 80), "thresholds": dict.fromkeys(CLASSES, 80.5 / 255)}
    plain["operations"] = dict.fromkeys(CLASSES, "none")
    edit(hands_with_run, "three", **plain)
    monkeypatch.setattr(competition.export.faster, "time_members", lambda *_: {"second": Times(views, 0.2, stage=0.1)})
    monkeypatch.setattr(competition.export.writing, "to_onnx", lambda *_: b"a network")  # tested above
    model = tmp_path / "model.zip"
    figures, said = stage("export", "--out", model, "--fast", "0.75")
    assert figures["fast"]["members"] == ["second:0,1"]
    assert figures["fast"]["views"] == {"second": ["identity", "hflip"]}
    assert figures["fast"]["share"] == pytest.approx(5 / 7, abs=1e-4)
    assert "second:0,1 (2 views) of second:0,1 (3 views): 71 % of the network time." in said
    # A run that was trained with these two views, from the same seed, has the same weights.
    add_second_run(hands_with_run, track, tiny_experiment(**shown, predict={"views": views[:2]}), "other")
    stage("tune", "--members", "other", "--name", "two")
    edit(hands_with_run, "two", **plain)
    two = expect_of_folds(track, hands_with_run, load_decision(hands_with_run.decision_file("two")))
    assert figures["fast"]["oof_after"] == pytest.approx(two.scores.oof, abs=1e-9)
    assert figures["fast"]["oof_after"] != figures["fast"]["oof_before"]
    (packed,) = read_package(model).model.members
    assert packed.views == views[:2]
    assert packed.first_stage.views == ("identity",)
    figures, said = stage("export", "--decision", "three", "--out", model, "--fast", "0.3")
    assert figures["fast"]["members"] == ["second:0"]
    assert "second:0 (1 view) of second:0,1 (3 views): 21 % of the network time." in said
