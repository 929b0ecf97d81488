"""The report's decision rule, by hand and on a run that was really trained."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from competition.ensembling.classification import report_rules as module
from competition.ensembling.classification.report_rules import decide_as_the_report, report_rule, training_scores
from competition.errors import CompetitionError
from competition.metrics.tables import score_aneurysm
from competition.prediction.predictor import make_predictor, predict_scores
from competition.prediction.probability_maps import read_scores
from competition.runs.fold_training import train_one
from competition.runs.members import open_member
from competition.runs.run import Run
from competition.training.checkpoints import load_network, load_trained, save_trained
from competition.workspace import checkpoint_file

pytestmark = pytest.mark.slow


def test_gate_and_thresholds_are_the_median_and_the_ninetieth_percentiles():
    """Eleven patients with scores 0, 0.1 ... 1 in three columns, each shuffled in its own way."""
    random = np.random.default_rng(0)
    probs = np.column_stack([random.permutation(11) / 10 for _ in range(3)])
    rule = report_rule(probs)
    assert rule.gate == pytest.approx(0.5)
    assert rule.thresholds == pytest.approx([0.9, 0.9])
    decided = rule.decide(np.array([[0.5, 1, 1], [0.6, 0.9, 0.91], [0.6, 0.95, 0.1]]))
    assert decided.astype(int).tolist() == [[0, 0], [0, 1], [1, 0]]  # what equals a threshold does not pass it


@pytest.mark.parametrize("count", [1, 2, 3, 40, 1127])
def test_percentiles_lie_between_neighbours_as_numpy_and_pandas_have_it(count):
    values = np.sort(np.random.default_rng(count).random(count))
    place = 0.9 * (count - 1)
    low, high = values[int(place)], values[min(int(place) + 1, count - 1)]
    expected = low + (high - low) * (place - int(place))
    assert report_rule(np.column_stack([values, values])).thresholds == pytest.approx([expected])
    ordered = values if count % 2 else [*values[: count // 2 - 1], *[values[count // 2 - 1 : count // 2 + 1].mean()]]
    middle = ordered[count // 2] if count % 2 else ordered[-1]
    assert report_rule(np.column_stack([values, values])).gate == pytest.approx(middle)


def test_a_tenth_of_the_training_patients_is_called_for_every_location_however_rare():
    probs = np.random.default_rng(1).random((1000, 22))
    probs[:, 0] = 0.5 + 0.5 * probs[:, 1:].max(axis=1)
    probs[500:, 0] *= 0.1
    rule = report_rule(probs)
    passed = probs[probs[:, 0] > rule.gate]
    assert len(passed) == 500
    assert rule.decide(probs).mean() == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize("probs", [np.empty((0, 3)), np.array([[0.1, np.nan]])])
def test_scores_that_say_nothing_are_refused(probs):
    with pytest.raises(CompetitionError, match="report's rule"):
        report_rule(probs)


@pytest.fixture(scope="module")
def run(shared_patients, tiny_experiment):
    experiment = tiny_experiment(
        multiview=True, model={"encoder": "test_resnet"}, predict={"views": ["identity", "hflip"]}
    )
    made = Run(
        "ours",
        shared_patients.track,
        shared_patients.workspace,
        experiment,
        shared_patients.manifest,
        shared_patients.folds,
    )
    for fold in (0, 1):
        train_one(made, fold, force=False)
    return made


def member_of(run, folds=None):
    return open_member(run.workspace, run.folds, run.manifest.of("train"), run.name, folds)


def test_training_scores_are_those_of_the_best_weights_on_what_the_fold_learned_from(run):
    learned = run.folds.training(run.manifest.of("train"), 1)
    found = training_scores(run.track, run.workspace, run.name, 1, learned)
    trained = load_trained(checkpoint_file(run.folder(1)))
    predictor = make_predictor([load_network(trained, run.track)], run.experiment, run.track, run.workspace, None)
    wanted = [predict_scores(predictor, entry, ("identity", "hflip")) for entry in learned]
    np.testing.assert_array_equal(found, wanted)


def test_training_scores_are_kept_until_the_weights_change(run, monkeypatch):
    learned = run.folds.training(run.manifest.of("train"), 0)
    first = training_scores(run.track, run.workspace, run.name, 0, learned)
    monkeypatch.setattr(module, "store_predictions", lambda *_: pytest.fail("predicted again"))
    turned = training_scores(run.track, run.workspace, run.name, 0, learned[::-1])
    np.testing.assert_array_equal(turned, first[::-1])
    monkeypatch.undo()
    path = checkpoint_file(run.folder(0))
    trained = load_trained(path)
    changed = {name: value + 0.5 if name == "head.bias" else value for name, value in trained.weights.items()}
    save_trained(path, replace(trained, weights=changed))
    after = training_scores(run.track, run.workspace, run.name, 0, learned)
    save_trained(path, trained)
    assert (after > first).all()


def test_each_fold_is_decided_by_the_rule_of_its_own_training_set(run):
    training = run.manifest.of("train")
    asked = training[::-1]
    table = decide_as_the_report(run.track, run.workspace, run.folds, member_of(run), training, asked)
    for row, entry in zip(table, asked, strict=True):
        fold = run.folds.fold_of[entry.group]
        learned = run.folds.training(training, fold)
        assert entry.sample not in [other.sample for other in learned]
        seen = training_scores(run.track, run.workspace, run.name, fold, learned)
        own = read_scores(run.folder(fold) / "oof", [entry.sample], run.track.classes)[0]
        assert row[0] == own[0]
        passes = own[0] > np.median(seen[:, 0])
        assert row[1:].tolist() == [passes and own[i] > np.quantile(seen[:, i], 0.9) for i in (1, 2)]
    truth = np.array([entry.targets for entry in asked])
    assert 0 <= score_aneurysm(truth, table).accuracy <= 1


def test_a_sample_no_fold_held_out_is_an_error(run):
    training = run.manifest.of("train")
    lost = run.folds.held_out(training, 1)[0].sample
    with pytest.raises(CompetitionError, match=f"no fold of run 'ours' held out sample '{lost}'"):
        decide_as_the_report(run.track, run.workspace, run.folds, member_of(run, [0]), training, training)


def test_the_rule_uses_the_weights_of_the_fold(run):
    assert not torch.equal(*(load_trained(checkpoint_file(run.folder(fold))).weights["head.weight"] for fold in (0, 1)))
