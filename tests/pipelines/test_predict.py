"""predict gives what ensemble --test submits, bit for bit, from the runs alone; each fold is compared with the vote."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import highdicom
import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from predicted_files import CLASSES, add_second_run, edit, list_hands, list_patients, masks_in, only_runs, rows_of
from scipy import ndimage
from torch.nn import functional

import pipelines.context
import pipelines.predict
from competition.data.cache import cache_sample
from competition.ensembling.segmentation.postprocessing import OPERATIONS
from competition.formats.json_files import read_json
from competition.inference.predicting import Predictions
from competition.masks.run_lengths import encode_mask
from competition.prediction.predictor import predict_on_grid
from competition.submission.run_lengths.files import read_rle_csv
from competition.tracks.track import Sample
from competition.training.checkpoints import load_trained, open_predictor
from competition.workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture
def hand_track(hands_with_run, shared_hands, monkeypatch):
    track = replace(shared_hands.track, list_test=list_hands)
    monkeypatch.setattr(pipelines.context, "get_track", lambda name: track)
    return track


def submitted(figures):
    return read_rle_csv(Path(figures["submission"]))


def assert_submitted(folder, names, rows):
    seen = 0
    for name in names:
        for class_name, mask in zip(CLASSES, masks_in(folder, name), strict=True):
            assert encode_mask(mask) == rows[f"{name}.npy", class_name]
            seen += mask.any()
    assert seen > 3


def test_masks_are_those_of_ensemble_with_two_runs_of_two_folds(
    hands_with_run, hand_track, new_hands, tiny_experiment, stage, tmp_path, monkeypatch
):
    erode = replace(OPERATIONS["none"], reshapes=ndimage.binary_erosion)  # changes every mask
    monkeypatch.setitem(OPERATIONS, "eroded", erode)
    crop = {"run": "quick", "classes": ["square"], "margin": 0.5}
    data = {"crop_to": crop, "classes": ["bar", "square"], "size": 32}
    experiment = tiny_experiment(data=data, predict={"views": ["identity", "hflip"]}, model={"prior": 0.3})
    add_second_run(hands_with_run, hand_track, experiment)
    stage("tune", "--members", "quick,second", "--weights", "3,2", "--name", "both")
    edit(hands_with_run, "both", operations={"disc": "eroded", "square": "none", "bar": "surest+fill"})
    rows = submitted(stage("ensemble", "--test", new_hands, "--decision", "both")[0])
    only_runs(hands_with_run)
    figures, said = stage("predict", new_hands, "--decision", "both", "--out", tmp_path / "out")
    assert_submitted(tmp_path / "out", ("hand1", "hand10", "hand11"), rows)
    assert figures["failures"] == []
    assert [(row["name"], row["class"]) for row in rows_of(tmp_path / "out")] == [
        (row["name"], row["class"]) for row in figures["rows"]
    ]
    assert "3 samples predicted" in said


def test_a_member_without_weight_need_not_be_there(hands_with_run, hand_track, new_hands, tiny_experiment, stage):
    add_second_run(hands_with_run, hand_track, tiny_experiment(train={"epochs": 1}))
    stage("tune", "--members", "quick,second", "--weights", "1,0", "--name", "both")
    rows = submitted(stage("ensemble", "--test", new_hands, "--decision", "both")[0])
    only_runs(hands_with_run)
    shutil.rmtree(hands_with_run.run_folder("second"))
    out = hands_with_run.root / "out"
    stage("predict", new_hands, "--out", out)
    assert_submitted(out, ("hand1", "hand10", "hand11"), rows)


def fold_grids(workspace, track, picture, folder):
    """What each fold of quick says by itself of a picture, on its grid, by the predictor of one fold: (F, C, h, w)."""
    sample = Sample("x", "x.npy", "test", "x", (picture.name,))
    images = Workspace(folder, "tiny_hands")
    entry, _ = cache_sample(images, track, picture.parent, sample)
    trained_folds = [load_trained(workspace.fold_folder("quick", fold) / "weights.pt") for fold in (0, 1)]
    predictors = [open_predictor([trained], track, images) for trained in trained_folds]
    return torch.stack([predict_on_grid(predictor, entry, ["identity"])[0] for predictor in predictors])


def test_folds_are_compared_with_each_other_and_with_the_vote(hands_with_run, hand_track, new_hands, stage, tmp_path):
    stage("tune", "--members", "quick", "--weights", "1", "--name", "one")
    edit(hands_with_run, "one", operations=dict.fromkeys(CLASSES, "none"))
    grids = fold_grids(hands_with_run, hand_track, new_hands / "hand10.npy", tmp_path / "own")
    assert grids.shape[2:] == (32, 32)
    figures, _ = stage("predict", new_hands / "hand10.npy", "--out", tmp_path / "out")
    shown = cv2.imread(str(tmp_path / "out" / "hand10.disagreement.png"), cv2.IMREAD_UNCHANGED)
    largest = (grids[0] - grids[1]).abs().amax(dim=0) / 2  # the deviation of two is half their distance
    expected = functional.interpolate(largest[None, None], size=(64, 64), mode="bilinear", align_corners=False)[0, 0]
    assert np.abs(shown - expected.numpy() / 0.5 * 255).max() < 4  # levels below 4 are 0
    assert shown.max() > 10
    dice = []
    levels = read_json(hands_with_run.decision_file("one"), "")["levels"]
    for index, name in enumerate(CLASSES):
        own, vote = (
            np.rint(maps[..., index, :, :].numpy() * 255) > levels[name] for maps in (grids, grids.mean(dim=0))
        )
        dice.append(np.mean([2 * (one & vote).sum() / (one.sum() + vote.sum()) for one in own]))
    assert [row["fold_dice"] for row in figures["rows"]] == pytest.approx(dice, abs=1e-6)
    assert figures["rows"][0]["image_fold_dice"] == pytest.approx(np.mean(dice), abs=1e-6)
    assert min(dice) < 0.999


def test_a_dicom_image_gives_sizes_in_mm_and_a_segmentation(
    hands_with_run, hand_track, new_hands, stage, tmp_path, write_dicom
):
    stage("tune", "--members", "quick", "--name", "one")
    pixels = np.load(new_hands / "hand10.npy")
    pixels[0, :2] = 0, 255  # so that stretching to 0..255 changes nothing
    np.save(tmp_path / "plain.npy", pixels)
    study = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.5", "PatientID": "P7"}
    source = write_dicom(tmp_path / "IM0007", pixels.astype(np.uint16), PixelSpacing=[0.5, 0.25], **study)
    figures, _ = stage("predict", source, tmp_path / "plain.npy", "--out", tmp_path / "out")
    dicom, plain = figures["rows"][:3], figures["rows"][3:]
    masks = masks_in(tmp_path / "out", "IM0007")
    np.testing.assert_array_equal(masks, masks_in(tmp_path / "out", "plain"))
    present = [index for index in range(3) if masks[index].any()]
    assert [row["area_mm2"] for row in dicom] == [mask.sum() * 0.125 if mask.any() else None for mask in masks]
    assert {row["area_mm2"] for row in plain} == {None}
    found = highdicom.seg.segread(tmp_path / "out" / "IM0007.seg.dcm")
    assert [segment.SegmentLabel for segment in found.SegmentSequence] == [CLASSES[index] for index in present]
    read = found.get_pixels_by_source_instance([pydicom.dcmread(source).SOPInstanceUID])[0]
    np.testing.assert_array_equal(read.transpose(2, 0, 1) > 0, masks[present])
    assert not (tmp_path / "out" / "plain.seg.dcm").exists()


def test_one_fold_has_nobody_to_disagree_with(hands_with_run, hand_track, new_hands, stage, tmp_path):
    stage("tune", "--members", "quick:0", "--name", "alone")
    figures, said = stage("predict", new_hands / "hand10.npy", "--out", tmp_path / "out")
    assert "one fold votes, so there is no disagreement of folds" in said
    assert (
        {row["fold_dice"] for row in figures["rows"]} == {row["image_fold_dice"] for row in figures["rows"]} == {None}
    )
    assert not list((tmp_path / "out").glob("*disagreement*"))


@pytest.mark.parametrize("combine", ["mean", "rank"])
def test_a_table_is_that_of_ensemble(patients_with_run, shared_patients, stage, tmp_path, monkeypatch, combine):
    track = replace(shared_patients.track, list_test=list_patients)
    monkeypatch.setattr(pipelines.context, "get_track", lambda name: track)
    stage("tune", "--members", "quick", "--name", "all", "--combine", combine)
    edit(patients_with_run, "all", thresholds={"left": 0.0, "right": 1.0}, gate=0.0)
    raw = tmp_path / "raw"
    shutil.copytree(shared_patients.workspace.root / "raw", raw)
    table = pd.read_csv(stage("ensemble", "--test", raw)[0]["submission"], dtype={"Index": str}).set_index("Index")
    only_runs(patients_with_run)
    figures, said = stage("predict", raw, "--out", tmp_path / "out")
    assert [row["name"] for row in figures["rows"]] == ["0", "3", "8"]
    assert ("comparable only within them" in said) == (combine == "rank")
    for row in figures["rows"]:
        expected = table.loc[row["name"], ["any", "left", "right"]].tolist()
        assert [row["score"], row["left_decision"], row["right_decision"]] == expected
        assert row["any_sd"] > 0
    assert {(row["left_decision"], row["right_decision"]) for row in figures["rows"]} == {(1, 0)}
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())["decision"] == "all"


def test_images_on_which_the_folds_agree_poorly_are_named(shared_hands, capsys):
    def say_of(**dice):
        rows = [{"name": name, "pixels": 5, "image_fold_dice": value} for name, value in dice.items()]
        pipelines.predict._show(shared_hands.track, Predictions(rows, []))
        return " ".join("".join(capsys.readouterr()).split())

    said = say_of(hand=0.9, noise=0.35, empty=None, edge=0.5)
    assert "the folds agree poorly (Dice below 0.5) on noise: look at the overlays" in said
    assert "agree poorly" not in say_of(hand=0.9, empty=None, edge=0.5)
