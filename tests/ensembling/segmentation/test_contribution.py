import numpy as np
import pytest
from plain_curves import crossfit_levels, member_contributions, scores_at

from competition.ensembling.segmentation.tuning_images import TuningImages
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
    """Dice (n, C) of a vote whose curves are flat, whatever the levels."""
    return evaluate(weights, np.arange(12))[:, :, 127]


def images_of(classes):
    return TuningImages(FOLDS, GROUPS, np.ones((12, classes), bool))


def test_a_member_contributes_what_the_others_lose_without_it():
    quality = np.random.default_rng(0).random((3, 12, 2))
    weights = np.array([[500, 300, 200]] * 2)
    honest = vote_of(linear(quality), weights)
    found = member_contributions(linear(quality), weights, everyone(2, 3), images_of(2), (0.2, 0.8), honest)
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
    levels = crossfit_levels(curves, images_of(1), (0.2, 0.8))
    assert (levels > 127).all()
    (alone,) = member_contributions(
        lambda weights, rows: curves[rows],
        np.array([[1000]]),
        everyone(1, 1),
        images_of(1),
        (0.2, 0.8),
        curves[:, :, 127],
    )
    assert alone.alone == scores_at(curves, levels).mean()
    assert alone.left_out is None


def test_a_member_of_some_classes_is_scored_on_those():
    quality = np.random.default_rng(1).random((2, 12, 2))
    voters = Voters(np.array([[0, -1], [1, 0]]))

    def evaluate(weights, rows):
        return linear(quality)(voters.weights_by_class(weights), rows)

    weights = np.array([[400, 600]] * 2)
    whole, part = member_contributions(evaluate, weights, voters, images_of(2), (0.2, 0.8), vote_of(evaluate, weights))
    assert (whole.over_vote is None, part.over_vote is None) == (False, True)
    assert whole.alone == pytest.approx(quality[0].mean())
    assert part.alone == pytest.approx(quality[1, :, 1].mean())
    vote = (quality[0, :, 0] + 0.4 * quality[0, :, 1] + 0.6 * quality[1, :, 1]).mean() / 2
    assert part.left_out.value == pytest.approx(quality[0].mean() - vote)
    # Nobody else predicts the first class, so it stays there.
    assert whole.left_out.value == pytest.approx((quality[0, :, 0] + quality[1, :, 1]).mean() / 2 - vote)


def test_with_one_part_members_are_scored_at_half_without_intervals():
    images = TuningImages(np.zeros(12, int), GROUPS, np.ones((12, 1), bool))
    quality = np.stack([np.full((12, 1), 0.9), np.full((12, 1), 0.7)])
    honest = np.full((12, 1), 0.8)
    found = member_contributions(linear(quality), np.array([[500, 500]]), everyone(1, 2), images, (0.2, 0.8), honest)
    assert [own.alone for own in found] == pytest.approx([0.9, 0.7])
    assert [own.over_vote.value for own in found] == pytest.approx([0.1, -0.1])
    assert all(np.isnan([own.over_vote.low, own.over_vote.high]).all() for own in found)
    assert [(own.interval, own.left_out) for own in found] == [(None, None)] * 2
