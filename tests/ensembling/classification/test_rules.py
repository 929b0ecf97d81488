"""Rules against exhaustive search over every distinct decision of a few samples."""

from itertools import product

import numpy as np
import pytest

from competition.ensembling.classification.rules import TableRule, choose_rule, rules_of
from competition.ensembling.classification.thresholds import one_threshold, thresholds_each
from competition.metrics.metric import make_table_metric

CLASSES = ("a", "b", "c")


def cells(seed, samples=9, classes=3):
    random = np.random.default_rng(seed)
    truth = (random.random((samples, classes)) < 0.4).astype(int)
    return truth, np.round(np.clip(0.3 * truth + random.random((samples, classes)) * 0.7, 0, 1), 1)


def grades(seed, samples=14, classes=4):
    random = np.random.default_rng(seed)
    truth = np.eye(classes, dtype=int)[random.integers(0, classes, samples)]
    probs = truth * 0.6 + random.dirichlet(np.ones(classes), samples)
    return truth, np.round(probs / probs.sum(axis=1, keepdims=True), 1)


def candidates(values):
    return [-0.01, *((values[1:] + values[:-1]) / 2), 1.0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "declared",
    ["f1", {"name": "f1", "average": "micro"}, {"name": "f1", "column": "b"}, "accuracy",
     {"name": "accuracy", "balanced": True}, {"name": "f1", "weights": {"a": 3}}],
)  # fmt: skip
def test_thresholds_reach_the_best_of_all_combinations(declared, seed):
    truth, probs = cells(seed)
    metric = make_table_metric(declared, "multilabel", CLASSES)
    each = [candidates(np.unique(column)) for column in probs.T]
    best = max(metric.score_table(truth, probs > np.array(cut)) for cut in product(*each))
    found = TableRule(kind="thresholds", values=tuple(thresholds_each(metric, truth, probs)))
    assert metric.score_table(truth, found.decide(probs)) == pytest.approx(best, abs=1e-12)
    together = max(metric.score_table(truth, probs > cut) for cut in candidates(np.unique(probs)))
    one = one_threshold(metric, truth, probs)
    assert len(set(one)) == 1
    assert metric.score_table(truth, probs > one[0]) == pytest.approx(together, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("declared", ["kappa", "accuracy", {"name": "accuracy", "balanced": True}])
def test_cut_points_reach_the_best_of_all(declared, seed):
    truth, probs = grades(seed)
    metric = make_table_metric(declared, "ordinal", ("0", "1", "2", "3"))
    rule = rules_of(metric, 4).rules["cut points"](truth, probs)
    assert rule.kind == "cut points"
    assert rule.fault(4) is None
    middles = candidates(np.unique(probs @ np.arange(4)))
    middles[-1] = 9.0
    cuts = (cut for cut in product(middles, repeat=3) if list(cut) == sorted(cut))
    best = max(metric.score_table(truth, TableRule(kind="cut points", values=cut).decide(probs)) for cut in cuts)
    assert metric.score_table(truth, rule.decide(probs)) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("declared", ["f1", {"name": "accuracy", "balanced": True}, "accuracy"])
def test_offsets_of_two_classes_reach_the_best_and_of_three_a_local_one(declared, seed):
    truth, probs = grades(seed, classes=2)
    metric = make_table_metric(declared, "multiclass", ("a", "b"))
    shares = np.unique(probs[:, 1])
    best = max(
        metric.score_table(truth, np.column_stack([probs[:, 1] <= cut, probs[:, 1] > cut]))
        for cut in candidates(shares)
    )
    rule = rules_of(metric, 2).rules["offsets"](truth, probs)
    assert metric.score_table(truth, rule.decide(probs)) == pytest.approx(best, abs=1e-12)
    truth, probs = grades(seed, samples=60, classes=3)
    metric = make_table_metric(declared, "multiclass", CLASSES)
    rule = rules_of(metric, 3).rules["offsets"](truth, probs)
    reached = metric.score_table(truth, rule.decide(probs))
    assert reached >= metric.score_table(truth, probs)
    for index, step in product(range(3), np.linspace(-3, 3, 61)):
        moved = np.array(rule.values) + step * np.eye(3)[index]
        assert metric.score_table(truth, TableRule(kind="argmax", values=tuple(moved)).decide(probs)) <= reached + 1e-12


def test_a_tuned_rule_is_taken_only_where_it_gains_on_folds_that_it_never_saw():
    random = np.random.default_rng(0)
    truth = (random.random((300, 3)) < 0.2).astype(int)
    folds, groups = np.arange(300) % 5, [str(index) for index in range(300)]
    metric = make_table_metric("f1", "multilabel", CLASSES)
    timid = np.clip(0.2 * truth + 0.15 * random.random((300, 3)), 0, 1)  # never above 0.5
    chosen = choose_rule(metric, truth, timid, folds, groups, {})
    assert chosen.rule.kind == "thresholds"
    assert metric.score_table(truth, chosen.crossfit) > 0.9
    assert "more than one standard error" in chosen.reason
    right = np.where(truth == 1, 0.9, 0.1)
    assert choose_rule(metric, truth, right, folds, groups, {}).rule.values == (0.5, 0.5, 0.5)


def test_a_fold_is_decided_without_its_truth():
    truth, probs = cells(1, samples=120)
    folds, groups = np.arange(120) % 4, [str(index) for index in range(120)]
    metric = make_table_metric("f1", "multilabel", CLASSES)
    before = choose_rule(metric, truth, probs, folds, groups, {})
    changed = np.where((folds == 2)[:, None], 1 - truth, truth)
    after = choose_rule(metric, changed, probs, folds, groups, {})
    np.testing.assert_array_equal(after.crossfit[folds == 2], before.crossfit[folds == 2])
    assert (after.crossfit[folds != 2] != before.crossfit[folds != 2]).any()


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"kind": "thresholds", "values": (0.5,)}, "has 3 values, not 1"),
        ({"kind": "thresholds", "values": (0.5, 2, 0)}, "from 0 to 1"),
        ({"kind": "cut points", "values": (1.5, 0.5)}, "ascend"),
        ({"kind": "none", "values": (1.0,)}, "has 0 values"),
    ],
)
def test_a_damaged_rule_is_refused(rule, sentence):
    assert sentence in TableRule.model_validate(rule).fault(3)
