"""tune --method and --by-group: what is searched, what is printed, and that the vote follows."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import pipelines.context
from competition.data.cache import read_cached_planes
from competition.ensembling import tuning
from competition.ensembling.decision import load_decision
from competition.ensembling.segmentation import thresholds
from competition.ensembling.segmentation import tuning as segmentation
from competition.ensembling.segmentation.weight_search import search_weights
from competition.ensembling.tuning import TuneRequest, request_of
from competition.installation import REPOSITORY
from competition.masks.bit_planes import unpack_planes
from competition.masks.run_lengths import encode_mask
from competition.prediction.probability_maps import read_map
from competition.submission.run_lengths.files import read_rle_csv
from pipelines.__main__ import main

pytestmark = pytest.mark.slow

GROUPS = {"round": ("disc",), "straight": ("square", "bar")}


@pytest.fixture
def grouped_hands(hands_with_run, shared_hands, monkeypatch):
    """The workspace with the run quick, of a track that declares two groups of classes."""
    track = replace(shared_hands.track, class_groups=GROUPS)
    monkeypatch.setattr(pipelines.context, "get_track", lambda name: track)
    return hands_with_run


@pytest.fixture
def two_members(stage, grouped_hands, hand_entries, write_maps, tmp_path):
    """Imported members: "discs" is right about discs and "lines" about the rest; elsewhere both are two rows off."""

    def seen(entry, right):
        if entry.split == "test":
            random = np.random.default_rng([right, *entry.sample.encode()])
            return random.integers(100, 160, (3, entry.height, entry.width), dtype=np.uint8)
        truth = unpack_planes(read_cached_planes(grouped_hands, entry.sample), 3).astype(bool)
        wrong = [index for index in range(3) if (index == 0) != (right == 0)]
        truth[wrong] = np.roll(truth[wrong], 2, axis=1)
        return np.where(truth, 250, 5).astype(np.uint8)

    for right, name in enumerate(("discs", "lines")):
        for split in ("train", "test"):
            write_maps(tmp_path / name / split, hand_entries[split], partial(seen, right=right))
        folders = ("--oof", tmp_path / name / "train", "--test", tmp_path / name / "test")
        stage("import", "--name", name, *folders, "--folds", grouped_hands.fold_file())
    return grouped_hands


def tune_words(*words):
    return "tune", "--members", "discs,lines", "--window", "0.5:0.5", *words


@pytest.mark.parametrize("method", ["greedy", "optuna"])
def test_each_group_gets_its_own_weights_and_the_vote_obeys(stage, two_members, hand_entries, tmp_path, method):
    tuned, said = stage(*tune_words("--by-group", "--method", method, "--trials", 8, "--name", "both"))
    assert tuned["class_groups"] == {"round": {"discs": 1000, "lines": 0}, "straight": {"discs": 0, "lines": 1000}}
    assert "with fewer than 3 folds, the groups are split into parts for cross-fitting" in said
    assert tuned["oof_crossfit"] == 1
    assert "weights of round: discs 1.000, lines 0.000" in said
    assert "round: searched weights taken: cross-fitted gain +" in said
    assert tuned["oof"] == 1
    decision = load_decision(Path(tuned["decision"]))
    assert decision.method == method
    # One class and two: the mean over three classes.
    assert tuned["members"] == {"discs": 0.333, "lines": 0.667}
    folder = two_members.ensemble_folder("both")
    with (folder / "members.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["member"] for row in rows] == ["discs", "lines"]
    assert [row["weight_straight"] for row in rows] == ["0.0", "1.0"]
    assert list(tuned["worth"]) == ["discs", "lines"]
    # Without the one the other is two rows off where it has learned nothing.
    for row, other in zip(rows, rows[::-1], strict=True):
        assert float(row["left_out"]) == pytest.approx(float(other["alone"]) - 1, abs=2e-6)
        assert float(row["low"]) <= float(row["left_out"]) <= float(row["high"]) < 0
    assert "contribution of each member" in said
    with (folder / "trials.csv").open(newline="") as file:
        trials = list(csv.DictReader(file))
    best = {group: max(float(row[f"score_{group}"]) for row in trials) for group in GROUPS}
    assert best == {"round": 1.0, "straight": 1.0}
    assert max(float(row["score"]) for row in trials) < 1

    made, _ = stage("ensemble", "--decision", "both")
    submitted = read_rle_csv(Path(made["submission"]))
    for entry in hand_entries["test"]:
        maps = [read_map(tmp_path / name / "test", entry.sample) for name in ("discs", "lines")]
        for index, name in enumerate(("disc", "square", "bar")):
            if decision.operations[name] == "none":
                expected = maps[int(index > 0)][index] > decision.levels[name]
                assert submitted[entry.name, name] == encode_mask(expected)
    ranking, _ = stage("leaderboard")
    manifest = json.loads((Path(made["submission"]).parent / "manifest.json").read_text())
    assert manifest["weights"] == "round 1+0, straight 0+1"
    assert ranking


def test_equal_weights_are_not_searched_and_gain_nothing(stage, two_members):
    tuned, said = stage(*tune_words("--method", "equal"))
    assert tuned["members"] == {"discs": 0.5, "lines": 0.5}
    assert tuned["class_groups"] == {}
    assert "equal weights: nothing was searched" in said
    assert (tuned["gain"], tuned["gain_low"], tuned["gain_high"]) == (0, 0, 0)
    assert "cross-fitted less equal weights at 0.5" in said
    row = tuned["per_class"]["disc"]
    assert (row["threshold"], row["raw_threshold"], row["shrunk_threshold"]) == (0.5, 0.5, 0.5)


def test_the_contested_pixels_of_a_tuning_serve_the_next(stage, two_members):
    _, said = stage(*tune_words("--method", "equal"))
    assert "cached" not in said
    _, said = stage(*tune_words("--method", "greedy", "--name", "other"))
    assert "using cached contested pixels of 10 of 10 images" in said
    files = sorted(path.stem for path in two_members.contested_folder().rglob("*.npy"))
    assert files == sorted(f"hand{number}" for number in range(10))
    assert not list(two_members.ensembles_folder().rglob("*.npy"))


def test_a_search_on_some_images_is_said_in_one_line(stage, two_members, monkeypatch):
    monkeypatch.setattr(segmentation, "search_weights", partial(search_weights, search_limit=8))
    # Five groups in five parts omit none; two parts do.
    monkeypatch.setattr(segmentation, "crossfit_parts", lambda folds, groups: folds)
    tuned, said = stage(*tune_words("--method", "greedy", "--by-group"))
    assert "weights were searched on 8 of 10 images (whole groups of every fold)" in said
    assert tuned["class_groups"]["round"] == {"discs": 1000, "lines": 0}
    with (two_members.ensemble_folder("discs+lines") / "trials.csv").open(newline="") as file:
        assert {row["images"] for row in csv.DictReader(file)} == {"8", "10"}
    _, said = stage(*tune_words("--method", "equal"))
    assert "weights were searched" not in said  # there was nothing to search


def test_a_decision_on_all_runs_tells_how_it_was_made(stage, two_members):
    stage("tune", "--method", "equal", "--by-group", "--window", "0.5:0.5")
    path = two_members.ensemble_folder("discs+lines+quick") / "decision.json"
    decision = load_decision(path)
    assert (decision.everything, decision.method, list(decision.class_groups)) == (True, "equal", list(GROUPS))
    assert request_of(decision) == TuneRequest(combine="mean", method="equal", by_group=True, window=(0.5, 0.5))


def test_a_track_without_groups_says_so(refusal, hands_with_run):
    error, _ = refusal("tune", "--members", "quick", "--by-group")
    assert "declares no groups of classes. Omit --by-group" in error


def test_given_weights_leave_nothing_to_choose(refusal, grouped_hands):
    assert "--trials 0 tries nothing" in refusal("tune", "--trials", "0")[0]
    for option in (("--by-group",), ("--method", "greedy")):
        error, _ = refusal("tune", "--members", "quick", "--weights", "1", *option)
        assert "--weights are not searched, so --method and --by-group have nothing to choose" in error


def test_thresholds_are_searched_by_studies_on_request(stage, hands_with_run, monkeypatch):
    monkeypatch.setitem(thresholds.THRESHOLDS, "optuna", partial(thresholds.study_levels, trials=10))
    swept, _ = stage("tune", "--members", "quick")
    studied, _ = stage("tune", "--members", "quick", "--thresholds", "optuna", "--name", "studied")
    for row in studied["per_class"].values():
        assert "optuna_threshold" not in row
        assert abs(row["raw_threshold"] - 0.5) <= 0.45
    assert studied["fold_mean"] == swept["fold_mean"]


def test_intervals_of_few_groups_are_called_too_narrow(stage, hands_with_run, hand_entries, monkeypatch):
    groups = len({entry.group for entry in hand_entries["train"]})
    samples = len(hand_entries["train"])
    _, said = stage("tune", "--members", "quick")
    assert f"{samples} of {samples} samples, of {groups} groups, are covered by quick" in said
    assert (f"with only {groups} groups, the 95 % intervals below are too narrow\n" in said) == (groups < 10)
    monkeypatch.setattr(tuning, "FEW_GROUPS", groups)
    assert "too narrow" not in stage("tune", "--members", "quick")[1]
    monkeypatch.setattr(tuning, "FEW_GROUPS", groups + 1)
    assert "intervals below are too narrow" in stage("tune", "--members", "quick")[1]


def test_an_unknown_method_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["tune", "--method", "genetic"])
    said = capsys.readouterr().err
    assert "genetic" in said
    assert all(name in said for name in ("optuna", "greedy", "equal"))


def test_tune_starts_without_importing_networks():
    code = "import sys, pipelines.tune; print([name for name in ('torch', 'timm', 'sklearn') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout == "[]\n"
