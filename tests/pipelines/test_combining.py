"""How members become one, from tune's option to the submitted table, as a user calls it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from competition.ensembling.decision import load_decision
from competition.errors import CompetitionError
from competition.prediction.probability_maps import read_scores
from competition.runs.fold_training import train_one
from competition.runs.run import Run
from competition.submission.table.files import read_table_csv
from pipelines import ensemble, train, tune

pytestmark = pytest.mark.slow


@pytest.fixture
def stage(stage_on, tiny_patients, tiny_experiment, tmp_path):
    """Runs a stage on tiny patients; train takes the tiny settings."""
    settings = tmp_path / "tiny.yaml"
    settings.write_text(tiny_experiment(multiview=True, train={"epochs": 1}).to_yaml())

    def run(module, *words):
        return stage_on(module, tiny_patients, *words, *(("--experiment", settings) if module is train else ()))

    return run


@pytest.fixture(scope="module")
def three_runs(shared_patients, copy_prepared, tiny_experiment, tmp_path_factory):
    """Patients with three runs of two folds each, shared by tests that only tune."""
    prepared = copy_prepared(shared_patients, tmp_path_factory.mktemp("three") / "patients")
    for seed, name in enumerate(("tiny", "second", "third")):
        experiment = tiny_experiment(multiview=True, train={"epochs": 1, "seed": seed})
        run = Run(name, prepared.track, prepared.workspace, experiment, prepared.manifest, prepared.folds)
        for fold in (0, 1):
            train_one(run, fold, force=False)
    return prepared


def voted(figures):
    """The decision that a submission followed."""
    return json.loads(Path(figures["submission"]).with_name("manifest.json").read_text())["decision"]


def test_a_rule_goes_from_tune_into_the_decision_and_from_there_into_the_submission(stage, tiny_patients, capsys):
    track, workspace = tiny_patients.track, tiny_patients.workspace
    stage(train, "--fold", "0,1")
    stage(train, "--fold", "0,1", "--name", "second", "--set", "train.seed=1")
    decision = load_decision(Path(stage(tune, "--combine", "logit", "--trials", 5)["decision"]))
    assert decision.combine == "logit"
    handed_in = Path(stage(ensemble)["submission"])
    row = read_table_csv(handed_in, track.classes).iloc[0]
    assert set(row[1:]) <= {0, 1}
    members = [path.parent for path in workspace.run_folder("*").parent.glob("*/test/*/scores.parquet")]
    first, second = (read_scores(folder, ["8"], track.classes)[0, 0] for folder in sorted(members))
    weights = {member.name: member.weight / 1000 for member in decision.members}
    names = [folder.parent.parent.name for folder in sorted(members)]
    logits = [np.log(p / (1 - p)) * weights[name] for name, p in zip(names, (first, second), strict=True)]
    assert row.iloc[0] == pytest.approx(1 / (1 + np.exp(-sum(logits))), abs=1e-7)

    # A decision that was to know every run is made again for a new one, by the rule of before.
    stage(train, "--fold", "0,1", "--name", "third", "--set", "train.seed=2")
    again = voted(stage(ensemble))
    assert [member["name"] for member in again["members"]] == ["second", "third", "tiny"]
    assert again["combine"] == "logit"

    capsys.readouterr()
    stage(tune, "--combine", "rank", "--trials", 5, "--name", "ranks")
    assert "any: mean of ranks among these 8 samples" in capsys.readouterr().out
    with pytest.raises(CompetitionError, match=r"at least two samples.*Tune again with --combine mean or logit"):
        stage(ensemble, "--decision", "ranks")  # there is one test patient


def test_maps_are_refused_before_anything_is_read(stage_on, tiny_hands):
    with pytest.raises(CompetitionError, match=r"--combine rank is for classifications: .*Omit --combine"):
        stage_on(tune, tiny_hands, "--combine", "rank")


@pytest.mark.parametrize("method", ["greedy", "optuna", "equal"])
def test_each_method_weighs_scores_and_says_what_each_member_is_worth(stage_on, three_runs, capsys, method):
    figures = stage_on(tune, three_runs, "--method", method, "--trials", 6, "--name", "mine")
    decision = load_decision(Path(figures["decision"]))
    assert decision.method == method
    assert sum(figures["members"].values()) == pytest.approx(1)
    assert decision.scores.gain_low <= decision.scores.gain <= decision.scores.gain_high
    folder = Path(figures["decision"]).parent
    members = pd.read_csv(folder / "members.csv").set_index("member")
    assert members["weight"].to_dict() == figures["members"]
    assert ((members["alone"] >= 0) & (members["alone"] <= 1)).all()
    assert ((members["low"] <= members["left_out"]) & (members["left_out"] <= members["high"])).all()
    tried = pd.read_csv(folder / "trials.csv")
    assert list(tried["score"]) == sorted(tried["score"], reverse=True)
    equal = (tried[["second", "third", "tiny"]] - 1 / 3).abs().max(axis=1) < 0.001
    assert equal.sum() == 1
    if method == "equal":
        assert len(tried) == 1
        assert decision.reason == "equal weights: nothing was searched"
    else:
        assert len(tried) > 6
    said = capsys.readouterr().out
    assert "contribution of each member" in said
    assert "before post-processing" not in said
    assert "cross-fitted less plain mean of probabilities" in said


def test_given_weights_are_kept_and_measured(stage_on, three_runs):
    words = ("--members", "tiny,third", "--weights", "3,1", "--combine", "rank", "--name", "given")
    figures = stage_on(tune, three_runs, *words)
    assert figures["members"] == {"tiny": 0.75, "third": 0.25}
    decision = load_decision(Path(figures["decision"]))
    assert (decision.method, decision.combine) == ("given", "rank")
    assert set(figures["worth"]) == {"tiny", "third"}


def test_groups_of_classes_are_for_masks(stage_on, three_runs):
    with pytest.raises(CompetitionError, match="--by-group is for masks"):
        stage_on(tune, three_runs, "--by-group")
