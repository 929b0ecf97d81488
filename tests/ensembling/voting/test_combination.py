"""Each rule against numbers worked out by hand, in Fractions, or by scipy."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import rankdata

from competition.ensembling.voting.combination import (
    COMBINATIONS,
    EPSILON,
    SCORES,
    combine,
    logit_mean_of,
    mean_of,
    rank_mean_of,
)
from competition.errors import CompetitionError


def tables(members=3, samples=40, classes=4, seed=0, decimals=6):
    return np.random.default_rng(seed).random((members, samples, classes)).round(decimals)


def logit(p):
    p = min(max(p, EPSILON), 1 - EPSILON)
    return math.log(p / (1 - p))


def test_a_mean_is_that_of_probabilities():
    given = tables()
    expected = 0.2 * given[0] + 0.3 * given[1] + 0.5 * given[2]
    combined = combine("mean", given, [200, 300, 500])
    np.testing.assert_allclose(combined.probs, expected, rtol=1e-14)
    np.testing.assert_array_equal(combined.score, combined.probs[:, 0])


def test_a_logit_mean_by_hand():
    """Odds of 1:9, 1 and 3 with weights 1/4, 1/4, 1/2 come to odds of (1/9)^(1/4) * 1 * 3^(1/2) = 1."""
    members = np.array([[0.1], [0.5], [0.75]])
    assert logit_mean_of(members)([250, 250, 500]).tolist() == [pytest.approx(0.5, abs=1e-15)]
    assert logit_mean_of(members)([0, 0, 1000]).tolist() == [pytest.approx(0.75, abs=1e-15)]


def test_a_logit_mean_holds_for_all_classes_and_for_the_score():
    given = tables()
    combined = combine("logit", given, [200, 300, 500])
    for row, column in np.ndindex(combined.probs.shape):
        total = sum(w * logit(p) for w, p in zip((0.2, 0.3, 0.5), given[:, row, column], strict=True))
        assert combined.probs[row, column] == pytest.approx(1 / (1 + math.exp(-total)), rel=1e-12)
    np.testing.assert_array_equal(combined.score, combined.probs[:, 0])


def test_zero_and_one_count_as_nearly_so():
    """A member that says 0 against one that says 1 leaves a half, and does not decide alone."""
    members = np.array([[0.0, 0.0, 1.0, 1.0, 0.0], [1.0, 0.5, 1.0, 0.5, 0.0]])
    edge = 1 / (1 + math.exp(-0.5 * logit(0)))
    found = logit_mean_of(members)([500, 500])
    np.testing.assert_allclose(found, [0.5, edge, 1 - EPSILON, 1 - edge, EPSILON], rtol=1e-9)


def test_what_float32_tells_apart_stays_apart():
    below_one = np.nextafter(np.float32(1), np.float32(0))
    values = np.array([[1e-6, 2e-6, 0.5, float(np.nextafter(below_one, np.float32(0))), float(below_one)]])
    found = logit_mean_of(values)([1000])
    assert (np.diff(found) > 0)[:3].all()
    assert found[-1] >= found[-2] > 0.9999


def test_ranks_equal_those_of_scipy():
    for decimals in (1, 2, 6):
        columns = tables(3, 57, 1, seed=decimals, decimals=decimals)[:, :, 0]
        expected = sum(
            weight * (rankdata(column) - 1) / 56 for weight, column in zip((0.2, 0.3, 0.5), columns, strict=True)
        )
        np.testing.assert_allclose(rank_mean_of(columns)([200, 300, 500]), expected, rtol=0, atol=1e-14)


def test_ranks_by_hand():
    """Five samples: 0, 1/4 ... 1; two that tie share 3/8, and all that tie share 1/2."""
    members = np.array([[0.9, 0.2, 0.2, 0.1, 0.4], [0.3, 0.3, 0.3, 0.3, 0.3]])
    assert rank_mean_of(members)([1000, 0]).tolist() == [1, 0.375, 0.375, 0, 0.75]
    assert rank_mean_of(members)([0, 1000]).tolist() == [0.5] * 5
    assert rank_mean_of(members)([600, 400]).tolist() == [0.8, 0.425, 0.425, 0.2, 0.65]


def test_two_samples_are_enough_for_ranks_and_one_is_not():
    assert rank_mean_of(np.array([[0.2, 0.1], [0.4, 0.8]]))([300, 700]).tolist() == [0.3, 0.7]
    with pytest.raises(CompetitionError, match=r"at least two samples.*--combine mean or logit"):
        combine("rank", tables(samples=1), [200, 300, 500])
    for rule in ("mean", "logit"):
        assert combine(rule, tables(samples=1), [200, 300, 500]).score.shape == (1,)


def test_samples_whose_ranks_come_to_the_same_mean_are_equal():
    """Exactly the ties of Fractions: in floats 0.1 * a + 0.2 * b + 0.7 * c depends on the order."""
    members = np.array([np.random.default_rng(seed).permutation(30) / 30 for seed in range(3)])
    for weights in ([333, 333, 334], [100, 200, 700], [500, 250, 250]):
        ranks = [[Fraction(int(rank) - 1, 29) for rank in rankdata(scores)] for scores in members]
        exact = [sum(Fraction(w, 1000) * r[i] for w, r in zip(weights, ranks, strict=True)) for i in range(30)]
        found = rank_mean_of(members)(weights)
        assert found.tolist() == [float(value) for value in exact]
        for one, other in np.ndindex(30, 30):
            assert (found[one] < found[other]) == (exact[one] < exact[other])


def test_ranks_do_not_depend_on_a_members_scale_and_means_do():
    given = tables()[:, :, 0]
    squeezed = np.stack([given[0] ** 3, given[1] / 100, given[2]])
    weights = [300, 300, 400]
    np.testing.assert_array_equal(rank_mean_of(squeezed)(weights), rank_mean_of(given)(weights))
    assert (np.argsort(mean_of(squeezed)(weights)) != np.argsort(mean_of(given)(weights))).any()


def test_with_ranks_the_other_classes_and_the_gate_see_the_mean_of_probabilities():
    given = tables()
    combined = combine("rank", given, [200, 300, 500])
    np.testing.assert_array_equal(combined.probs, combine("mean", given, [200, 300, 500]).probs)
    np.testing.assert_array_equal(combined.score, rank_mean_of(given[:, :, 0])([200, 300, 500]))


@pytest.mark.parametrize("rule", COMBINATIONS)
def test_every_rule_keeps_the_order_that_all_members_agree_on(rule):
    probs = np.linspace(0.01, 0.99, 50)
    members = np.stack([probs, probs**2, np.sqrt(probs)])
    score = SCORES[rule](members)([100, 400, 500])
    assert (np.diff(score) > 0).all()
    assert score.min() >= 0
    assert score.max() <= 1


@pytest.mark.parametrize("rule", COMBINATIONS)
@pytest.mark.parametrize("weights", [[500, 500], [300, 300, 300], [1500, -500, 0]])
def test_weights_that_are_no_mixture_are_refused(rule, weights):
    with pytest.raises(CompetitionError, match="sum to 1000"):
        SCORES[rule](tables()[:, :, 0])(weights)
    with pytest.raises(CompetitionError, match="sum to 1000"):
        combine(rule, tables(), weights)


def test_the_score_of_tuning_is_the_score_at_test_time():
    given = tables()
    for rule in COMBINATIONS:
        np.testing.assert_allclose(
            SCORES[rule](given[:, :, 0])([200, 300, 500]), combine(rule, given, [200, 300, 500]).score, rtol=1e-15
        )
