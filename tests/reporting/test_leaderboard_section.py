"""The leaderboard's figures against scipy, and what changed between rows."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from competition.errors import CompetitionError
from competition.reporting.inputs import ReportInputs
from competition.reporting.leaderboard_section import (
    changed,
    changes_between,
    leaderboard_section,
    rank_agreement,
    rank_correlation,
    submissions_over_time,
)
from competition.submission.leaderboard import Row, append

ROW = Row("a", "2026-11-21T10:00:00+00:00", "tiny_hands", False, "quick:0,1", "1", cv_crossfit=0.9, git_commit="abc")
DECISION = {"thresholds": {"disc": 0.5, "bar": 0.5}, "operations": {"disc": "none"}, "data_hash": "x"}


@pytest.fixture
def inputs(tiny_hands):
    return ReportInputs(tiny_hands.track, tiny_hands.workspace, None)


def add(inputs, *rows):
    for row in rows:
        append(inputs.workspace.leaderboard_file(), row)


def test_no_submission_names_the_command(inputs):
    section = leaderboard_section(inputs)
    assert section.figures == []
    assert section.missing.startswith("There is no submission of tiny_hands yet: ")
    assert section.missing.endswith("Run ./run.sh ensemble.")
    assert len(section.missing.splitlines()) == 1  # three parts say the same


def test_other_tracks_and_synthetic_data_are_left_out(inputs):
    add(inputs, ROW, replace(ROW, id="b", track="cardiac"), replace(ROW, id="c", phantom=True))
    (figure,) = submissions_over_time(inputs)
    assert figure.table["id"].tolist() == ["a"]
    assert figure.sentence.startswith("1 submission in the order")
    assert changes_between(inputs) == []


def test_ranks_are_those_of_scipy_from_three_submissions_on(inputs):
    cross, public = [0.90, 0.92, 0.91, 0.93], [0.80, 0.85, 0.86, 0.88]
    pairs = enumerate(zip(cross, public, strict=True))
    rows = [replace(ROW, id=str(number), cv_crossfit=one, public=other) for number, (one, other) in pairs]
    add(inputs, *rows[:2])
    (figure,) = rank_agreement(inputs)
    assert "2 submissions have a public score; a correlation takes 3" in figure.sentence
    add(inputs, *rows[2:])
    (figure,) = rank_agreement(inputs)
    expected = spearmanr(cross, public).statistic
    assert f"public score {expected:.2f} over 4 submissions; cross-validation ranks well" in figure.sentence
    assert figure.table["spearman"].tolist() == pytest.approx([expected] * 4)
    assert np.isnan(rank_correlation(pd.Series([1.0, 1.0, 1.0]), pd.Series([1.0, 2.0, 3.0])))


def test_without_a_score_of_the_organiser_the_command_is_named(inputs):
    add(inputs, ROW)
    with pytest.raises(CompetitionError, match=r"Run \./run\.sh leaderboard record a --public SCORE"):
        rank_agreement(inputs)


def test_changes_are_commit_members_thresholds_and_data(inputs):
    before, after = vars(ROW), vars(replace(ROW, id="b", members="quick:0,1+big:0", git_commit=""))
    other = {"thresholds": {"disc": 0.6, "bar": 0.5}, "operations": {"disc": "fill"}, "data_hash": "y"}
    assert changed(before, after, DECISION, other) == [
        "commit abc → unknown",
        "members quick:0,1 → quick:0,1+big:0",
        "threshold of disc",
        "post-processing of disc",
        "training data",
    ]
    assert changed(before, before, DECISION, DECISION) == []
    assert changed(before, before, None, DECISION) == ["thresholds unknown (no manifest.json)"]


def test_the_table_of_changes_reads_the_manifests(inputs):
    add(inputs, ROW, replace(ROW, id="b", cv_crossfit=0.92))
    for name, thresholds in (("a", {"disc": 0.5}), ("b", {"disc": 0.4})):
        folder = inputs.workspace.submission_file(name).parent
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"decision": DECISION | {"thresholds": thresholds}}))
    (figure,) = changes_between(inputs)
    assert figure.table["submission"].tolist() == ["b"]
    assert figure.table["what changed"].tolist() == ["threshold of disc"]
    assert figure.table["cross-fitted"].tolist() == pytest.approx([0.02])
