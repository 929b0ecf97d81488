"""Every count metric against dense masks in float64: single units and subsets."""

from itertools import product

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.metrics.counts import dice_metric, f_beta_metric, iou_metric
from competition.metrics.metric import METRICS, make_metric
from competition.metrics.ratios import Ratios, join

GROUPS = ["b", "a", "b", "c", "a", "c", "c", "d"]


def formula(name, truth, called):
    """A score of two masks of any shape, as textbooks define it; None where both are empty."""
    hit, missed, wrong = (truth & called).sum(), (truth & ~called).sum(), (~truth & called).sum()
    if hit + missed + wrong == 0:
        return None
    if name == "iou":
        return hit / (hit + missed + wrong)
    squared = {"dice": 1.0, "f_beta": 4.0}[name]
    return (1 + squared) * hit / ((1 + squared) * hit + squared * missed + wrong)


def dense_score(name, unit, empty, truth, called, groups):
    """The mean over units, then over classes, of masks (n, C, H, W)."""
    units = {"image": list(range(len(groups))), "group": groups, "all": [0] * len(groups)}[unit]
    by_class = []
    for index in range(truth.shape[1]):
        scores = []
        for one in dict.fromkeys(units):
            rows = [row for row, other in enumerate(units) if other == one]
            score = formula(name, truth[rows, index], called[rows, index])
            if score is not None or empty != "skip":
                scores.append(float(empty) if score is None else score)
        by_class.append(np.mean(scores))
    return float(np.mean(by_class))


@pytest.fixture(scope="module")
def masks():
    """Truth and decision, (8, 2, 6, 5): some images lack a class in one of the two or in both."""
    random = np.random.default_rng(3)
    truth = random.random((8, 2, 6, 5)) < 0.3
    called = truth ^ (random.random(truth.shape) < 0.2)
    truth[[1, 4], 0], called[[4, 5], 0] = False, False
    truth[[0, 7], 1], called[[0, 7], 1] = False, False
    return truth, called


def counts_of(truth, called):
    return np.stack([(truth & called).sum(axis=(2, 3)), called.sum(axis=(2, 3)), truth.sum(axis=(2, 3))], axis=1)


MAKERS = {"dice": dice_metric, "iou": iou_metric, "f_beta": lambda **options: f_beta_metric(2, **options)}
CASES = list(product(MAKERS, ("image", "group", "all"), (0, 1, "skip")))


@pytest.mark.parametrize(("name", "unit", "empty"), CASES)
def test_a_metric_is_what_dense_masks_give(masks, name, unit, empty):
    metric = MAKERS[name](unit=unit, empty=empty)
    expected = dense_score(name, unit, empty, *masks, GROUPS)
    assert metric.score(counts_of(*masks), GROUPS) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("name", "unit", "empty"), CASES)
def test_sums_over_any_set_of_units_give_its_score(masks, name, unit, empty):
    """What cross-fitting rests on: folds are left out by adding up the others."""
    metric, (truth, called) = MAKERS[name](unit=unit, empty=empty), masks
    rows = [row for row, group in enumerate(GROUPS) if group != "b"]
    groups = [GROUPS[row] for row in rows]
    pooled = metric.pool(counts_of(truth, called), GROUPS)
    _, first = metric.units(GROUPS)
    kept = np.array([GROUPS[image] != "b" for image in first])
    found = metric.ratios(*np.moveaxis(pooled, 1, 0)).take(kept)
    expected = dense_score(name, unit, empty, truth[rows], called[rows], groups)
    assert found.scores().mean() == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(found.values().mean(axis=0), found.scores(), atol=1e-12)


def test_units_are_groups_in_the_order_of_their_first_image():
    unit_of, first = dice_metric(unit="group").units(GROUPS)
    assert unit_of.tolist() == [0, 1, 0, 2, 1, 2, 2, 3]
    assert first.tolist() == [0, 1, 3, 7]
    unit_of, first = dice_metric(unit="all").units(GROUPS)
    assert unit_of.tolist() == first.tolist() == list(range(8))


def test_a_linearised_ratio_moves_as_the_ratio_does_when_a_unit_is_repeated():
    """The values of a pooled score are its derivative with respect to how often a unit is taken."""
    random = np.random.default_rng(0)
    hits, areas = random.integers(1, 50, (40, 1)).astype(float), random.integers(50, 90, (40, 1)).astype(float)
    ratios, more = Ratios(hits, areas), 1e-6
    values = ratios.values()
    for row in range(3):
        moved = (hits.sum() + more * hits[row]) / (areas.sum() + more * areas[row])
        slope = (moved - ratios.scores()) / more
        assert (values[row] - values.mean()) / len(values) == pytest.approx(slope, rel=1e-4)


def test_ratios_are_joined_taken_and_read_at_a_level():
    numerators, denominators = np.arange(12.0).reshape(2, 2, 3), np.ones((2, 2, 3))
    ratios = Ratios(numerators, denominators)
    both = join([ratios, ratios])
    assert len(both) == 4
    assert both.at(np.array([0, 2]), np.array([1])).numerators.tolist() == [[6, 11]]
    assert ratios.at(np.array([[0, 1], [2, 0]])).numerators.tolist() == [[0, 4], [8, 9]]
    assert ratios.classes(np.array([1])).scores().tolist() == [[6, 7, 8]]
    assert Ratios(numerators).classes(np.array([1])).scores().tolist() == [[6, 7, 8]]


def test_a_metric_is_declared_by_name_or_with_options():
    assert make_metric("iou") == iou_metric()
    declared = {"name": "f_beta", "beta": 0.5, "unit": "group", "empty": "skip"}
    assert make_metric(declared).key == "F0.5, unit group, empty skip"
    assert make_metric({"name": "dice", "unit": "all"}).title == "pooled Dice"
    assert make_metric("auroc").title == "mean AUROC"


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("dise", "unknown metric 'dise'.*dice"),
        ("mAP", "unknown metric 'mAP', did you mean 'object_ap' or 'mask_ap'"),
        ("Jaccard", "unknown metric 'Jaccard', did you mean 'iou'"),
        ({"unit": "all"}, "unknown metric None"),
        ({"name": "dice", "unit": "person"}, "unit is 'person', not one of image, group, all"),
        ({"name": "dice", "empty": True}, "empty is True, not one of 0, 1, skip"),
        ({"name": "dice", "beta": 2}, "metric dice: .*beta"),
        ({"name": "f_beta", "beta": -1}, "beta must be above 0"),
        ({"name": "auroc", "unit": "all"}, "metric auroc: .*unit"),
    ],
)
def test_what_is_wrong_with_a_declaration_is_named(declared, message):
    with pytest.raises(CompetitionError, match=message):
        make_metric(declared)


def test_a_metric_from_outside_is_known_by_its_name(monkeypatch):
    monkeypatch.setitem(METRICS, "f3", lambda **options: f_beta_metric(3, **options))
    assert make_metric({"name": "f3", "unit": "all"}).label == "F3"
