import numpy as np
import pytest

from competition.ensembling.selection.bootstrap import (
    auroc_interval,
    auroc_of,
    bootstrap_interval,
    figure_of,
    gain_with_error,
    group_draws,
    mean_of,
    paired_difference,
    sum_of,
)
from competition.ensembling.selection.crossfitting import first_best, left_out_sets
from competition.metrics.tables import auroc
from competition.metrics.weighted_ranking import weighted_aurocs


def test_with_one_image_per_group_the_error_is_the_usual_one():
    values = np.random.default_rng(0).normal(1, 2, 50)
    mean, error = gain_with_error(values, [str(index) for index in range(50)])
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(values.std(ddof=1) / np.sqrt(50))


def test_copies_of_an_image_prove_nothing_more():
    values = np.random.default_rng(1).normal(0, 1, 20)
    groups = [str(index) for index in range(20)]
    assert gain_with_error(np.tile(values, 4), groups * 4) == pytest.approx(gain_with_error(values, groups))


def test_error_of_one_group_is_infinite():
    assert gain_with_error(np.array([1.0, 2.0]), ["a", "a"]) == (1.5, float("inf"))


def test_bootstrap_draws_whole_groups_as_often_as_there_are_groups():
    times, members = group_draws(["b", "a", "b", "c", "a", "b"], draws=500, seed=0)
    assert members.tolist() == [1, 0, 1, 2, 0, 1]
    assert (times.sum(axis=1) == 3).all()
    np.testing.assert_allclose(times.mean(axis=0), 1, atol=0.15)
    assert times.max() == 3


def test_many_aurocs_at_once_equal_those_of_the_repeated_rows():
    random = np.random.default_rng(3)
    for decimals in (0, 1, 8):
        truth, score = (random.random(60) < 0.3).astype(int), np.round(random.random(60), decimals)
        times = np.vstack([random.integers(0, 4, (30, 60)), np.ones((1, 60), int), truth[None], np.zeros((1, 60), int)])
        for row, found in zip(times, weighted_aurocs(truth, score, times), strict=True):
            expected = auroc(np.repeat(truth, row), np.repeat(score, row)) if row.any() else float("nan")
            assert found == pytest.approx(expected, abs=1e-14, nan_ok=True)


def test_auroc_interval_holds_the_true_value_about_as_often_as_it_says():
    # Scores of the two classes are one standard deviation apart: the true AUROC is Phi(1 / sqrt 2) = 0.760.
    random, held = np.random.default_rng(4), 0
    for seed in range(60):
        truth = np.arange(120) % 2
        low, high = auroc_interval(truth, truth + random.normal(0, 1, 120), [str(i) for i in range(120)], seed, 300)
        held += low < 0.760 < high
    assert held >= 50
    assert auroc_interval(np.ones(4, int), np.arange(4.0), list("abcd"), 0, 20) is None


def test_interval_agrees_with_the_clustered_error():
    random = np.random.default_rng(2)
    groups = [f"person {index // 3}" for index in range(180)]
    values = np.repeat(random.normal(0, 1, 60), 3) + random.normal(0, 0.3, 180)
    low, high = bootstrap_interval(values, groups, seed=0)
    mean, error = gain_with_error(values, groups)
    assert low == pytest.approx(mean - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(mean + 1.96 * error, abs=0.15 * error)
    assert bootstrap_interval(values, groups, seed=0) == (low, high)


def test_the_difference_of_two_means_is_the_mean_of_paired_differences():
    random = np.random.default_rng(5)
    one, other = random.random(30), random.random(30)
    groups = [f"person {index // 4}" for index in range(30)]
    found = paired_difference(mean_of(one), mean_of(other), groups, seed=3)
    assert found.value == pytest.approx((one - other).mean())
    assert (found.low, found.high) == pytest.approx(bootstrap_interval(one - other, groups, seed=3))


def test_a_difference_by_hand():
    """Two people, of one and of two samples, are drawn as AA, AB, BA or BB: 2, 3, 3 or 4 samples."""
    one, other, groups = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 1.0]), ["a", "b", "b"]
    mean, total = (paired_difference(of(one), of(other), groups, seed=0) for of in (mean_of, sum_of))
    assert (mean.value, mean.low, mean.high) == (1.0, 0.5, 2.0)
    assert (total.value, total.low, total.high) == (3.0, 2.0, 4.0)
    alike = paired_difference(sum_of(one), sum_of(one), groups, seed=0)
    assert (alike.value, alike.low, alike.high) == (0, 0, 0)


@pytest.mark.slow
def test_the_difference_of_two_aurocs_is_that_of_the_repeated_rows():
    random = np.random.default_rng(6)
    truth = np.arange(24) % 2
    one, other = truth + random.normal(0, 1, 24), np.round(truth + random.normal(0, 3, 24))
    groups = [str(index // 2) for index in range(24)]
    times, members = group_draws(groups, 100, seed=9)
    drawn = [
        auroc(np.repeat(truth, row), np.repeat(one, row)) - auroc(np.repeat(truth, row), np.repeat(other, row))
        for row in times[:, members]
    ]
    found = paired_difference(auroc_of(truth, one), auroc_of(truth, other), groups, seed=9, draws=100)
    assert found.value == pytest.approx(auroc(truth, one) - auroc(truth, other), abs=1e-14)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))), abs=1e-12)
    assert figure_of(auroc_of(truth, one), 24) == pytest.approx(auroc(truth, one), abs=1e-14)


def test_draws_of_one_class_have_no_auroc_and_are_left_out():
    truth = np.array([0, 1])
    right, wrong, groups = np.array([0.1, 0.9]), np.array([0.9, 0.1]), ["a", "b"]
    found = paired_difference(auroc_of(truth, right), auroc_of(truth, wrong), groups, seed=0)
    assert (found.value, found.low, found.high) == (1, 1, 1)
    never = paired_difference(auroc_of(np.ones(2, int), right), auroc_of(np.ones(2, int), wrong), groups, seed=0)
    assert np.isnan([never.value, never.low, never.high]).all()


def test_first_of_equals_and_undefined():
    assert first_best(np.array([0.5, 0.7, 0.7 + 1e-15])) == 1
    assert first_best(np.array([np.nan, 1.0])) == 0


def test_left_out_sets_leave_a_fold():
    assert left_out_sets([3]) == [frozenset()]
    assert left_out_sets([1, 0]) == [frozenset(), frozenset({0}), frozenset({1})]
    assert len(left_out_sets(range(5))) == 16
