"""A vote of some folds: its own expectation, counted densely here, and its place outside of the leaderboard."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from competition.data.cache import read_cached_planes
from competition.data.folds import read_folds
from competition.files import write_sealed_json
from competition.formats.json_files import read_json
from competition.masks.bit_planes import unpack_planes
from competition.prediction.probability_maps import read_map
from competition.submission import leaderboard

pytestmark = pytest.mark.slow


def recorded(workspace):
    return len(leaderboard.read(workspace.leaderboard_file()))


def manifest_of(figures):
    return json.loads(Path(figures["submission"]).with_name("manifest.json").read_text())


def dense_dice(workspace, entries, cuts):
    """Mean Dice of the run quick on what its fold 0 held out, pixel by pixel."""
    scores = []
    for entry in entries:
        truth = unpack_planes(read_cached_planes(workspace, entry.sample), 3)
        levels = read_map(workspace.fold_folder("quick", 0) / "oof", entry.sample)
        for mask, level, cut in zip(truth, levels, cuts, strict=True):
            ours = level > cut
            total = int(mask.sum()) + int(ours.sum())
            scores.append(2 * int((mask & ours).sum()) / total if total else 1.0)
    return np.mean(scores)


def test_the_score_of_one_fold_is_that_of_the_people_it_held_out(hands_with_run, hand_entries, stage):
    whole, _ = stage("ensemble")
    assert (whole["recorded"], recorded(hands_with_run)) == (True, 1)
    file = hands_with_run.ensemble_folder("quick") / "decision.json"
    decision = read_json(file, "Tune again")
    decision["operations"] = dict.fromkeys(decision["operations"], "none")
    write_sealed_json(file, decision)
    figures, said = stage("ensemble", "--folds", "0")
    fold_of = read_folds(hands_with_run.fold_file()).fold_of
    held_out = [entry for entry in hand_entries["train"] if fold_of[entry.group] == 0]
    expected = dense_dice(hands_with_run, held_out, decision["levels"].values())
    assert 0 < len(held_out) < len(hand_entries["train"])
    assert figures["oof"] == pytest.approx(expected, abs=1e-12)
    assert figures["oof_crossfit"] is None
    assert f"expect about {expected:.4f}: the out-of-fold score of these folds alone, on the {len(held_out)} " in said
    assert "not entered in the leaderboard" in said
    assert (figures["recorded"], recorded(hands_with_run)) == (False, 1)
    kept = manifest_of(figures)
    assert (kept["cv_oof"], kept["cv_crossfit"], kept["cv_fold_mean"]) == (figures["oof"], None, None)


def test_some_folds_enter_the_leaderboard_with_their_own_score_where_that_is_asked_for(hands_with_run, stage):
    whole, _ = stage("ensemble")
    figures, said = stage("ensemble", "--folds", "1", "--record")
    assert "not entered" not in said
    rows = leaderboard.read(hands_with_run.leaderboard_file()).set_index("id")
    assert rows.loc[figures["id"], "members"] == "quick:1"
    assert rows.loc[figures["id"], "cv_oof"] == pytest.approx(figures["oof"], abs=1e-6)
    assert np.isnan(rows.loc[figures["id"], "cv_crossfit"])
    assert rows.loc[whole["id"], "cv_oof"] == pytest.approx(whole["oof"], abs=1e-6)


def test_all_folds_named_one_by_one_are_the_whole_decision(hands_with_run, stage):
    whole, _ = stage("ensemble")
    figures, said = stage("ensemble", "--folds", "0,1")
    assert (figures["oof"], figures["oof_crossfit"]) == (whole["oof"], whole["oof_crossfit"])
    assert figures["recorded"]
    assert "these folds alone" not in said


def test_the_auroc_of_one_fold(patients_with_run, shared_patients, stage):
    stage("ensemble")
    figures, _ = stage("ensemble", "--folds", "1")
    fold_of = read_folds(patients_with_run.fold_file()).fold_of
    held_out = [entry for entry in shared_patients.train() if fold_of[entry.group] == 1]
    table = pd.read_parquet(patients_with_run.fold_folder("quick", 1) / "oof" / "scores.parquet").set_index("sample")
    truth = [entry.targets[0] for entry in held_out]
    assert len(set(truth)) == 2
    assert figures["oof"] == pytest.approx(roc_auc_score(truth, [table.loc[entry.sample, "any"] for entry in held_out]))


def test_folds_that_have_changed_since_have_no_score(hands_with_run, stage):
    stage("ensemble")
    file = hands_with_run.fold_file()
    lines = file.read_text().splitlines()
    moved = next(number for number, line in enumerate(lines) if line.endswith(",0"))
    lines[moved] = f"{lines[moved][:-1]}1"
    file.write_text("\n".join(lines) + "\n")
    figures, said = stage("ensemble", "--folds", "0")
    assert figures["oof"] is None
    assert "the score of these folds is unknown" in said
