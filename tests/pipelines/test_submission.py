import csv

import numpy as np
import pytest

from competition.ensembling.decision import Decision, Member, Scores
from competition.prediction.probability_maps import write_scores
from pipelines.submission import write_submission


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
    apart = np.array([[0.1, -0.05, 0.02]])
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, sign in zip(folders, (1, -1), strict=True):
        write_scores(folder, samples, track.classes, blend + sign * apart)
    decision = Decision(
        track=track.name,
        dataset=track.name,
        task="classification",
        classes=track.classes,
        members=tuple(
            Member(name=name, folds=(0,), weight=500, config_hash="c", fold_hash="f") for name in ("one", "two")
        ),
        cuts={},
        thresholds={"left": 0.3 + 1e-12, "right": 0.6 + 1e-12},
        operations={},
        gate=gate,
        scores=Scores(fold_mean=None, fold_sd=None, oof=None, oof_crossfit=None, interval_low=None, interval_high=None),
        coverage=3,
        reason="made by hand",
    )
    path = tmp_path / "submission.csv"
    write_submission(track, decision, shared_patients.workspace, folders, entries, path)
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["Index", "any", "left", "right"]
    assert [float(row[1]) for row in rows] == pytest.approx([0.4, 0.8, 0.95])
    assert [[float(cell) for cell in row[2:]] for row in rows] == cells
