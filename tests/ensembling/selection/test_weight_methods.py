import numpy as np
import pytest

from competition.ensembling.selection.weight_methods import METHODS, ROUNDS, candidate_weights, expected_vectors
from competition.ensembling.voting.blend import round_weights


def scores_of(table):
    """A score that depends on how often each member was added, and notes what was asked."""
    asked = []

    def score(weights):
        asked.append(tuple(weights.tolist()))
        return table(weights / 1000)

    return score, asked


def test_equal_looks_at_nothing():
    score, asked = scores_of(lambda weights: 0.0)
    assert METHODS["equal"](3, 50)(score).tolist() == [[334, 333, 333]]
    assert asked == []


def test_optuna_proposes_the_list_that_looks_at_nothing():
    score, asked = scores_of(lambda weights: 0.0)
    np.testing.assert_array_equal(METHODS["optuna"](3, 50)(score), candidate_weights(3, 50, seed=0))
    assert asked == []


def test_greedy_adds_the_member_that_helps_most():
    """A concave score with its top at (0.5, 0.3, 0.2): each step is the best one by hand."""
    top = np.array([0.5, 0.3, 0.2])
    score, asked = scores_of(lambda weights: -np.sum((weights - top) ** 2))
    proposed = METHODS["greedy"](3, 0)(score).tolist()
    assert proposed[0] == [334, 333, 333]
    # The third step comes to equal weights, which are there already.
    assert proposed[1:4] == [[1000, 0, 0], [500, 500, 0], [500, 250, 250]]
    votes, steps = np.zeros(3), [(334, 333, 333)]
    for _ in range(ROUNDS):
        tried = [votes + np.eye(3)[member] for member in range(3)]
        votes = tried[int(np.argmax([-np.round(np.sum((row / row.sum() - top) ** 2), 6) for row in tried]))]
        steps.append(tuple(round_weights(votes).tolist()))
    assert len(asked) == 3 * ROUNDS
    alone = [(0, 1000, 0), (0, 0, 1000)]  # the first member alone was the first step
    assert proposed == [list(row) for row in dict.fromkeys([*steps, *alone])]
    best = max(proposed, key=lambda row: -np.sum((np.array(row) / 1000 - top) ** 2))
    np.testing.assert_allclose(best, 1000 * top, atol=1)  # ten steps reach it


def test_greedy_goes_on_where_every_step_loses():
    """From (1, 1, 0) every step loses, and two steps later it is best of all."""
    known = {(1000, 0, 0): 0.8, (500, 500, 0): 0.9, (667, 333, 0): 0.5, (400, 400, 200): 1.0}
    score, _ = scores_of(lambda weights: known.get(tuple(np.round(1000 * weights).astype(int).tolist()), 0.1))
    proposed = METHODS["greedy"](3, 0)(score).tolist()
    # (2, 2, 0) is (1, 1, 0) again: doubles are dropped.
    assert proposed[1:5] == [[1000, 0, 0], [500, 500, 0], [667, 333, 0], [400, 400, 200]]


@pytest.mark.parametrize(
    ("table", "second"),
    [
        (lambda weights: 0.0, [1000, 0, 0]),  # all the same: the one that is in already
        (lambda weights: -abs(weights[0] - 0.5), [500, 500, 0]),  # members 1 and 2 help alike: the earlier
    ],
)
def test_of_equal_steps_one_that_is_in_is_preferred_then_the_earlier(table, second):
    score, _ = scores_of(table)
    proposed = METHODS["greedy"](3, 0)(score).tolist()
    assert proposed[1] == [1000, 0, 0]
    steps = [row for row in proposed if 1000 not in row[1:]]  # without the other members alone
    assert [*steps, [1000, 0, 0]][2] == second


def test_a_later_member_that_is_in_is_preferred_to_an_earlier_one_that_is_not():
    # Member 1 alone is best; after that nothing matters.
    score, _ = scores_of(lambda weights: 1.0 if weights[1] > 0.9 else 0.5)
    proposed = METHODS["greedy"](2, 0)(score).tolist()
    assert proposed == [[500, 500], [0, 1000], [1000, 0]]  # at the end whoever was not tried alone


def test_differences_of_rounding_are_ties():
    score, _ = scores_of(lambda weights: 0.7 + 1e-15 * weights[2])
    assert METHODS["greedy"](3, 0)(score).tolist()[1] == [1000, 0, 0]


@pytest.mark.parametrize("method", METHODS)
def test_one_member_is_proposed_alone(method):
    score, asked = scores_of(lambda weights: 0.0)
    assert METHODS[method](1, 50)(score).tolist() == [[1000]]
    assert asked == []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("members", [1, 2, 4])
def test_no_fewer_vectors_are_expected_than_a_search_asks_for(method, members):
    score, asked = scores_of(lambda weights: weights @ np.arange(1, members + 1))
    proposed = METHODS[method](members, 30)(score).tolist()
    seen = {*asked, *map(tuple, proposed)}
    assert len(seen) <= expected_vectors(method, members, 30) <= max(len(seen), 31 + members, ROUNDS * members)


def test_candidates_begin_with_equal_and_single_members_and_cover_the_simplex():
    candidates = candidate_weights(3, trials=128, seed=1)
    assert candidates[:4].tolist() == [[334, 333, 333], [1000, 0, 0], [0, 1000, 0], [0, 0, 1000]]
    assert (candidates.sum(axis=1) == 1000).all()
    assert (candidates >= 0).all()
    assert len(np.unique(candidates, axis=0)) == len(candidates) > 120
    # The uniform distribution on a triangle: mean a third, and (1 - a)^2 of it where one weight is above a.
    np.testing.assert_allclose(candidates[4:].mean(axis=0), 1000 / 3, atol=20)
    np.testing.assert_allclose((candidates[4:] > 500).mean(axis=0), 0.25, atol=0.04)


def test_candidates_are_the_same_for_the_same_seed_only():
    assert candidate_weights(3, 16, seed=1).tolist() == candidate_weights(3, 16, seed=1).tolist()
    assert candidate_weights(3, 16, seed=1).tolist() != candidate_weights(3, 16, seed=2).tolist()


def test_one_member_has_one_candidate():
    assert candidate_weights(1, 50, seed=0).tolist() == [[1000]]


def test_candidates_say_nothing(capfd):
    candidate_weights(2, 4, seed=0)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
