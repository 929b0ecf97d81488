"""Curves and counts of tables against scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score, roc_curve

from competition.errors import CompetitionError
from competition.reporting.calibration import reliability
from competition.reporting.results.curve_points import curve_points
from competition.reporting.results.patient_cases import patient_cases, sorted_cases
from competition.reporting.results.table_curves import (
    decision_tables,
    location_counts,
    ranking_curves,
    table_reliability,
)

pytestmark = pytest.mark.slow  # draws charts


@pytest.fixture
def drawn():
    """Truth and probabilities of 60 samples and 4 classes, with ties."""
    random = np.random.default_rng(3)
    truth = (random.random((60, 4)) < [0.5, 0.3, 0.1, 0.0]).astype(np.int64)
    probabilities = np.round(np.clip(0.3 * truth + random.random((60, 4)) * 0.7, 0, 1), 2)
    return truth, probabilities


def test_curves_are_those_of_scikit_learn(drawn):
    truth, score = drawn[0][:, 0], drawn[1][:, 0]
    points, area, precision = curve_points(truth, score)
    assert (area, precision) == (roc_auc_score(truth, score), average_precision_score(truth, score))
    roc = points[points["curve"] == "roc"]
    for threshold, x, y in roc[["threshold", "x", "y"]].itertuples(index=False):
        called = score >= threshold
        assert (x, y) == pytest.approx((called[truth == 0].mean(), called[truth == 1].mean()))
    recall = points[(points["curve"] == "precision-recall") & points["threshold"].notna()]
    for threshold, x, y in recall[["threshold", "x", "y"]].itertuples(index=False):
        called = score >= threshold
        assert (x, y) == pytest.approx((called[truth == 1].mean(), truth[called].mean()))
    assert len(roc) == len(roc_curve(truth, score)[0])


def test_a_class_never_called_and_one_never_there(drawn):
    truth, probabilities = drawn
    called = np.column_stack([probabilities[:, 1] > 0.5, probabilities[:, 2] > 0.6, np.zeros(60, bool)])
    table = location_counts(("any", "a", "b", "c"), truth, probabilities, called)
    for index, name in enumerate("abc", start=1):
        row = table.iloc[index - 1]
        (_, alarms), (missed, caught) = confusion_matrix(truth[:, index], called[:, index - 1], labels=[0, 1])
        assert row["class"] == name
        assert row[["positives", "caught", "missed", "false alarms"]].tolist() == [
            truth[:, index].sum(),
            caught,
            missed,
            alarms,
        ]
    assert table["AUROC"].iloc[0] == roc_auc_score(truth[:, 1], probabilities[:, 1])
    assert np.isnan(table["AUROC"].iloc[2])


def test_reliability_of_a_table_is_that_of_scikit_learn(drawn):
    truth, probabilities = drawn[0][:, 0], drawn[1][:, 0]  # some on the borders of two bins
    bins = reliability(probabilities, np.ones(60, np.int64), truth)
    share, mean = calibration_curve(truth, probabilities, n_bins=10)
    assert bins["positive"].to_numpy() == pytest.approx(share)
    assert bins["probability"].to_numpy() == pytest.approx(mean)
    edges = reliability(np.array([0.0, 0.5, 1.0]), np.ones(3, np.int64), np.array([0, 1, 1]))
    assert edges[["from", "to"]].to_numpy().tolist() == [[0.0, 0.1], [0.4, 0.5], [0.9, 1.0]]


def test_the_figures_of_tuned_patients_are_those_numbers(tuned_patients):
    truth, probabilities = tuned_patients.targets, tuned_patients.combined.probs
    ranking, folds = ranking_curves(tuned_patients)
    area = roc_auc_score(truth[:, 0], probabilities[:, 0])
    assert f"AUROC {area:.3f}" in ranking.sentence
    assert area == pytest.approx(tuned_patients.decision.scores.oof)
    for fold in (0, 1):
        here = tuned_patients.tuning.folds == fold
        expected = roc_auc_score(truth[here, 0], probabilities[here, 0]) if len(set(truth[here, 0])) == 2 else np.nan
        assert folds.table["AUROC"].iloc[fold] == pytest.approx(expected, nan_ok=True)
    confusion, locations = decision_tables(tuned_patients)
    matrix = confusion_matrix(truth[:, 0], probabilities[:, 0] > 0.5)
    assert confusion.table[["called negative", "called positive"]].to_numpy().tolist() == matrix.tolist()
    assert locations.table["positives"].tolist() == truth[:, 1:].sum(axis=0).tolist()
    (figure,) = table_reliability(tuned_patients)
    assert figure.table["cases"].sum() == len(truth)
    (cases,) = patient_cases(tuned_patients)
    assert cases.body.count("<img") == len(cases.table) == len(set(cases.table["sample"]))


def test_patients_of_one_kind_have_no_curve(tuned_patients):
    object.__setattr__(tuned_patients, "targets", np.ones_like(tuned_patients.targets))
    with pytest.raises(CompetitionError, match="all 8 samples that were held out are positive"):
        ranking_curves(tuned_patients)


def test_mistakes_come_first_and_no_patient_twice():
    truth = np.array([1, 1, 0, 0, 1, 0, 1, 0])
    kinds = sorted_cases(truth, np.array([0.1, 0.9, 0.8, 0.2, 0.4, 0.6, 0.7, 0.3]))
    assert list(kinds.items())[:4] == [(0, "missed"), (4, "missed"), (2, "false alarm"), (5, "false alarm")]
    assert sorted(kinds) == list(range(8))
