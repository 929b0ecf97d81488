"""Images with a table of labels through the command line: each task trained, resumed, submitted and explained."""

import csv
from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from documented_figures import written_figures
from sklearn.metrics import cohen_kappa_score, f1_score, log_loss, roc_auc_score

from competition.data.folds import find_folds
from competition.data.manifest import read_manifest
from competition.prediction.probability_maps import read_scores
from competition.settings import load_experiment
from competition.tracks import get_track
from competition.training import loop
from competition.training.checkpoints import Identity
from competition.training.state import FoldJob
from competition.workspace import Workspace
from pipelines.__main__ import main

SETTINGS = """\
model: {architecture: multiview, encoder: counting, pretrained: false, prior: 0.5}
data: {size: 32, workers: 0, augmentation: quarter_turns}
train: {epochs: 5, batch_size: 4, precision: fp32, lr: 0.01, validate_every: 1}
predict: {views: [identity, hflip, rotate90]}
"""
TASKS = {
    "multilabel": "table: {csv: train.csv, image: id, group: who, targets: [bright, many]}\nmetric: f1",
    "multiclass": "table: {csv: train.csv, image: id, group: who, target: shade}\nclasses: [dark, grey, pale]\n"
    "metric: {name: log_loss, weights: {pale: 2}}\nsubmission: {ending: true}",
    "ordinal": "table: {csv: train.csv, image: id, group: who, target: spots}\nclasses: [0, 1, 2]\nmetric: kappa",
}
CLASSES = {"multilabel": ("bright", "many"), "multiclass": ("dark", "grey", "pale"), "ordinal": ("0", "1", "2")}
COLUMNS = {"multilabel": ["bright", "many"], "multiclass": ["dark", "grey", "pale"], "ordinal": ["spots"]}
RULES = {"multilabel": "thresholds", "multiclass": "none", "ordinal": "cut points"}
TESTED = 9


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Colour pictures of 30x40 with 0 to 2 spots on a ground of three shades; two pictures of each person.

    Every seventh label is wrong, so that no score is perfect. The labels of the test are beside the data, and a sample
    submission for each task has its ids backwards.
    """
    root = tmp_path_factory.mktemp("spots") / "data"
    random, rows = np.random.default_rng(0), defaultdict(list)
    for split, count in (("train", 30), ("test", TESTED)):
        (root / split).mkdir(parents=True)
        for number in range(count):
            spots, shade = number % 3, number // 2 % 3
            picture = np.full((30, 40, 3), 40 + 50 * shade, np.float64)
            for spot in range(spots):
                picture[8:16, 6 + 16 * spot : 14 + 16 * spot] = (30, 60, 230)
            noisy = picture + random.normal(0, 6, picture.shape)
            cv2.imwrite(str(root / split / f"{split}{number}.png"), noisy.clip(0, 255).astype(np.uint8))
            if number % 7 == 6:
                spots, shade = (spots + 1) % 3, (shade + 1) % 3
            shade_name = ("dark", "grey", "pale")[shade]
            labels = [int(shade == 2), int(spots == 2), shade_name, float(spots)]
            rows[split].append([f"{split}{number}", f"p{number // 2}", *labels])
    for split, path in (("train", root / "train.csv"), ("test", root.with_name("truth.csv"))):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["id", "who", "bright", "many", "shade", "spots"], *rows[split]])
    for task, columns in COLUMNS.items():
        ending = ".png" if task == "multiclass" else ""
        lines = [",".join(["id", *columns])]
        lines += [",".join([row[0] + ending, *"0" * len(columns)]) for row in reversed(rows["test"])]
        (root / f"sample_{task}.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def prepared(data, tmp_path_factory):
    """Task -> the YAML of its track; all are prepared in one workspace, with two folds."""
    root = tmp_path_factory.mktemp("tables")
    (root / "tiny.yaml").write_text(SETTINGS)
    for task, table in TASKS.items():
        text = f"task: {task}\n{table}\ntrain: train/*.png\ntest: test/*.png\nchannels: 3\nflip: true\n"
        (root / f"{task}.yaml").write_text(f"{text}sample: {data}/sample_{task}.csv\n")
        call(root, task, "prepare", "--data", data, "--folds", 2)
    return root


@pytest.fixture(scope="module")
def trained(prepared):
    """The same, with both folds of a run of each task trained."""
    for task in TASKS:
        for fold in (0, 1):
            call(prepared, task, "train", "--experiment", prepared / "tiny.yaml", "--fold", fold)
    return prepared


def call(root: Path, task: str, stage: str, *words: object) -> dict[str, Any]:
    """Runs a stage as a user types it, and returns its figures."""
    typed = [stage, "--track", root / f"{task}.yaml", *words, "--workspace", root, "--json", root / "figures.json"]
    assert main(list(map(str, typed))) == 0
    return written_figures(stage, root / "figures.json")


def job_of(root: Path, task: str, folder: Path) -> FoldJob:
    track, workspace = get_track(str(root / f"{task}.yaml")), Workspace(root, task)
    experiment = load_experiment(root / "tiny.yaml", ["data.flip=true", f"train.loss={_loss(task)}"])
    folds, entries = find_folds(workspace), read_manifest(workspace, track).of("train")
    identity = Identity(workspace.dataset, track.classes, experiment.hash(), folds.hash(), "data", 0)
    return FoldJob(
        experiment, track, workspace, folder, identity, folds.training(entries, 0), folds.held_out(entries, 0)
    )


def _loss(task: str) -> str:
    return {"multilabel": "bce", "multiclass": "cross_entropy", "ordinal": "ordinal"}[task]


@pytest.mark.parametrize("task", TASKS)
def test_a_fold_is_trained_and_its_held_out_samples_are_scored(trained, task):
    workspace, track = Workspace(trained, task), get_track(str(trained / f"{task}.yaml"))
    folder = workspace.fold_folder("tiny", 0)
    experiment = load_experiment(folder / "config.yaml")
    assert (experiment.train.loss, experiment.data.flip) == (_loss(task), True)
    held_out = find_folds(workspace).held_out(read_manifest(workspace, track).of("train"), 0)
    scores = read_scores(folder / "oof", [entry.sample for entry in held_out], track.classes)
    assert track.classes == CLASSES[task]
    assert ((scores >= 0) & (scores <= 1)).all()
    if task != "multilabel":
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-9)
    truth = np.array([entry.targets for entry in held_out])
    assert np.mean([roc_auc_score(truth[:, one], scores[:, one]) for one in range(truth.shape[1])]) > 0.65


@pytest.mark.parametrize("task", TASKS)
def test_from_tuning_to_the_leaderboard(trained, data, tmp_path, task):
    run = partial(call, trained, task)
    tuned = run("tune")
    assert tuned["rule"]["kind"] == RULES[task]
    made = run("ensemble", "--out", tmp_path / "a.csv", "--no-report")
    assert made["samples"] == TESTED
    with (tmp_path / "a.csv").open() as file:
        written = [tuple(row) for row in csv.reader(file)]
    with (data / f"sample_{task}.csv").open() as file:
        assert [row[0] for row in written] == [row[0] for row in csv.reader(file)]
    assert list(written[0][1:]) == COLUMNS[task]
    assert run("check", tmp_path / "a.csv")["ok"]
    truth = data.with_name("truth.csv")
    found = run("score", tmp_path / "a.csv", truth, "--bootstrap", 20)
    with truth.open() as file:
        right = {row["id"]: row for row in csv.DictReader(file)}
    wanted = score_by_hand(task, [right[name.removesuffix(".png")] for name, *_ in written[1:]], written[1:])
    assert found["score"] == pytest.approx(wanted, abs=1e-9)
    assert run("compare", tmp_path / "a.csv", tmp_path / "a.csv")["rows_that_differ"] == 0
    run("vote", tmp_path / "a.csv", tmp_path / "a.csv", "--out", tmp_path / "voted.csv")
    assert run("score", tmp_path / "voted.csv", truth)["score"] == pytest.approx(wanted, abs=1e-6)
    (ranking,) = run("leaderboard")["rankings"]
    (row,) = ranking["rows"]
    assert row["cv_oof"] == pytest.approx(tuned["oof"])


def score_by_hand(task: str, right: list[dict[str, str]], rows: list[tuple[str, ...]]) -> float:
    values = np.array([row[1:] for row in rows], dtype=np.float64)
    if task == "multilabel":
        return f1_score([[int(row["bright"]), int(row["many"])] for row in right], values, average="macro")
    if task == "ordinal":
        grades = [float(row["spots"]) for row in right]
        return cohen_kappa_score(grades, values[:, 0], weights="quadratic")
    shades = [row["shade"] for row in right]
    weights = [1 + (shade == "pale") for shade in shades]
    return -log_loss(shades, values, sample_weight=weights, labels=CLASSES["multiclass"])


@pytest.mark.exhaustive
@pytest.mark.parametrize("task", TASKS)
def test_every_further_stage(trained, data, tmp_path, task):
    run = partial(call, trained, task)
    call(trained, task, "tune", "--name", "further")
    page = Path(run("report", "--decision", "further")["report"]).read_text()
    for title in ("Ranking of every class", "Score of every fold", "What is decided, class by class", "Worst, median"):
        assert title in page
    run("explain", "train1", "test1", "--out", tmp_path / "why")
    rows = run("predict", data / "test", "--out", tmp_path / "predicted")["rows"]
    run("export", "--out", tmp_path / "model.zip")
    words = ["predict", tmp_path / "model.zip", data / "test", "--out", tmp_path / "exported"]
    assert main(list(map(str, [*words, "--json", tmp_path / "figures.json"]))) == 0
    exported = written_figures("predict", tmp_path / "figures.json")["rows"]
    for name in CLASSES[task]:
        ours, theirs = ([row[f"{name}_probability"] for row in of] for of in (rows, exported))
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    run("review", "--out", tmp_path / "review")
    run("review", "--by", "disagreement", "--out", tmp_path / "disputed")
    run("search", "--experiment", trained / "tiny.yaml", "--trials", 2)


def test_history_holds_the_score_of_plain_views(prepared, tmp_path):
    job = job_of(prepared, "ordinal", tmp_path / "run")
    state = loop.train_fold(job)
    predictor = loop.make_predictor([state.predicting()], job.experiment, job.track, job.workspace, None)
    found = [loop.predict_scores(predictor, entry, ("identity",)) for entry in job.held_out]
    truth = np.array([entry.targets for entry in job.held_out])
    grades = np.floor(np.array(found) @ [0, 1, 2] + 0.5)
    expected = cohen_kappa_score(truth.argmax(axis=1), grades, weights="quadratic")
    assert state.history[-1]["score"] == pytest.approx(expected, abs=1e-12)


def test_a_view_turns_the_picture_and_nothing_else(prepared, tmp_path):
    job = job_of(prepared, "multiclass", tmp_path / "run")
    model = loop.open_start(job)[0].eval()
    predictor = loop.make_predictor([model], job.experiment, job.track, job.workspace, None)
    entry = job.held_out[0]
    sample = predictor.reader.read(entry)
    square = np.zeros((32, 32, 3), np.uint8)
    square[:] = np.median(sample.images[0], axis=(0, 1)).astype(np.uint8)
    square[: sample.images[0].shape[0]] = sample.images[0]
    for view, turned in (("rotate90", np.rot90(square)), ("hflip", square[:, ::-1])):
        of_view = loop.predict_scores(predictor, entry, (view,), sample)
        by_hand = loop.predict_scores(
            predictor, entry, ("identity",), replace(sample, images=(np.ascontiguousarray(turned),))
        )
        np.testing.assert_allclose(of_view, by_hand, atol=1e-6)
        assert np.abs(of_view - loop.predict_scores(predictor, entry, ("identity",), sample)).max() > 0


@pytest.mark.parametrize("task", ["multilabel", "ordinal"])
def test_a_cut_run_ends_the_same(prepared, tmp_path, monkeypatch, task):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    whole = loop.train_fold(job_of(prepared, task, tmp_path / "whole")).predicting().state_dict()
    original, calls = loop._optimizer_step, []

    def cut(*given):
        calls.append(given)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return original(*given)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_optimizer_step", cut)
        with pytest.raises(KeyboardInterrupt):
            loop.train_fold(job_of(prepared, task, tmp_path / "cut"))
    torch.manual_seed(99)
    again = loop.train_fold(job_of(prepared, task, tmp_path / "cut")).predicting().state_dict()
    assert whole.keys() == again.keys()
    assert all(torch.equal(weights, again[name]) for name, weights in whole.items())


def test_a_loss_that_does_not_fit_is_refused(prepared, capsys):
    words = ["train", "--track", prepared / "ordinal.yaml", "--experiment", prepared / "tiny.yaml"]
    assert main([*map(str, words), "--workspace", str(prepared), "--set", "train.loss=bce"]) == 1
    assert "train.loss bce does not fit track ordinal, which is ordinal" in capsys.readouterr().err


def test_doctor_plans_a_run(prepared):
    words = ["doctor", "--track", prepared / "ordinal.yaml", "--experiment", "quick", "--cpu"]
    assert main([*map(str, words), "--workspace", str(prepared)]) == 0


def test_shuffled_labels_are_judged(prepared, capsys):
    words = ["train", "--track", prepared / "multilabel.yaml", "--experiment", prepared / "tiny.yaml", "--fold", "0"]
    words += ["--set", "data.shuffle_labels=true", "--set", "train.epochs=1", "--name", "shuffled"]
    assert main([*map(str, words), "--workspace", str(prepared)]) == 0
    assert "shuffled labels" in capsys.readouterr().out
