"""The stage explain on small trained runs."""

import csv
import shutil

import cv2
import numpy as np
import pytest

from competition.ensembling.tuning import TuneRequest, tune

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def large_squares(monkeypatch):
    """Fewer and larger squares hide the image, so that the tests are quick."""
    monkeypatch.setattr("competition.explanation.occlusion.SQUARES_PER_SIDE", 4)


def test_samples_and_files_are_explained_in_pictures_and_a_table(hands_with_run, stage, tmp_path):
    np.save(tmp_path / "mine.npy", np.full((40, 60), 50, np.uint8))
    words = ("explain", "hand0", "hand10.npy", tmp_path / "mine.npy", "--run", "quick", "--out", tmp_path / "why")
    figures, said = stage(*words, "--class", "disc", "--class", "square")
    assert figures["member"] == "quick:0,1"
    with (tmp_path / "why" / "explanations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["sample"], row["class"]) for row in rows] == [
        (sample, name) for sample in ("hand0", "hand10", "mine") for name in ("disc", "square")
    ]
    assert {row["sample"]: (row["folds"], row["truth"]) for row in rows} == {
        "hand0": ("0", "1"),
        "hand10": ("0 1", ""),
        "mine": ("0 1", ""),
    }
    assert [row["rank_correlation"] for row in figures["rows"]] == [
        float(row["rank_correlation"]) if row["rank_correlation"] else None for row in rows
    ]
    assert sorted(path.name for path in (tmp_path / "why").iterdir()) == [
        ".gitignore",
        "explanations.csv",
        "hand0.png",
        "hand10.png",
        "mine.png",
    ]
    assert cv2.imread(str(tmp_path / "why" / "hand0.png")).shape[1] > 1000
    assert not hands_with_run.image_file("mine", "image").exists()
    assert said.count("do not rely on the map") == sum(bool(row["advice"]) for row in rows)


def test_without_a_run_the_heaviest_member_of_the_newest_decision_is_explained(
    hands_with_run, shared_hands, stage, refusal, tmp_path
):
    shutil.rmtree(hands_with_run.ensembles_folder(), ignore_errors=True)
    error, _ = refusal("explain", "hand0", "--out", tmp_path / "why")
    assert "nothing is tuned yet" in error
    assert "or name a run with --run" in error
    tune(shared_hands.track, hands_with_run, TuneRequest({"quick": (0, 1)}, name="mine"))
    for words in ((), ("--decision", "mine")):
        figures, _ = stage("explain", "hand1", "--out", tmp_path / "why", *words)
        assert figures["member"] == "quick:0,1"
        (row,) = figures["rows"]
        assert (row["sample"], row["folds"], row["out_of_fold"]) == ("hand1", "0", 1)
    error, _ = refusal("explain", "hand0", "--out", tmp_path / "why", "--decision", "yours")
    assert "no decision 'yours' (there are: mine)" in error


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("hand0", "--run", "quack"), "run 'quack' has no trained fold, did you mean 'quick'?"),
        (("hand0", "--run", "quick:1"), "fold 0 of run 'quick' held sample 'hand0' out"),
        (("hand0", "--run", "quick,other"), "--run takes one run, not 2"),
        (("hand99", "--run", "quick"), "neither a prepared sample nor a file: 'hand99'"),
        (("hand0", "--run", "quick", "--class", "dsic"), "has no class 'dsic', did you mean 'disc'?"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(hands_with_run, refusal, tmp_path, words, sentence):
    error, _ = refusal("explain", *words, "--out", tmp_path / "why")
    assert sentence in error
    assert not (tmp_path / "why").exists()


def test_a_folder_of_someone_else_is_not_replaced(hands_with_run, refusal, tmp_path):
    (tmp_path / "why").mkdir()
    (tmp_path / "why" / "thesis.txt").write_text("mine")
    error, _ = refusal("explain", "hand0", "--run", "quick", "--out", tmp_path / "why")
    assert str(tmp_path / "why") in error
    assert (tmp_path / "why" / "thesis.txt").read_text() == "mine"


def test_features_of_a_single_position_are_named(patients_with_run, refusal, tmp_path):
    error, _ = refusal("explain", "2", "--run", "quick", "--out", tmp_path / "why")
    assert "single position at this size" in error
    assert "data.size" in error
