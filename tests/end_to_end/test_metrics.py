"""A metric that a YAML declares, through every stage: each score against dense masks in float64."""

import csv
import json

import cv2
import numpy as np
import pytest

from competition.data.folds import find_folds
from competition.data.manifest import read_manifest
from competition.masks.bit_planes import unpack_planes
from competition.masks.run_lengths import decode_planes
from competition.prediction.probability_maps import read_map
from competition.tracks import get_track
from competition.workspace import Workspace
from pipelines.__main__ import main

SIZE = (40, 48)
SETTINGS = """\
model: {architecture: Unet, encoder: tu-test_resnet, pretrained: false, decoder_channels: [16, 8], prior: 0.3}
data: {size: 48, workers: 0, augmentation: none}
train: {epochs: 6, repeats: 2, batch_size: 4, precision: fp32, lr: 0.01}
"""
METRICS = {
    "iou": ("iou", lambda hit, missed, wrong: hit / (hit + missed + wrong), "image", 1),
    "f2": ("{name: f_beta, beta: 2, unit: group, empty: 0}", lambda h, m, w: 5 * h / (5 * h + 4 * m + w), "group", 0),
    "pooled": ("{name: dice, unit: all}", lambda h, m, w: 2 * h / (2 * h + m + w), "all", 1),
    "skip": ("{name: dice, empty: skip}", lambda h, m, w: 2 * h / (2 * h + m + w), "image", "skip"),
}


def draw_images(root, split, people, seed):
    """Two images of each person with one disc or none, its mask beside it."""
    random = np.random.default_rng(seed)
    for person in range(people):
        for number in range(2):
            mask = np.zeros(SIZE, np.uint8)
            if (person, number) != (1, 1):
                cv2.circle(mask, tuple(random.integers(14, 30, 2).tolist()), int(random.integers(5, 12)), 255, -1)
            picture = 60 + 0.5 * mask + random.normal(0, 12, SIZE)
            for folder, image in ((split, picture.clip(0, 255).astype(np.uint8)), (f"{split}_masks", mask)):
                (root / folder).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(root / folder / f"{split}{person}_{number}.png"), image)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("discs") / "data"
    draw_images(root, "train", 6, seed=1)
    draw_images(root, "test", 3, seed=2)
    return root


def dense(names, called, truth, metric):
    """The score of masks by name, written from the definition."""
    _, formula, unit, empty = METRICS[metric]
    unit_of = {"image": lambda name: name, "group": lambda name: name.partition("_")[0], "all": lambda name: ""}[unit]
    scores = []
    for one in dict.fromkeys(map(unit_of, names)):
        here = [name for name in names if unit_of(name) == one]
        hit = sum(int((called[name] & truth[name]).sum()) for name in here)
        missed = sum(int((~called[name] & truth[name]).sum()) for name in here)
        wrong = sum(int((called[name] & ~truth[name]).sum()) for name in here)
        if hit + missed + wrong:
            scores.append(formula(hit, missed, wrong))
        elif empty != "skip":
            scores.append(float(empty))
    return np.mean(scores)


@pytest.mark.parametrize(
    "metric", ["f2", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in METRICS if name != "f2")]
)
def test_every_stage_scores_by_the_declared_metric(data, tmp_path, metric, capsys):
    track, experiment = tmp_path / f"{metric}_discs.yaml", tmp_path / "tiny.yaml"
    track.write_text(
        "classes: [disc]\ntrain: train/*.png\nmasks: train_masks/{stem}.png\ntest: test/*.png\ngroup: (.+)_\n"
        f"metric: {METRICS[metric][0]}\n"
    )
    experiment.write_text(SETTINGS)
    common = ["--track", str(track), "--workspace", str(tmp_path / "w")]

    def run(stage, *words):
        figures = tmp_path / "figures.json"
        assert main([stage, *words, *common, "--json", str(figures)]) == 0, capsys.readouterr().err
        return json.loads(figures.read_text())

    run("prepare", "--data", str(data), "--folds", "3")
    scores = {}
    for fold in "012":  # one at a time, in this process
        scores |= run("train", "--experiment", str(experiment), "--fold", fold)["scores"]
    tuned = run("tune", "--members", "tiny")
    handed_in = run("ensemble", "--no-report")

    workspace = Workspace(tmp_path / "w", track.stem)
    entries = read_manifest(workspace, get_track(str(track))).of("train")
    folds = find_folds(workspace)
    truth = {path.stem: cv2.imread(str(path), 0) > 0 for split in ("train", "test")
             for path in (data / f"{split}_masks").glob("*.png")}  # fmt: skip
    called = {}
    with np.load(workspace.fold_folder("tiny", 0) / "oof" / "histograms.npz") as stored:
        assert sorted(stored["keys"]) == sorted(entry.sample for entry in folds.held_out(entries, 0))
    for fold, score in scores.items():
        names = [entry.sample for entry in folds.held_out(entries, int(fold))]
        maps = {name: read_map(workspace.fold_folder("tiny", fold) / "oof", name)[0] for name in names}
        called |= {name: levels > 127 for name, levels in maps.items()}
        assert score == pytest.approx(dense(names, called, truth, metric))
    # Tuned and scored on all images at once: the table at 0.5 is that of the same masks.
    with open(workspace.ensemble_folder("tiny") / "per_class.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["at_half"]) == pytest.approx(dense(list(called), called, truth, metric), abs=1e-6)
    decision = json.loads(workspace.decision_file("tiny").read_text())
    assert decision["metric"] == get_track(str(track)).metric.key
    assert tuned["oof"] is not None

    with open(handed_in["submission"], newline="") as file:
        rows = list(csv.DictReader(file))
    masks = {
        row["image_name"].removesuffix(".png"): unpack_planes(decode_planes([row["rle"]], SIZE), 1)[0].astype(bool)
        for row in rows
    }
    scored = run("score", handed_in["submission"], str(data / "test_masks"))
    assert scored["score"] == pytest.approx(dense(list(masks), masks, truth, metric))
    (ranking,) = run("leaderboard")["rankings"]
    assert ranking["rows"][0]["cv_crossfit"] == pytest.approx(tuned["oof_crossfit"], abs=1e-6)
    capsys.readouterr()


def test_a_decision_for_another_metric_is_refused(data, tmp_path, capsys):
    track, experiment = tmp_path / "discs.yaml", tmp_path / "tiny.yaml"
    text = (
        "classes: [disc]\ntrain: train/*.png\nmasks: train_masks/{stem}.png\ntest: test/*.png\ngroup: (.+)_\n"
        "metric: iou\n"
    )
    track.write_text(text)
    experiment.write_text(SETTINGS.replace("epochs: 6", "epochs: 1"))
    common = ["--track", str(track), "--workspace", str(tmp_path / "w")]
    assert main(["prepare", *common, "--data", str(data), "--folds", "3"]) == 0
    assert main(["train", *common, "--experiment", str(experiment), "--fold", "0"]) == 0
    assert main(["tune", *common, "--members", "tiny"]) == 0
    track.write_text(text.replace("iou", "dice"))
    capsys.readouterr()
    assert main(["ensemble", *common]) == 1
    error = capsys.readouterr().err
    assert "was tuned for IoU, unit image, empty 1" in error
    assert "scored by Dice" in error
    assert "tune --name tiny" in error or "./run.sh tune" in error
