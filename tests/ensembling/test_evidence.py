import numpy as np
import pytest

from competition.ensembling.evidence import (
    auroc_interval,
    bootstrap_interval,
    gain_with_error,
    group_draws,
    weighted_aurocs,
)
from competition.ensembling.nested import first_best, left_out_sets
from competition.metrics import auroc


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


def test_first_of_equals_and_undefined():
    assert first_best(np.array([0.5, 0.7, 0.7 + 1e-15])) == 1
    assert first_best(np.array([np.nan, 1.0])) == 0


def test_left_out_sets_leave_a_fold():
    assert left_out_sets([3]) == [frozenset()]
    assert left_out_sets([1, 0]) == [frozenset(), frozenset({0}), frozenset({1})]
    assert len(left_out_sets(range(5))) == 16
