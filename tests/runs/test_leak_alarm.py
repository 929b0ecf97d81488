"""Shuffled labels: what is learned, what it is scored against, and that a leak lifts the score."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from competition.errors import CompetitionError
from competition.prediction.probability_maps import read_scores, write_scores
from competition.runs.leak_alarm import judge_shuffled, learned_entries, too_good
from competition.settings import Experiment
from pipelines import train, tune

pytestmark = pytest.mark.slow


def shuffling(seed=0):
    return Experiment.model_validate({"data": {"shuffle_labels": True}, "train": {"seed": seed}})


def test_shuffled_labels_are_the_same_labels_dealt_out_anew(shared_patients):
    entries = shared_patients.train()
    shuffled = learned_entries(entries, shuffling())
    assert [replace(entry, targets=()) for entry in shuffled] == [replace(entry, targets=()) for entry in entries]
    assert sorted(entry.targets for entry in shuffled) == sorted(entry.targets for entry in entries)
    assert [entry.targets for entry in shuffled] != [entry.targets for entry in entries]
    assert learned_entries(entries, shuffling()) == shuffled
    assert any(learned_entries(entries, shuffling(seed)) != shuffled for seed in (1, 2, 3))


def test_without_the_alarm_every_sample_keeps_its_label(shared_patients):
    assert learned_entries(shared_patients.train(), Experiment()) == list(shared_patients.train())


@pytest.fixture
def trained(stage_on, tiny_patients, tiny_experiment, tmp_path):
    """Trains all folds of a run with given settings."""

    def run(name, **data):
        file = tmp_path / f"{name}.yaml"
        model, settings = {"encoder": "test_resnet"}, {"epochs": 1}
        file.write_text(tiny_experiment(multiview=True, model=model, data=data, train=settings).to_yaml())
        return stage_on(train, tiny_patients, "--experiment", file, "--name", name, "--fold", "all")

    return run


def test_predictions_are_scored_against_the_labels_that_were_dealt(trained, stage_on, tiny_patients):
    figures = trained("alarm", shuffle_labels=True)
    tuned = stage_on(tune, tiny_patients, "--members", "alarm")
    dealt = learned_entries(tiny_patients.train(), shuffling())
    answers = {}
    for fold in range(tiny_patients.folds.count):
        held_out = tiny_patients.folds.held_out(dealt, fold)
        samples = [entry.sample for entry in held_out]
        folder = tiny_patients.workspace.fold_folder("alarm", fold) / "oof"
        probs = read_scores(folder, samples, tiny_patients.track.classes)[:, 0]
        answers |= dict(zip(samples, probs.tolist(), strict=True))
        truth = [entry.targets[0] for entry in held_out]
        if len(set(truth)) == 2:
            assert figures["scores"][str(fold)] == pytest.approx(roc_auc_score(truth, probs))
    truth = [entry.targets[0] for entry in dealt]
    assert truth != [entry.targets[0] for entry in tiny_patients.train()]
    assert tuned["oof"] == pytest.approx(roc_auc_score(truth, [answers[entry.sample] for entry in dealt]))


def test_a_run_of_the_alarm_is_not_weighed_against_others(trained, stage_on, tiny_patients):
    trained("alarm", shuffle_labels=True)
    trained("honest")
    with pytest.raises(CompetitionError, match="shuffled labels can't be weighted with others"):
        stage_on(tune, tiny_patients, "--members", "alarm,honest")
    with pytest.raises(CompetitionError, match="shuffled labels can't be weighted with others"):
        stage_on(tune, tiny_patients, "--members", "honest,alarm")


@pytest.mark.parametrize(
    ("score", "phantom", "alarmed"), [(0.91, False, True), (0.9, False, False), (1.0, True, False)]
)
def test_scores_of_real_patients_above_any_honest_one_name_the_other_alarms(score, phantom, alarmed):
    said = too_good(score, phantom)
    assert (said is not None) is alarmed
    if said is not None:
        assert said.startswith(f"LEAK ALARM: an out-of-fold AUROC of {score:.2f} ")
        for other in ("files alone", "share an image", "data.shuffle_labels=true"):
            assert other in said


@pytest.mark.exhaustive
@pytest.mark.parametrize(("positives", "negatives"), [(33, 39), (8, 12), (523, 604)])
def test_the_range_of_chance_holds_nearly_all_shuffles_and_no_leak(positives, negatives):
    random = np.random.default_rng(0)
    targets = np.repeat([1, 0], [positives, negatives])
    scores = random.random(len(targets))
    leaks = [judge_shuffled(random.permutation(targets), scores)[0] for _ in range(800)]
    assert 0.001 < np.mean(leaks) < 0.012  # one-sided 2.58 standard errors: 0.005
    leak, said = judge_shuffled(targets, targets + random.normal(0, 0.5, len(targets)))
    assert leak
    assert said.startswith("LEAK ALARM: shuffled labels of ")
    assert f"AUROC of {roc_auc_score(targets, scores):.3f}" in judge_shuffled(targets, scores)[1]


def test_less_than_chance_or_one_class_is_no_leak():
    targets = np.repeat([1, 0], [30, 30])
    assert judge_shuffled(targets, -targets.astype(float))[0] is False
    for few in ([1, 1, 1, 1], [1, 0], [1, 1, 1, 1, 0, 0, 0, 0]):
        leak, said = judge_shuffled(np.array(few), np.array(few, float))
        assert not leak
        assert said.endswith(f"{sum(few)} and {len(few) - sum(few)} held-out patients are too few to show a leak")


def give_answers(prepared, run, entries):
    """Every fold of a run answers what is true of the entries it holds out."""
    for fold in range(prepared.folds.count):
        held_out = prepared.folds.held_out(entries, fold)
        folder = prepared.workspace.fold_folder(run, fold) / "oof"
        scores = np.array([entry.targets for entry in held_out], float)
        write_scores(folder, [entry.sample for entry in held_out], prepared.track.classes, scores)


def test_train_and_tune_say_that_true_labels_are_told_too_well(trained, stage_on, tiny_patients, capsys):
    trained("honest")
    assert "LEAK ALARM" not in capsys.readouterr().out
    give_answers(tiny_patients, "honest", tiny_patients.train())
    trained("honest")
    assert capsys.readouterr().out.count("*** LEAK ALARM: an out-of-fold AUROC of 1.00") == 1
    stage_on(tune, tiny_patients, "--members", "honest")
    assert capsys.readouterr().out.count("*** LEAK ALARM: an out-of-fold AUROC of 1.00") == 1


def test_train_gives_a_verdict_on_shuffled_labels(trained, tiny_patients, capsys, monkeypatch):
    trained("alarm", shuffle_labels=True)
    assert "4 and 4 held-out patients are too few to show a leak" in capsys.readouterr().out
    monkeypatch.setattr("competition.runs.leak_alarm.BEYOND_CHANCE", 2.0)
    trained("alarm", shuffle_labels=True)
    assert capsys.readouterr().out.count("no leak: shuffled labels of 8 held-out patients are predicted with an") == 1
    give_answers(tiny_patients, "alarm", learned_entries(tiny_patients.train(), shuffling()))
    trained("alarm", shuffle_labels=True)
    said = capsys.readouterr().out
    assert (
        said.count("*** LEAK ALARM: shuffled labels of 8 held-out patients are predicted with an AUROC of 1.000") == 1
    )
    assert "any honest figure" not in said
