import numpy as np
import pytest
from plain_curves import crossfit_cuts, member_worth, scores_at

from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.segmentation.worth import weights_without
from competition.ensembling.selection.bootstrap import bootstrap_interval
from competition.ensembling.voting.class_votes import Voters, everyone

FOLDS, GROUPS = np.arange(12) % 3, [f"person {i // 2}" for i in range(12)]


def linear(quality):
    """Curves flat in the threshold: the weighted sum of each member's Dice (M, n, C)."""

    def evaluate(weights, rows):
        dice = np.einsum("cm,mnc->nc", weights / 1000, quality[:, rows])
        return np.tile(dice[..., None], (1, 1, 256))

    return evaluate


def vote_of(evaluate, weights):
    """Dice (n, C) of a vote whose curves are flat, whatever the cuts."""
    return evaluate(weights, np.arange(12))[:, :, 127]


def images_of(classes):
    return TuningImages(FOLDS, GROUPS, np.ones((12, classes), bool))


def test_a_member_is_worth_what_the_others_lose_without_it():
    quality = np.random.default_rng(0).random((3, 12, 2))
    weights = np.array([[500, 300, 200]] * 2)
    honest = vote_of(linear(quality), weights)
    found = member_worth(linear(quality), weights, everyone(2, 3), images_of(2), (0.2, 0.8), honest)
    vote = np.einsum("m,mnc->nc", [0.5, 0.3, 0.2], quality).mean(axis=1)
    without = {0: [0.0, 0.6, 0.4], 1: [0.714, 0.0, 0.286], 2: [0.625, 0.375, 0.0]}
    for member, others in without.items():
        assert found[member].alone == pytest.approx(quality[member].mean())
        own = quality[member].mean(axis=1)
        assert found[member].interval == pytest.approx(bootstrap_interval(own, GROUPS, seed=0))
        assert found[member].over_vote.value == pytest.approx((own - vote).mean())
        low, high = bootstrap_interval(own - vote, GROUPS, seed=0)
        assert (found[member].over_vote.low, found[member].over_vote.high) == pytest.approx((low, high))
        change = np.einsum("m,mnc->nc", others, quality).mean(axis=1) - vote
        assert found[member].left_out.value == pytest.approx(change.mean())
        low, high = bootstrap_interval(change, GROUPS, seed=0)
        assert (found[member].left_out.low, found[member].left_out.high) == pytest.approx((low, high))


def test_thresholds_are_chosen_without_each_images_fold():
    curves = np.random.default_rng(2).normal(0.8, 0.02, (12, 1, 256))
    curves += 0.001 * np.arange(256)
    cuts = crossfit_cuts(curves, images_of(1), (0.2, 0.8))
    assert (cuts > 127).all()
    (alone,) = member_worth(
        lambda weights, rows: curves[rows],
        np.array([[1000]]),
        everyone(1, 1),
        images_of(1),
        (0.2, 0.8),
        curves[:, :, 127],
    )
    assert alone.alone == scores_at(curves, cuts).mean()
    assert alone.left_out is None


def test_a_member_of_some_classes_is_scored_on_those():
    quality = np.random.default_rng(1).random((2, 12, 2))
    voters = Voters(np.array([[0, -1], [1, 0]]))

    def evaluate(weights, rows):
        return linear(quality)(voters.weights_by_class(weights), rows)

    weights = np.array([[400, 600]] * 2)
    whole, part = member_worth(evaluate, weights, voters, images_of(2), (0.2, 0.8), vote_of(evaluate, weights))
    assert (whole.over_vote is None, part.over_vote is None) == (False, True)
    assert whole.alone == pytest.approx(quality[0].mean())
    assert part.alone == pytest.approx(quality[1, :, 1].mean())
    vote = (quality[0, :, 0] + 0.4 * quality[0, :, 1] + 0.6 * quality[1, :, 1]).mean() / 2
    assert part.left_out.value == pytest.approx(quality[0].mean() - vote)
    # Nobody else predicts the first class, so it stays there.
    assert whole.left_out.value == pytest.approx((quality[0, :, 0] + quality[1, :, 1]).mean() / 2 - vote)


@pytest.mark.parametrize(
    ("given", "member", "expected"),
    [
        ([500, 300, 200], 0, [0, 600, 400]),
        ([1000, 0, 0], 0, [0, 500, 500]),  # the others had no say: equally
        ([1000, 0, 0], 1, [1000, 0, 0]),
        ([0, 500, 500], 2, [0, 1000, 0]),
    ],
)
def test_the_others_keep_their_ratios(given, member, expected):
    assert weights_without(np.array([given]), everyone(1, 3), member).tolist() == [expected]


def test_class_groups_keep_weights_of_their_own():
    weights = np.array([[500, 300, 200], [0, 1000, 0]])
    assert weights_without(weights, everyone(2, 3), 1).tolist() == [[714, 0, 286], [500, 0, 500]]


def test_with_one_part_members_are_scored_at_half_without_intervals():
    images = TuningImages(np.zeros(12, int), GROUPS, np.ones((12, 1), bool))
    quality = np.stack([np.full((12, 1), 0.9), np.full((12, 1), 0.7)])
    honest = np.full((12, 1), 0.8)
    found = member_worth(linear(quality), np.array([[500, 500]]), everyone(1, 2), images, (0.2, 0.8), honest)
    assert [worth.alone for worth in found] == pytest.approx([0.9, 0.7])
    assert [worth.over_vote.value for worth in found] == pytest.approx([0.1, -0.1])
    assert all(np.isnan([worth.over_vote.low, worth.over_vote.high]).all() for worth in found)
    assert [(worth.interval, worth.left_out) for worth in found] == [(None, None)] * 2
