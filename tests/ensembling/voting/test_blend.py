from fractions import Fraction

import numpy as np
import pytest

from competition.ensembling.voting import blend as voting
from competition.ensembling.voting.blend import (
    blend_levels,
    blend_scores,
    check_weights,
    decide_levels,
    round_weights,
    settle,
)
from competition.ensembling.voting.class_votes import blend
from competition.errors import CompetitionError


def reference(levels, weights):
    """Rounds the exact weighted mean half up, with fractions."""
    stacked = np.stack(levels).reshape(len(levels), -1).astype(object)
    means = [
        sum(Fraction(int(level) * weight, 1000) for level, weight in zip(pixel, weights, strict=True))
        for pixel in stacked.T
    ]
    rounded = [int(mean + Fraction(1, 2)) for mean in means]
    return np.array(rounded, np.uint8).reshape(levels[0].shape)


@pytest.mark.parametrize("members", [1, 2, 3, 7])
def test_blend_equals_exact_fractions(members):
    random = np.random.default_rng(members)
    for _ in range(5):
        weights = random.multinomial(1000, random.dirichlet(np.ones(members))).tolist()
        for low, high in ((0, 256), (127, 129), (255, 256)):
            levels = [random.integers(low, high, (3, 5, 4), dtype=np.uint8) for _ in range(members)]
            np.testing.assert_array_equal(blend_levels(levels, weights), reference(levels, weights))
            np.testing.assert_array_equal(blend(levels, weights), reference(levels, weights))


def test_halves_are_rounded_up():
    assert blend_levels([np.array([127], np.uint8), np.array([128], np.uint8)], [500, 500]).tolist() == [128]
    assert blend_levels([np.array([127], np.uint8), np.array([128], np.uint8)], [501, 499]).tolist() == [127]


def test_blocks_do_not_show(monkeypatch):
    random = np.random.default_rng(0)
    levels = [random.integers(0, 256, (2, 9, 11), dtype=np.uint8) for _ in range(3)]
    whole = blend_levels(levels, [333, 333, 334])
    for block in (1, 7, 198, 1000):
        monkeypatch.setattr(voting, "BLOCK", block)
        np.testing.assert_array_equal(blend_levels(levels, [333, 333, 334]), whole)


def agrees_with_float64(levels, weights):
    """Whether the blend is the float64 mean rounded to the nearest level, halves up, in every pixel."""
    exact = sum(int(weight) * array.astype(np.int64) for weight, array in zip(weights, levels, strict=True))
    mean = sum((int(weight) / 1000) * array.astype(np.float64) for weight, array in zip(weights, levels, strict=True))
    blended = blend_levels(levels, weights)
    is_half = exact % 1000 == 500  # there the last bit of a float decides which of the two is nearer
    rounded = np.where(is_half, exact // 1000 + 1, np.rint(mean))
    return (blended == rounded).all() and np.abs(blended - mean).max() <= 0.5 + 1e-9


@pytest.mark.slow
def test_rounding_agrees_with_float64_on_all_pairs_of_levels_and_all_weights():
    pairs = np.divmod(np.arange(256 * 256), 256)
    levels = [array.astype(np.uint8) for array in pairs]
    for weight in range(1001):
        assert agrees_with_float64(levels, [weight, 1000 - weight])


def test_rounding_agrees_with_float64_for_five_members():
    random = np.random.default_rng(11)
    for _ in range(50):
        weights = random.multinomial(1000, random.dirichlet(np.ones(5))).tolist()
        for low, high in ((0, 256), (124, 132), (254, 256)):
            levels = [random.integers(low, high, 20_000, dtype=np.uint8) for _ in range(5)]
            assert agrees_with_float64(levels, weights)


def test_pixels_are_decided_as_the_blend_decides_them():
    pairs = np.divmod(np.arange(256 * 256), 256)
    levels = [array.astype(np.uint8).reshape(256, 256) for array in pairs]
    for weight in (0, 1, 333, 500, 501, 999, 1000):
        for level in (0, 1, 50, 126, 127, 128, 203, 254):
            mask = decide_levels(levels, [weight, 1000 - weight], level)
            assert mask.dtype == np.bool_
            np.testing.assert_array_equal(mask, blend_levels(levels, [weight, 1000 - weight]) > level)


@pytest.mark.parametrize("members", [1, 3, 5, 9])
@pytest.mark.parametrize("spread", [(0, 256), (125, 131), (0, 2), (254, 256)])
def test_pixels_of_many_members_are_decided_as_the_blend_decides_them(members, spread):
    random = np.random.default_rng(members)
    levels = [random.integers(*spread, (17, 11), dtype=np.uint8) for _ in range(members)]
    for _ in range(20):
        weights = random.multinomial(1000, random.dirichlet(np.full(members, 0.3))).tolist()
        exact = sum(weight * array.astype(np.int64) for weight, array in zip(weights, levels, strict=True))
        for level in {*random.integers(0, 255, 5).tolist(), max(spread[0] - 1, 0), spread[0], spread[1] - 2}:
            # From half a level above the level on, in thousandths, a mean is rounded up to the next level.
            np.testing.assert_array_equal(decide_levels(levels, weights, level), exact >= 1000 * level + 500)


def test_a_member_of_no_weight_disputes_nothing():
    sure, other = np.array([200, 10], np.uint8), np.array([10, 200], np.uint8)
    assert decide_levels([sure, other], [1000, 0], 127).tolist() == [True, False]


def test_a_decision_takes_its_members_as_they_are():
    levels = [np.array([[1, 200]], np.uint8), np.array([[130, 20]], np.uint8)]
    before = [array.copy() for array in levels]
    decide_levels(levels, [500, 500], 100)
    for array, kept in zip(levels, before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_blend_lies_between_the_members():
    random = np.random.default_rng(4)
    levels = [random.integers(0, 256, 20000, dtype=np.uint8) for _ in range(5)]
    for _ in range(20):
        weights = random.multinomial(1000, random.dirichlet(np.ones(5))).tolist()
        mixed = blend_levels(levels, weights)
        assert (mixed >= np.min(levels, axis=0)).all()
        assert (mixed <= np.max(levels, axis=0)).all()


def test_the_only_weighted_member_is_copied():
    levels = [np.array([[1, 2]], np.uint8), np.array([[3, 4]], np.uint8)]
    mixed = blend_levels(levels, [0, 1000])
    assert mixed.tolist() == [[3, 4]]
    mixed[:] = 0
    assert levels[1].tolist() == [[3, 4]]


def test_members_may_be_strided_views():
    levels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(
        blend([levels.transpose(2, 0, 1), levels.transpose(2, 0, 1) + 2], [500, 500]), levels.transpose(2, 0, 1) + 1
    )


@pytest.mark.parametrize("weights", [[500, 501], [1000], [-1, 1001], [333, 333, 334], [0.5, 0.5], [999.5, 0.5], []])
def test_weights_that_are_not_convex_are_refused(weights):
    with pytest.raises(CompetitionError, match="2 whole numbers"):
        check_weights(weights, 2)
    with pytest.raises(CompetitionError, match="2 whole numbers"):
        blend_levels([np.zeros(3, np.uint8)] * 2, weights)
    with pytest.raises(CompetitionError, match="2 whole numbers"):
        blend_scores([np.zeros(3)] * 2, weights)


def test_maps_of_other_sizes_are_refused():
    with pytest.raises(CompetitionError, match="different sizes"):
        blend([np.zeros((1, 2, 3), np.uint8), np.zeros((1, 3, 2), np.uint8)], [500, 500])
    with pytest.raises(ValueError, match="different shapes"):
        blend_levels([np.zeros(2, np.uint8), np.zeros(3, np.uint8)], [500, 500])


def test_a_decision_is_strictly_greater():
    levels = np.array([126, 127, 128], np.uint8)
    assert decide_levels([levels], [1000], 127).tolist() == [False, False, True]
    assert decide_levels([np.array([0, 1, 254, 255], np.uint8)], [1000], 0).tolist() == [False, True, True, True]
    assert decide_levels([np.array([0, 1, 254, 255], np.uint8)], [1000], 254).tolist() == [False, False, False, True]


def test_what_is_settled_is_so_for_all_weights_and_all_cuts_of_the_range():
    random = np.random.default_rng(6)
    levels = [random.integers(0, 256, (9, 7), dtype=np.uint8) for _ in range(3)]
    positive, open_to_vote = settle(levels, 60, 180)
    is_open = np.zeros((9, 7), bool)
    is_open.ravel()[open_to_vote] = True
    assert not (positive & is_open).any()
    low, high = np.min(levels, axis=0), np.max(levels, axis=0)
    np.testing.assert_array_equal(positive, low > 180)
    np.testing.assert_array_equal(is_open, (high > 60) & (low <= 180))


def test_scores_are_averaged_as_floats():
    random = np.random.default_rng(8)
    members = random.random((3, 10, 22))
    expected = sum(int(w) * member for w, member in zip((200, 300, 500), members, strict=True)) / 1000
    np.testing.assert_allclose(blend_scores(list(members), [200, 300, 500]), expected, rtol=1e-14)
    np.testing.assert_array_equal(blend_scores(list(members), [0, 1000, 0]), members[1])
    with pytest.raises(ValueError, match="different shapes"):
        blend_scores([np.zeros(2), np.zeros(3)], [500, 500])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1], [1000]),
        ([1, 1, 1], [334, 333, 333]),
        ([0.2, 0.3, 0.5], [200, 300, 500]),
        ([0.07, 0.93], [70, 930]),
        ([2, 0], [1000, 0]),
        ([1] * 7, [143, 143, 143, 143, 143, 143, 142]),
        ([0.0005, 0.9995], [1, 999]),
    ],
)
def test_weights_are_rounded_by_largest_remainder(weights, expected):
    assert round_weights(weights).tolist() == expected


def test_of_equal_remainders_the_earlier_member_gets_the_odd_thousandth():
    for first in range(0, 400, 7):
        for second in range(0, 400, 11):
            weights = [(first + 0.5) / 1000, (second + 0.5) / 1000, (999 - first - second) / 1000]
            assert round_weights(weights).tolist() == [first + 1, second, 999 - first - second]


def test_rounded_weights_sum_to_1000_and_lie_within_a_thousandth():
    random = np.random.default_rng(0)
    for _ in range(300):
        exact = random.dirichlet(np.full(random.integers(1, 12), 0.4))
        rounded = round_weights(exact)
        assert rounded.sum() == 1000
        assert (np.abs(rounded - 1000 * exact) < 1 + 1e-6).all()


@pytest.mark.parametrize("weights", [[], [0, 0], [-1, 2], [float("nan"), 1], [float("inf"), 1]])
def test_weights_that_can_not_be_normalised_are_refused(weights):
    with pytest.raises(CompetitionError, match="can't be normalised"):
        round_weights(weights)
