"""The decision that ensemble follows when none is named: folds trained since are never left out silently."""

import json
import os
import time
from pathlib import Path

import pytest

from competition.data.folds import write_folds
from competition.errors import CompetitionError
from pipelines import ensemble, train, tune

pytestmark = pytest.mark.slow


@pytest.fixture
def stage(stage_on, tiny_hands, tiny_experiment, tmp_path):
    """Runs a stage on tiny hands; train takes the tiny settings."""
    settings = tmp_path / "tiny.yaml"
    settings.write_text(tiny_experiment(train={"epochs": 1}).to_yaml())

    def run(module, *words):
        return stage_on(module, tiny_hands, *words, *(("--experiment", settings) if module is train else ()))

    return run


def voting(figures):
    """Run -> folds that voted, from the submission's own record."""
    manifest = json.loads(Path(figures["submission"]).with_name("manifest.json").read_text())
    return {member["name"]: member["folds"] for member in manifest["decision"]["members"]}


@pytest.mark.exhaustive
def test_folds_trained_since_are_tuned_in_where_everything_was_meant(stage, capsys):
    stage(train, "--fold", "0")
    assert voting(stage(ensemble)) == {"tiny": [0]}
    assert voting(stage(ensemble)) == {"tiny": [0]}
    assert "running tune again" not in capsys.readouterr().out
    stage(train, "--fold", "0,1")
    assert voting(stage(ensemble)) == {"tiny": [0, 1]}
    assert "decision tiny predates tiny (folds 1): running tune again" in capsys.readouterr().out
    stage(train, "--fold", "0,1", "--name", "second", "--set", "train.seed=1")
    assert voting(stage(ensemble)) == {"second": [0, 1], "tiny": [0, 1]}


def test_a_choice_of_ones_own_is_kept_and_what_it_does_not_know_is_said(stage, capsys):
    stage(train, "--fold", "0,1")
    stage(tune, "--members", "tiny:0", "--name", "mine")
    assert voting(stage(ensemble)) == {"tiny": [0]}
    assert "predates" not in capsys.readouterr().out  # fold 1 was there and was left out
    stage(train, "--fold", "0", "--name", "second")
    assert voting(stage(ensemble)) == {"tiny": [0]}
    assert "*** the decision predates second (folds 0); run tune to include it ***" in capsys.readouterr().out


def test_a_workspace_copied_elsewhere_holds_no_new_folds(stage, tiny_hands, capsys):
    stage(train, "--fold", "0,1")
    stage(tune, "--members", "tiny:0", "--name", "mine")
    later = time.time() + 3600
    os.utime(tiny_hands.workspace.fold_folder("tiny", 1) / "finished.json", (later, later))
    stage(ensemble)
    assert "predates" not in capsys.readouterr().out


def test_members_named_with_folds_are_those_of_the_decision_or_it_is_another(stage):
    stage(train, "--fold", "0,1")
    stage(ensemble)
    assert voting(stage(ensemble, "--members", "tiny")) == voting(stage(ensemble, "--members", "tiny:0,1"))
    with pytest.raises(
        CompetitionError, match=r"has the members tiny:0,1, not tiny:0: .*run\.sh tune --members tiny:0,"
    ):
        stage(ensemble, "--members", "tiny:0")
    with pytest.raises(CompetitionError, match=r"run 'tony' has no trained fold, did you mean 'tiny'\?"):
        stage(ensemble, "--members", "tony")


def test_scores_of_folds_that_were_changed_since_are_not_shown_as_if_they_held(stage, tiny_hands, capsys):
    stage(train, "--fold", "0,1")
    stage(ensemble)
    assert "has changed since decision" not in capsys.readouterr().out
    write_folds(tiny_hands.workspace.fold_file(), tiny_hands.folds.fold_of | {"person0": 1}, "moved by hand")
    stage(ensemble)
    assert " has changed since decision tiny was tuned" in capsys.readouterr().out


def test_a_model_of_all_samples_is_no_news(stage, capsys):
    stage(train, "--fold", "0,1")
    stage(ensemble)
    stage(train, "--fold", "full")
    stage(train, "--fold", "full", "--name", "alldata")
    capsys.readouterr()
    assert voting(stage(ensemble)) == {"tiny": [0, 1]}
    said = capsys.readouterr().out
    assert "predates" not in said
    assert "running tune again" not in said


def test_a_model_of_all_samples_does_not_throw_away_what_folds_can_tell(stage):
    stage(train, "--fold", "0,1")
    stage(train, "--fold", "full", "--name", "alldata")
    with pytest.raises(
        CompetitionError, match=r"full of run 'alldata' .*--name alldata --fold 0.*--members alldata:0,full"
    ):
        stage(tune, "--members", "tiny:0,1,alldata:full")
    figures = stage(tune, "--members", "tiny")
    assert figures["coverage"] == 10
