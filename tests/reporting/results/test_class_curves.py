"""Curves, decisions and judged cells of tables of any metric, against scikit-learn."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from competition.ensembling.classification.rules import TableRule
from competition.errors import CompetitionError
from competition.metrics.metric import make_table_metric
from competition.metrics.tables import one_hot
from competition.reporting.inputs import ReportInputs
from competition.reporting.results.class_curves import class_curves, class_decisions, class_reliability

CLASSES = ("dark", "grey", "pale")


def inputs(targets, name, rule, truth=None, located=False):
    """A stub of ``ReportInputs`` with 40 samples of three classes in two folds."""
    random = np.random.default_rng(0)
    truth = one_hot(random.integers(0, 3, 40), 3) if truth is None else truth
    probs = random.dirichlet(np.ones(3), 40) + truth
    probs /= probs.sum(axis=1, keepdims=True)
    return SimpleNamespace(
        track=SimpleNamespace(classes=CLASSES, one_of_classes=targets != "multilabel"),
        targets=truth,
        combined=SimpleNamespace(probs=probs),
        voted=SimpleNamespace(outputs=rule.decide(probs)),
        decision=SimpleNamespace(rule=rule),
        tuning=SimpleNamespace(folds=np.arange(40) % 2),
        table_metric=make_table_metric(name, targets, CLASSES),
        located=located,
    )


NOTHING = TableRule(kind="none")
CUT = TableRule(kind="cut points", values=(0.4, 1.2))


@pytest.mark.slow  # draws charts
def test_every_class_has_a_line_and_every_fold_the_metric():
    given = inputs("ordinal", "kappa", CUT)
    ranking, folds = class_curves(given)
    assert set(ranking.table["class"]) == set(CLASSES)
    for index, name in enumerate(CLASSES):
        area = roc_auc_score(given.targets[:, index], given.combined.probs[:, index])
        precision = average_precision_score(given.targets[:, index], given.combined.probs[:, index])
        assert f"{name} {area:.3f}" in ranking.body
        assert f"{name} {precision:.3f}" in ranking.body
    wanted = [given.table_metric.score_table(given.targets[fold::2], given.combined.probs[fold::2]) for fold in (0, 1)]
    assert folds.table["kappa"].tolist() == pytest.approx(wanted)
    (reliability,) = class_reliability(given)
    assert reliability.table["cases"].sum() == 120


def test_no_class_of_both_kinds_has_no_curve():
    with pytest.raises(CompetitionError, match="no class has positive and negative samples"):
        class_curves(inputs("multilabel", "auroc", NOTHING, truth=np.ones((40, 3), dtype=np.int64)))


@pytest.mark.parametrize(("name", "rule"), [("kappa", CUT), ("auroc", NOTHING)])
def test_the_confusion_of_classes_that_exclude_each_other(name, rule):
    given = inputs("ordinal", name, rule)
    (figure,) = class_decisions(given)
    decided = given.voted.outputs.argmax(axis=1)
    wanted = confusion_matrix(given.targets.argmax(axis=1), decided, labels=[0, 1, 2])
    np.testing.assert_array_equal(figure.table[list(CLASSES)].to_numpy(), wanted)
    assert figure.table["truth"].tolist() == list(CLASSES)


def test_hits_and_errors_of_independent_classes():
    given = inputs("multilabel", "f1", TableRule(kind="thresholds", values=(0.3, 0.5, 0.6)))
    (figure,) = class_decisions(given)
    for index, row in figure.table.iterrows():
        cells = confusion_matrix(given.targets[:, index], given.voted.outputs[:, index], labels=[0, 1])
        (_, alarms), (missed, caught) = cells
        assert (row["caught"], row["missed"], row["false alarms"]) == (caught, missed, alarms)
    assert class_decisions(inputs("multilabel", "auroc", NOTHING)) == []


def test_a_sample_is_judged_by_its_true_class_or_by_the_worst():
    exclusive, independent = inputs("multiclass", "log_loss", NOTHING), inputs("multilabel", "auroc", NOTHING)
    judged = ReportInputs.judged.func
    assert judged(exclusive).tolist() == exclusive.targets.argmax(axis=1).tolist()
    errors = pd.DataFrame(np.abs(independent.targets - independent.combined.probs), columns=range(3))
    assert judged(independent).tolist() == errors.idxmax(axis=1).tolist()
    assert judged(inputs("multilabel", "auroc", NOTHING, located=True)).tolist() == [0] * 40
