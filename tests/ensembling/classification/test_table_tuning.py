"""The tuning of tables by every metric, on members made by hand whose best weights are known."""

import numpy as np
import pytest

from competition.ensembling import api
from competition.ensembling.classification.table_tuning import tune_table
from competition.ensembling.selection.weight_methods import METHODS
from competition.errors import CompetitionError
from competition.metrics.metric import make_table_metric

SAMPLES = 160
FOLDS = np.arange(SAMPLES) % 4
GROUPS = [f"patient {index}" for index in range(SAMPLES)]
RANDOM = np.random.default_rng(3)
CELLS = (RANDOM.random((SAMPLES, 3)) < 0.3).astype(int)
GRADES = np.eye(3, dtype=int)[RANDOM.integers(0, 3, SAMPLES)]
CLASSES = ("0", "1", "2")
CASES = [
    ("multilabel", "auroc"), ("multilabel", "log_loss"), ("multilabel", "f1"), ("multilabel", "pf1"),
    ("multiclass", "accuracy"), ("multiclass", "f1"), ("ordinal", "kappa"), ("ordinal", "rmse"),
]  # fmt: skip


def member(truth, noise, seed, exclusive):
    logits = 3 * truth - 1.5 + np.random.default_rng(seed).normal(0, noise, truth.shape)
    raised = np.exp(logits)
    return raised / raised.sum(axis=1, keepdims=True) if exclusive else raised / (1 + raised)


@pytest.mark.parametrize(("targets", "name"), CASES)
def test_the_good_member_gets_the_weight_and_what_is_reported_is_what_the_decision_does(targets, name):
    exclusive = targets != "multilabel"
    truth = GRADES if exclusive else CELLS
    tables = np.stack([member(truth, 0.8, 1, exclusive), member(truth, 9, 2, exclusive)])
    metric = make_table_metric(name, targets, CLASSES)
    tuned = tune_table(tables, truth, metric, FOLDS, GROUPS, METHODS["greedy"](2, 0))
    assert tuned.search.weights[0] > 700
    blend = np.tensordot(np.array(tuned.search.weights) / 1000, tables, axes=1)
    assert tuned.oof == pytest.approx(metric.score_table(truth, tuned.rule.rule.decide(blend)))
    assert tuned.crossfit == pytest.approx(metric.score_table(truth, tuned.rule.crossfit))
    assert tuned.interval[0] <= tuned.crossfit <= tuned.interval[1]
    plain = metric.score_table(truth, tables.mean(axis=0))
    assert tuned.gain.value == pytest.approx(tuned.crossfit - plain, abs=5e-3)
    assert tuned.gain.value > 0
    assert tuned.contributions[0].alone > tuned.contributions[1].alone
    assert tuned.contributions[0].left_out.high < 0


@pytest.mark.parametrize(("targets", "name"), CASES)
def test_plain_arrays_are_tuned_voted_and_scored(targets, name):
    exclusive = targets != "multilabel"
    truth = GRADES if exclusive else CELLS
    members = {"good": member(truth, 1, 1, exclusive), "fair": member(truth, 2, 2, exclusive)}
    decision = api.tune(members, truth, GROUPS, FOLDS.tolist(), name, classes=CLASSES, targets=targets)
    outputs = api.vote(members, decision, targets)
    assert api.score(outputs, truth, name, classes=CLASSES, targets=targets) == pytest.approx(decision.scores.oof)
    again = type(decision).model_validate_json(decision.model_dump_json())
    np.testing.assert_array_equal(api.vote(members, again, targets), outputs)


def test_a_crossfitted_score_sees_a_fold_neither_through_weights_nor_through_the_rule():
    tables = np.stack([member(GRADES, 1.5, 1, True), member(GRADES, 3, 2, True)])
    metric, propose = make_table_metric("kappa", "ordinal", CLASSES), METHODS["optuna"](2, 20)
    before = tune_table(tables, GRADES, metric, FOLDS, GROUPS, propose)
    changed = np.where((FOLDS == 1)[:, None], GRADES[:, ::-1], GRADES)
    after = tune_table(tables, changed, metric, FOLDS, GROUPS, propose)
    assert after.search.weights_without[1] == before.search.weights_without[1]
    np.testing.assert_array_equal(after.rule.crossfit[FOLDS == 1], before.rule.crossfit[FOLDS == 1])


def test_ranks_are_for_metrics_of_order():
    tables = np.stack([member(CELLS, 1, 1, False)] * 2)
    ranked = tune_table(
        tables, CELLS, make_table_metric("auroc", "multilabel", CLASSES), FOLDS, GROUPS, METHODS["equal"](2, 0), "rank"
    )
    assert ranked.crossfit > 0.8
    with pytest.raises(CompetitionError, match="macro F1 needs probabilities"):
        tune_table(
            tables, CELLS, make_table_metric("f1", "multilabel", CLASSES), FOLDS, GROUPS, METHODS["equal"](2, 0), "rank"
        )
