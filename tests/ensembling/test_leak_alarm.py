"""Shuffled labels: what is learned, what it is scored against, and that a leak lifts the score."""

from dataclasses import replace

import pytest
from sklearn.metrics import roc_auc_score

from competition.config import Experiment
from competition.ensembling.leak_alarm import learned_entries
from competition.errors import CompetitionError
from competition.prediction.probability_maps import read_scores
from pipelines import train, tune


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
    with pytest.raises(CompetitionError, match="shuffled labels can't be weighed against others"):
        stage_on(tune, tiny_patients, "--members", "alarm,honest")
    with pytest.raises(CompetitionError, match="shuffled labels can't be weighed against others"):
        stage_on(tune, tiny_patients, "--members", "honest,alarm")
