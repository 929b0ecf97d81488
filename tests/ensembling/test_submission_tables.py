import csv
import math

import numpy as np
import pytest

from competition.ensembling.decision import Decision, Scores, WeightedMember
from competition.ensembling.submission import write_submission
from competition.errors import CompetitionError
from competition.prediction.probability_maps import write_scores


def decision_of(track, **changes):
    """Two members of equal weight; some of it changed."""
    none = dict.fromkeys(("fold_mean", "fold_sd", "oof", "oof_crossfit", "interval_low", "interval_high"))
    made = {
        "track": track.name,
        "dataset": track.name,
        "task": "classification",
        "classes": track.classes,
        "members": tuple(
            WeightedMember(name=name, folds=(0,), weight=500, config_hash="c", fold_hash="f") for name in ("one", "two")
        ),
        "levels": {},
        "thresholds": {"left": 0.3 + 1e-12, "right": 0.6 + 1e-12},
        "operations": {},
        "scores": Scores(**none),
        "coverage": 3,
        "reason": "made by hand",
    }
    return Decision.model_validate(made | changes)


def handed_in(track, decision, prepared, folders, entries, path):
    """The rows of the table that is written, without their keys."""
    write_submission(track, decision, prepared, folders, entries, path)
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["Index", "any", "left", "right"]
    return [[float(cell) for cell in row[1:]] for row in rows]


@pytest.mark.parametrize(
    ("gate", "cells"),
    [
        (None, [[0, 1], [1, 0], [0, 1]]),
        (0.4, [[0, 0], [1, 0], [0, 1]]),  # a score that equals the gate does not pass
        (0.9, [[0, 0], [0, 0], [0, 1]]),
        (1.0, [[0, 0], [0, 0], [0, 0]]),
    ],
)
def test_a_table_holds_the_blend_and_cells_cut_behind_the_gate(shared_patients, tmp_path, gate, cells):
    track, entries = shared_patients.track, shared_patients.train()[:3]
    samples = [entry.sample for entry in entries]
    blend = np.array([[0.4, 0.3, 0.61], [0.8, 0.31, 0.6], [0.95, 0.2, 0.7]])
    apart = np.array([[0.04, -0.05, 0.02]])
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, sign in zip(folders, (1, -1), strict=True):
        write_scores(folder, samples, track.classes, blend + sign * apart)
    decision = decision_of(track, gate=gate)
    rows = handed_in(track, decision, shared_patients.workspace, folders, entries, tmp_path / "submission.csv")
    assert [row[0] for row in rows] == pytest.approx([0.4, 0.8, 0.95])
    assert [row[1:] for row in rows] == cells


@pytest.fixture
def two_members(shared_patients, tmp_path):
    """Folders of two members on three patients; their means are 0.5, 0.45, 0.35 | 0.4, 0.35, 0.2 | 0.55, 0.7, 0.65."""
    samples = [entry.sample for entry in shared_patients.train()[:3]]
    one = np.array([[0.9, 0.5, 0.3], [0.5, 0.6, 0.9], [0.6, 0.3, 0.8]])
    two = np.array([[0.1, 0.3, 0.8], [0.4, 0.1, 0.5], [0.1, 0.1, 0.5]])
    for name, table in (("one", one), ("two", two)):
        write_scores(tmp_path / name, samples, shared_patients.track.classes, table)
    return [tmp_path / "one", tmp_path / "two"]


def test_ranks_are_those_among_the_test_samples_and_the_rest_are_probabilities(
    shared_patients, two_members, tmp_path, capsys
):
    """The first member ranks 1, 0, 1/2, the second 1/4, 1, 1/4: two tie for the lowest."""
    track, entries = shared_patients.track, shared_patients.train()[:3]
    decision = decision_of(track, combine="rank", gate=0.4)
    path = tmp_path / "submission.csv"
    rows = handed_in(track, decision, shared_patients.workspace, two_members, entries, path)
    assert rows == [[0.625, 1, 0], [0.5, 1, 1], [0.375, 0, 0]]  # the gate is for the means 0.5, 0.45, 0.35
    assert "any: the mean of ranks among these 3 samples" in capsys.readouterr().out
    with pytest.raises(CompetitionError, match="at least two samples"):
        write_submission(track, decision, shared_patients.workspace, two_members, entries[:1], tmp_path / "alone.csv")
    assert not (tmp_path / "alone.csv").exists()


def test_a_logit_mean_is_handed_in_and_cut(shared_patients, two_members, tmp_path, capsys):
    """The geometric mean of the odds: 9 * 1/9 -> 1, 1 * 2/3, 3/2 * 1/9."""
    track, entries = shared_patients.track, shared_patients.train()[:3]
    decision = decision_of(track, combine="logit", gate=0.4)
    path = tmp_path / "submission.csv"
    rows = handed_in(track, decision, shared_patients.workspace, two_members, entries, path)
    odds = [1, math.sqrt(2 / 3), math.sqrt(1 / 6)]
    assert [row[0] for row in rows] == pytest.approx([value / (1 + value) for value in odds], abs=1e-8)
    # left: odds (1 * 3/7)^0.5 = 0.65 and (3/2 * 1/9)^0.5 = 0.41 against 3/7; right: (3/7 * 4)^0.5 = 1.31, 3 against 3/2
    assert [row[1:] for row in rows] == [[1, 0], [0, 1], [0, 0]]
    assert "rank" not in capsys.readouterr().out
