"""Tuning called from Python, without a command line."""

import pytest

from competition.ensembling.current_decision import named_decision, newest_decision
from competition.ensembling.decision import load_decision
from competition.ensembling.tuning import TuneRequest, request_of, tune
from competition.errors import CompetitionError
from competition.runs.fold_training import train_one
from competition.runs.run import open_run


@pytest.mark.slow
def test_a_run_is_tuned_and_its_decision_is_the_newest(tiny_hands, tiny_experiment):
    track, workspace = tiny_hands.track, tiny_hands.workspace
    run = open_run("tiny", track, workspace, tiny_experiment(train={"epochs": 1}))
    for fold in (0, 1):
        train_one(run, fold, force=False)
    assert newest_decision(workspace) is None
    path, tuning = tune(track, workspace, TuneRequest(method="equal"))
    assert path == newest_decision(workspace) == named_decision(workspace, "tiny")
    assert load_decision(path) == tuning.decision
    assert tuning.decision.everything
    assert request_of(tuning.decision) == TuneRequest(method="equal")
    assert [row["class"] for row in tuning.class_rows] == list(track.classes)
    assert [row["member"] for row in tuning.member_rows] == ["tiny"]
    _, named = tune(track, workspace, TuneRequest({"tiny": (1,)}, name="one"))
    assert not named.decision.everything
    assert named.decision.members[0].folds == (1,)
    with pytest.raises(CompetitionError, match=r"no decision 'two' \(there are: one, tiny\)"):
        named_decision(workspace, "two")


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (TuneRequest(), "no run is trained"),
        (TuneRequest(trials=0), "--trials 0 tries nothing"),
        (TuneRequest(combine="rank"), "--combine rank is for classifications"),
        (TuneRequest(name="a/b"), "a decision can't be called 'a/b'"),
    ],
)
def test_a_request_that_can_not_be_met_is_one_sentence(tiny_hands, request_, sentence):
    with pytest.raises(CompetitionError, match=sentence):
        tune(tiny_hands.track, tiny_hands.workspace, request_)
    assert not tiny_hands.workspace.ensembles_folder().exists()
