"""The whole program through the command line, on synthetic data: its submission is decoded and scored again by hand."""

import csv
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import redirect_stdout
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from documented_figures import written_figures

from pipelines.__main__ import main

DOOR = Path(__file__).resolve().parents[2] / "run.sh"
BONES = [
    *(f"finger-{number}" for number in range(1, 20)),
    *("Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform", "Radius"),
    "Ulna",
]
DRAWN = ["--people", "5", "--test-people", "2", "--size", "256"]
# A high prior and a high rate give predictions that are right in places and wrong in others: a score between 0 and 1.
SETTINGS = """\
model: {architecture: Unet, encoder: tu-test_resnet, pretrained: false, decoder_channels: [16, 8], prior: 0.1}
data: {size: 64, augmentation: none, workers: 0}
train: {epochs: 5, batch_size: 2, lr: 1.0e-2, precision: fp32, validate_every: 1}
"""


def command(workspace, *words):
    return [str(DOOR), *map(str, words), "--workspace", str(workspace)]


def through_the_door(workspace, *words):
    """Runs a stage as a user does; returns its figures and its output."""
    file = workspace / f"{words[0]}.json"
    environment = {name: value for name, value in os.environ.items() if name != "COMPETITION_WORKSPACE"}
    done = subprocess.run(
        [*command(workspace, *words), "--json", str(file)], capture_output=True, text=True, env=environment, cwd="/"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return written_figures(words[0], file), done.stdout


def here(workspace, *words):
    """Runs a stage in this process, which spares the imports; returns its figures and its output."""
    file, said = workspace / f"{words[0]}.json", io.StringIO()
    with redirect_stdout(said):
        assert main([*map(str, words), "--workspace", str(workspace), "--json", str(file)]) == 0
    return written_figures(words[0], file), said.getvalue()


@pytest.fixture(scope="session")
def experiment(tmp_path_factory):
    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A workspace with prepared hands, and what ``prepare`` reported."""
    workspace = tmp_path_factory.mktemp("hands")
    return workspace, through_the_door(workspace, "prepare", "--phantom", *DRAWN)


@pytest.fixture(scope="session")
def one_fold(drawn, experiment):
    """One fold trained and submitted; ``ensemble`` finds nothing tuned."""
    workspace, _ = drawn
    here(workspace, "train", "--experiment", experiment, "--fold", 0)
    fold = workspace / "runs" / "phantom_hand_bone" / "tiny" / "fold0"
    marks = {name: hashlib.sha256((fold / name).read_bytes()).hexdigest() for name in ("weights.pt", "last.pt")}
    return workspace, marks, here(workspace, "ensemble", "--no-report")


@pytest.fixture(scope="session")
def five_folds(one_fold, experiment):
    """All folds trained, tuned and submitted; figures of each stage."""
    workspace = one_fold[0]
    figures = {"workspace": workspace, "fold0": one_fold[1]}
    figures["train"] = through_the_door(workspace, "train", "--experiment", experiment, "--fold", "0..4")
    figures["tune"] = here(workspace, "tune", "--members", "tiny")
    figures["ensemble"] = through_the_door(workspace, "ensemble", "--out", workspace / "mine.csv")
    return figures


def read_rows(path):
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["image_name", "class", "rle"]
    return rows


def decode(rle, side=256):
    """Run lengths, row after row, the first pixel is 1."""
    flat = np.zeros(side * side, bool)
    numbers = [int(word) for word in rle.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        assert length > 0
        assert not flat[start - 1 : start - 1 + length].any()
        assert 1 <= start <= start - 1 + length <= flat.size
        flat[start - 1 : start - 1 + length] = True
    return flat.reshape(side, side)


def encode(mask):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.ravel().astype(int), [0]])))
    return " ".join(f"{start + 1} {stop - start}" for start, stop in zip(edges[::2], edges[1::2], strict=True))


def true_masks(workspace):
    """(image, class) -> mask, drawn from the annotation files of the test hands."""
    masks = {}
    for file in (workspace / "data" / "phantom_hand_bone" / "truth" / "outputs_json").glob("*/*.json"):
        for annotation in json.loads(file.read_text())["annotations"]:
            mask = np.zeros((256, 256), np.uint8)
            cv2.fillPoly(mask, [np.array(annotation["points"]).reshape(-1, 2).astype(np.int32)], 1)
            masks[f"{file.stem}.png", annotation["label"]] = mask.astype(bool)
    return masks


def dice_by_hand(workspace, path):
    truth, scores = true_masks(workspace), {}
    for name, bone, rle in read_rows(path):
        ours, theirs = decode(rle), truth[name, bone]
        scores[name, bone] = 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())
    return scores


def expected_order(workspace):
    images = sorted((workspace / "data" / "phantom_hand_bone" / "test" / "DCM").glob("*/*.png"))
    assert len(images) == 4
    return [[image.name, bone] for image in images for bone in BONES]


def test_prepare_reports_what_it_read(drawn):
    figures, said = drawn[1]
    assert figures["samples"] == {"train": 10, "test": 4, "read": 14}
    assert (figures["groups"], figures["classes"], figures["problems"]) == (5, BONES, [])
    assert figures["folds"]["count"] == 5
    assert Path(figures["contact_sheet"]).stat().st_size > 10_000
    assert "not for git" in said


def test_one_trained_fold_is_enough_and_that_is_said(one_fold):
    workspace, _, (figures, said) = one_fold
    assert "nothing is tuned yet: running tune first" in said
    assert "scored on fold 0 alone" in said
    assert "PHANTOM DATA" in said
    assert figures["oof_crossfit"] is None
    assert [row[:2] for row in read_rows(figures["submission"])] == expected_order(workspace)


def test_a_finished_fold_is_not_trained_again(five_folds):
    folder = five_folds["workspace"] / "runs" / "phantom_hand_bone" / "tiny"
    assert sorted(five_folds["train"][0]["scores"]) == ["0", "1", "2", "3", "4"]
    for name, digest in five_folds["fold0"].items():
        assert hashlib.sha256((folder / "fold0" / name).read_bytes()).hexdigest() == digest
    assert len(list(folder.glob("fold*/finished.json"))) == 5


def test_the_submission_has_all_rows_in_the_organisers_order_and_stands_in_three_places(five_folds):
    workspace, (figures, said) = five_folds["workspace"], five_folds["ensemble"]
    assert {"submission", "oof", "oof_crossfit", "seconds", "peak_mb"} <= set(figures)
    assert 0 < figures["oof_crossfit"] <= figures["oof"] < 1
    assert [row[:2] for row in read_rows(figures["submission"])] == expected_order(workspace)
    content = Path(figures["submission"]).read_bytes()
    assert (workspace / "submissions" / "phantom_hand_bone" / "submission.csv").read_bytes() == content
    assert (workspace / "mine.csv").read_bytes() == content
    assert "submission is valid: 116 rows" in said


def test_score_agrees_with_masks_decoded_and_compared_by_hand(five_folds):
    workspace = five_folds["workspace"]
    truth = workspace / "data" / "phantom_hand_bone" / "truth" / "outputs_json"
    elsewhere = workspace / "elsewhere"
    elsewhere.mkdir()
    moved = workspace / "moved.csv"  # five epochs see hardly a bone, so the truth moved by three pixels is scored too
    lines = [
        f"{name},{bone},{encode(np.roll(mask, 3, axis=1))}" for (name, bone), mask in true_masks(workspace).items()
    ]
    moved.write_text("\n".join(["image_name,class,rle", *lines]) + "\n")
    assert 0.1 < np.mean(list(dice_by_hand(workspace, moved).values())) < 0.99
    for run, submission in ((here, moved), (through_the_door, five_folds["ensemble"][0]["submission"])):
        by_hand = dice_by_hand(workspace, submission)
        figures, _ = run(elsewhere, "score", submission, truth, "--size", "256x256")
        assert (figures["metric"], figures["rows"]) == ("dice", 116)
        assert figures["score"] == pytest.approx(np.mean(list(by_hand.values())), abs=1e-12)
        assert sorted(figures["per_class"]) == sorted(BONES)
        for bone, score in figures["per_class"].items():
            assert score == pytest.approx(np.mean([value for (_, name), value in by_hand.items() if name == bone]))
    assert five_folds["ensemble"][0]["test"] == pytest.approx(figures["score"], abs=1e-12)


def test_a_truth_in_submission_form_gives_the_same_score(five_folds):
    workspace, figures = five_folds["workspace"], five_folds["ensemble"][0]
    truth = workspace / "truth.csv"
    lines = [f"{name},{bone},{encode(mask)}" for (name, bone), mask in true_masks(workspace).items()]
    truth.write_text("\n".join(["image_name,class,rle", *lines]) + "\n")
    assert here(workspace, "score", figures["submission"], truth)[0]["score"] == pytest.approx(
        figures["test"], abs=1e-12
    )
    assert here(workspace, "score", truth, truth)[0]["score"] == 1.0


def test_check_takes_the_submission_and_refuses_one_without_its_last_row(five_folds, capsys):
    workspace, submission = five_folds["workspace"], five_folds["ensemble"][0]["submission"]
    figures, said = here(workspace, "check", submission)
    assert (figures["ok"], figures["rows"], figures["images"], figures["prepared"]) == (True, 116, 4, True)
    assert "image set, order" in said
    cut = workspace / "cut.csv"
    cut.write_text("".join(Path(submission).read_text().splitlines(keepends=True)[:-1]))
    assert main(["check", str(cut), "--workspace", str(workspace)]) == 1
    assert "Ulna" in capsys.readouterr().err


def test_tuning_reports_weights_thresholds_and_honest_numbers(five_folds):
    figures = five_folds["tune"][0]
    assert figures["members"] == {"tiny": 1.0}
    assert figures["coverage"] == 10
    assert list(figures["thresholds"]) == BONES
    assert 0 < figures["oof_crossfit"] <= figures["oof"]
    decision = json.loads(Path(figures["decision"]).read_text())
    assert decision["thresholds"] == figures["thresholds"]


def test_a_second_vote_reuses_the_maps_and_says_the_same(five_folds):
    workspace, first = five_folds["workspace"], five_folds["ensemble"][0]["submission"]
    maps = workspace / "runs" / "phantom_hand_bone" / "tiny" / "test"
    times = {path: path.stat().st_mtime_ns for path in maps.rglob("*.*")}
    assert times
    figures, said = here(workspace, "ensemble", "--no-report", "--decision", "tiny")
    assert "using cached test predictions" in said
    second = figures["submission"]
    assert {path: path.stat().st_mtime_ns for path in maps.rglob("*.*")} == times
    assert second != first
    assert Path(second).read_bytes() == Path(first).read_bytes()


def test_the_leaderboard_ranks_drawn_data_apart_and_records_a_score(five_folds):
    workspace, made = five_folds["workspace"], five_folds["ensemble"][0]
    figures, said = here(workspace, "leaderboard", "record", made["id"], "--public", "0.5")
    assert "PHANTOM" in said
    (ranking,) = figures["rankings"]
    assert (ranking["track"], ranking["phantom"]) == ("hand_bone", True)
    rows = {row["id"]: row for row in ranking["rows"]}
    assert (rows[made["id"]]["public"], rows[made["id"]]["private"]) == (0.5, None)
    assert rows[made["id"]]["cv_crossfit"] == pytest.approx(made["oof_crossfit"], abs=1e-6)
    assert rows[made["id"]]["test_score"] == pytest.approx(made["test"], abs=1e-6)
    assert rows[made["id"]]["file_sha256"] == hashlib.sha256(Path(made["submission"]).read_bytes()).hexdigest()
    assert ranking["rows"][-1]["cv_crossfit"] is None  # the fold alone is last


def test_two_members_get_weights_that_sum_to_one_and_vote(five_folds, experiment):
    workspace = five_folds["workspace"]
    here(workspace, "train", "--experiment", experiment, "--name", "second", "--set", "train.seed=1", "--fold", 0)
    tuned = here(workspace, "tune", "--members", "tiny:0,second", "--name", "both", "--trials", 20)[0]
    assert sorted(tuned["members"]) == ["second", "tiny"]
    assert sum(tuned["members"].values()) == pytest.approx(1)
    assert tuned["coverage"] == 2
    figures = here(workspace, "ensemble", "--no-report", "--decision", "both")[0]
    assert [row[:2] for row in read_rows(figures["submission"])] == expected_order(workspace)
    assert np.mean(list(dice_by_hand(workspace, figures["submission"]).values())) == pytest.approx(figures["test"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tune", "--members", "nope"], "run 'nope' has no trained fold"),
        (["tune", "--members", "tiny:7"], "there is no fold 7; the folds are 0..4"),
        (["ensemble", "--folds", "7..9"], "--folds 7..9: no member has fold 7, 8, 9 (tiny:0"),
        (["ensemble", "--decision", "nope"], "no decision 'nope' (there are: "),
        (["train", "--experiment", "EXPERIMENT", "--fold", "9"], "there is no fold 9; the folds are 0..4"),
        (
            ["train", "--experiment", "EXPERIMENT", "--set", "train.lr=1e-4", "--fold", "0"],
            "trained with other settings (train.lr 0.01, now 0.0001): ",
        ),
        (["leaderboard", "record", "nope", "--public", "0.5"], "unknown submission 'nope'"),
    ],
)
def test_a_wrong_word_is_answered_with_one_sentence(five_folds, experiment, capsys, words, sentence):
    words = [str(experiment) if word == "EXPERIMENT" else word for word in words]
    assert main([*words, "--workspace", str(five_folds["workspace"])]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_second_prepare_reads_nothing_and_a_changed_image_costs_one(five_folds):
    workspace = five_folds["workspace"]
    before = (workspace / "folds" / "phantom_hand_bone.csv").read_bytes()
    assert here(workspace, "prepare", "--phantom")[0]["samples"] == {"train": 10, "test": 4, "read": 0}
    image = min((workspace / "data" / "phantom_hand_bone" / "train" / "DCM").glob("*/*.png"))
    # Other bytes of the same pixels, so that the runs still count.
    cv2.imwrite(str(image), cv2.imread(str(image), cv2.IMREAD_UNCHANGED), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert [here(workspace, "prepare", "--phantom")[0]["samples"]["read"] for _ in range(2)] == [1, 0]
    assert (workspace / "folds" / "phantom_hand_bone.csv").read_bytes() == before


def leaves(value):
    """Yields the keys and values of nested dictionaries and lists, tensors as bytes."""
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, list | tuple):
        for one in value:
            yield from leaves(one)
    else:
        yield value.numpy().tobytes() if isinstance(value, torch.Tensor) else value


def test_a_killed_training_goes_on_to_the_same_weights_bit_for_bit(drawn, experiment, tmp_path):
    words = ["train", "--experiment", experiment, "--fold", 0, "--name", "long", "--set", "train.epochs=8"]
    fold = Path("runs") / "phantom_hand_bone" / "long" / "fold0"
    here(drawn[0], *words)
    duration = (drawn[0] / fold / "last.pt").stat().st_mtime - (drawn[0] / fold / "config.yaml").stat().st_mtime
    for folder in ("cache", "folds"):
        shutil.copytree(drawn[0] / folder, tmp_path / folder)
    process = subprocess.Popen(command(tmp_path, *words), start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        while not (tmp_path / fold / "config.yaml").exists():
            assert process.poll() is None
            time.sleep(0.005)
        delay = random.uniform(0, 0.8 * duration)
        end, history = time.monotonic() + delay, tmp_path / fold / "history.csv"  # this run may be the faster one
        while time.monotonic() < end and not (history.exists() and history.read_text().count("\n") > 7):
            time.sleep(0.005)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (tmp_path / fold / "finished.json").exists(), "the training ended before it could be killed"
    when = f"killed after {delay:.3f} of {duration:.3f} s"
    cut = (tmp_path / fold / "last.pt").exists()
    _, said = here(tmp_path, *words)
    assert ("fold 0: resumed after epoch" in said) == cut, when
    for name, parts in (("weights.pt", ["weights"]), ("last.pt", ["model", "ema", "optimizer", "random", "epoch"])):
        found, expected = (torch.load(root / fold / name, weights_only=True) for root in (tmp_path, drawn[0]))
        for part in parts:
            assert list(leaves(found[part])) == list(leaves(expected[part])), f"{name} {part}, {when}"
