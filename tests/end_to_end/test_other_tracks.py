"""Each other track from synthetic data to a submission: shorter than for the hands, in one process."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from competition.data.folds import find_folds
from competition.data.manifest import read_manifest
from competition.ensembling.classification.report_rules import decide_as_the_report, report_rule, training_scores
from competition.runs.members import open_member, out_of_fold_folders
from competition.tracks import get_track
from competition.tracks.aneurysm.track import CLASSES
from competition.workspace import Workspace
from pipelines.__main__ import main

NET = "model: {architecture: Unet, encoder: tu-test_resnet, pretrained: false, decoder_channels: [16, 8], prior: 0.3}\n"
MASKS = NET + "data: {size: 64, workers: 0}\ntrain: {epochs: 1, repeats: 1, batch_size: 4, precision: fp32}\n"
VIEWS = """\
model: {architecture: multiview, encoder: test_resnet, pretrained: false, prior: 0.3}
data: {size: 32, workers: 0, augmentation: shift}
train: {epochs: 1, batch_size: 4, precision: fp32, loss: bce_first}
"""


def hand_in(workspace, track, settings, *drawn):
    """Draws, prepares, trains one fold and makes a submission; returns the figures of ensemble."""
    experiment, file = workspace / "tiny.yaml", workspace / "ensemble.json"
    experiment.write_text(settings)
    common = ["--track", track, "--phantom", "--workspace", str(workspace)]
    assert main(["prepare", *common, *drawn]) == 0
    assert main(["train", *common, "--experiment", str(experiment), "--fold", "0"]) == 0
    assert main(["ensemble", "--no-report", *common, "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    assert main(["check", *common, figures["submission"]]) == 0
    return figures


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_aneurysm_gives_a_probability_and_21_cells_per_test_patient(tmp_path):
    drawn = ("--people", "10", "--test-people", "4", "--size", "200", "--folds", "2", "--stratified")
    figures = hand_in(tmp_path, "aneurysm", VIEWS, *drawn)
    header, *rows = read_csv(figures["submission"])
    assert header == ["Index", *CLASSES]
    data = tmp_path / "data" / "phantom_aneurysm"
    truth = read_csv(data / "truth" / "test.csv")
    assert [row[0] for row in rows] == [row[0] for row in read_csv(data / "test_set" / "test.csv")[1:]]
    assert all(0 < float(row[1]) < 1 for row in rows)
    assert {float(value) for row in rows for value in row[2:]} <= {0.0, 1.0}
    # The area under the curve by its definition: pairs of a sick and a healthy patient in the right order.
    chance = {row[0]: float(row[1]) for row in rows}
    sick, healthy = ([chance[row[0]] for row in truth[1:] if row[1] == kind] for kind in "10")
    pairs = [(a > b) + 0.5 * (a == b) for a in sick for b in healthy]
    assert pairs
    assert figures["test"] == pytest.approx(np.mean(pairs))
    score = tmp_path / "score.json"
    words = ["score", "--track", "aneurysm", figures["submission"], str(data / "truth" / "test.csv")]
    assert main([*words, "--workspace", str(tmp_path), "--json", str(score)]) == 0
    result = json.loads(score.read_text())
    assert {"metric", "score", "per_class", "rows", "accuracy", "all_zero_accuracy", "cells_gained"} <= set(result)
    assert (result["metric"], result["rows"], result["score"]) == ("auroc", 4, pytest.approx(np.mean(pairs)))
    cells = [[float(value) for value in row[2:]] for row in rows]
    wanted = [[float(value) for value in row[2:]] for row in truth[1:]]
    assert result["accuracy"] == pytest.approx(np.mean(np.equal(cells, wanted)))


FUSED = VIEWS.replace("multiview", "multiview_fused")
REPORT = """\
model:
  {architecture: report_fourfold, encoder: test_resnet, anterior_encoder: test_resnet, pretrained: false, prior: 0.3}
data: {size: 32, workers: 0, preprocess: [median], augmentation: none}
train: {epochs: 1, batch_size: 4, precision: fp32, loss: four_sets, clip: null, ema: false}
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("settings", [FUSED, REPORT])
def test_the_fused_network_and_the_reports_recipe_hand_in_too(tmp_path, settings):
    drawn = ("--people", "8", "--test-people", "3", "--size", "128", "--folds", "2", "--stratified")
    figures = hand_in(tmp_path, "aneurysm", settings, *drawn)
    header, *rows = read_csv(figures["submission"])
    assert header == ["Index", *CLASSES]
    assert len(rows) == 3
    assert all(0 < float(row[1]) < 1 for row in rows)
    workspace, track = Workspace(tmp_path, "phantom_aneurysm"), get_track("aneurysm")
    training, folds = read_manifest(workspace, track).of("train"), find_folds(workspace)
    learned = folds.training(training, 0)
    probs = training_scores(track, workspace, "tiny", 0, learned)
    assert probs.shape == (len(learned), 22)
    # By definition half of the training patients pass the gate, and a location calls a tenth of all.
    rule = report_rule(probs)
    assert (probs[:, 0] > rule.gate).sum() == len(learned) // 2
    assert ((probs[:, 1:] > rule.thresholds).sum(axis=0) <= 1).all()
    member = open_member(workspace, folds, training, "tiny", None)
    folder_of = out_of_fold_folders(workspace, member)
    held_out = [entry for entry in training if entry.sample in folder_of]
    table = decide_as_the_report(track, workspace, folds, member, training, held_out)
    assert table.shape == (len(held_out), 22)


@pytest.mark.parametrize(("track", "name", "labels"), [("cardiac", "lv", "test"), ("knee", "femur", "truth")])
def test_tracks_of_masks_give_a_row_per_image_that_scores_as_by_hand(tmp_path, track, name, labels):
    figures = hand_in(tmp_path, track, MASKS, "--people", "5", "--test-people", "1")
    data = tmp_path / "data" / f"phantom_{track}"
    header, *rows = read_csv(figures["submission"])
    assert header == ["image_name", "class", "rle"]
    images = sorted(path.name for path in (data / "test" / "images").glob("*.png"))
    assert [row[:2] for row in rows] == [[image, name] for image in images]
    scores = []
    for image, _, rle in rows:
        truth = cv2.imread(str(data / labels / "labels" / image), cv2.IMREAD_GRAYSCALE) > 127
        ours = np.zeros(truth.size, bool)
        numbers = [int(word) for word in rle.split()]
        for start, length in zip(numbers[::2], numbers[1::2], strict=True):
            ours[start - 1 : start - 1 + length] = True
        total = ours.sum() + truth.sum()
        scores.append(2 * (ours.reshape(truth.shape) & truth).sum() / total if total else 1.0)
    assert figures["test"] == pytest.approx(np.mean(scores), abs=1e-12)


def test_a_folder_track_of_ones_own_goes_all_the_way(tmp_path):
    declaration = tmp_path / "mine.yaml"
    declaration.write_text(
        "classes: [disc, bar]\ntrain: train/images/*.png\nmasks: train/masks/{class}/{stem}.png\n"
        "test: test/images/*.png\ngroup: '^(\\d+)_'\n"
    )
    data = tmp_path / "raw"
    noise = np.random.default_rng(0)
    for number in range(8):
        split, file = "train" if number < 6 else "test", f"{number // 2}_{number}.png"
        masks = np.zeros((2, 64, 48), np.uint8)
        cv2.circle(masks[0], (20 + number, 30), 9, 255, -1)
        masks[1, 50:56, 5:40] = 255
        picture = 40 + masks.max(axis=0) // 2 + noise.integers(0, 20, (64, 48), np.uint8)
        folders = [data / split / "images", *(data / split / "masks" / kind for kind in ("disc", "bar"))]
        for folder, image in zip(folders, (picture, *masks), strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / file), image)
    common = ["--track", str(declaration), "--workspace", str(tmp_path / "workspace")]
    (tmp_path / "tiny.yaml").write_text(MASKS)
    assert main(["prepare", *common, "--data", str(data), "--folds", "3"]) == 0
    assert main(["train", *common, "--experiment", str(tmp_path / "tiny.yaml"), "--fold", "0"]) == 0
    assert main(["ensemble", "--no-report", *common, "--out", str(tmp_path / "out.csv")]) == 0
    expected = [[image, kind] for image in ("3_6.png", "3_7.png") for kind in ("disc", "bar")]
    assert [row[:2] for row in read_csv(tmp_path / "out.csv")[1:]] == expected
    assert [path.name for path in Path(tmp_path / "workspace" / "submissions").iterdir() if path.is_dir()] == ["mine"]
