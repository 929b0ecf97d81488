"""Probabilities of several folds are joined by key, each sample once, and scored together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from competition.data.manifest import Entry
from competition.ensembling.selection.bootstrap import figure_of
from competition.errors import CompetitionError
from competition.tracks import get_track
from pipelines.benchmarks.notebook_race import DATA_SETS
from pipelines.benchmarks.table_answers import TableAnswers, read_probabilities

CLASSES = ("a", "b")
BLANK = Entry("", "", "train", "", "", (True,), 1, 1, (0.0,), (1.0,), (), "", "", "")


def test_the_samples_of_all_folds_are_scored_at_once(tmp_path):
    track = get_track({one.name: one.track for one in DATA_SETS}["blood_cells"])
    random = np.random.default_rng(0)
    truth, probs = random.integers(0, 2, (30, 2)), random.random((30, 2)).round(1)
    keys = [f"s{number}" for number in range(30)]
    table = pd.DataFrame(probs, pd.Index(keys, name="key"), track.classes)
    for fold in (0, 1):
        table[fold::2].to_csv(tmp_path / f"fold{fold}.csv")
    entries = [replace(BLANK, sample=key, targets=tuple(row)) for key, row in zip(keys, truth.tolist(), strict=True)]
    answers = TableAnswers(track, Path())
    assert answers.metric == "mean AUROC"
    assert figure_of(answers.statistic(entries, tmp_path), 30) == pytest.approx(roc_auc_score(truth, probs), abs=1e-12)


def test_probabilities_come_in_the_order_of_the_samples_and_classes(tmp_path):
    (tmp_path / "fold0.csv").write_text("key,a,b\n007,0.125,0.75\nx,0,1\n")
    (tmp_path / "fold3.csv").write_text("key,b,a\n7,0.25,0.5\n")
    read = read_probabilities(tmp_path, ["7", "x", "007"], CLASSES)
    assert read.tolist() == [[0.5, 0.25], [0, 1], [0.125, 0.75]]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("y,0,1", "sample 'x' has 0 rows of probabilities, not one"),
        ("x,0,1\nx,0,1", "sample 'x' has 2 rows of probabilities, not one"),
        ("x,0,", "a probability is missing or not from 0 to 1"),
        ("x,0,1.5", "a probability is missing or not from 0 to 1"),
    ],
)
def test_a_sample_without_exactly_one_sound_row_is_an_error(tmp_path, rows, reason):
    (tmp_path / "fold0.csv").write_text(f"key,a,b\n{rows}\n")
    with pytest.raises(CompetitionError, match=reason):
        read_probabilities(tmp_path, ["x"], CLASSES)
