from fractions import Fraction

import numpy as np
import pytest

from competition.ensembling import voting
from competition.ensembling.voters import blend
from competition.ensembling.voting import blend_levels, blend_scores, check_weights, decide
from competition.errors import CompetitionError
from competition.imaging.planes import unpack_planes


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


def test_decide_is_strictly_greater():
    levels = np.array([[[126, 127, 128]], [[0, 1, 255]], [[254, 255, 0]]], np.uint8)
    masks = unpack_planes(decide(levels, [127, 0, 254]), 3)
    assert masks[:, 0].tolist() == [[False, False, True], [False, True, True], [False, True, False]]


def test_decide_29_classes_each_at_its_own_cut():
    random = np.random.default_rng(6)
    levels, cuts = random.integers(0, 256, (29, 6, 5), dtype=np.uint8), random.integers(0, 256, 29)
    planes = decide(levels, cuts)
    assert planes.flags.c_contiguous
    np.testing.assert_array_equal(unpack_planes(planes, 29), levels > cuts[:, None, None])
    with pytest.raises(ValueError, match="28 cuts for 29"):
        decide(levels, cuts[1:])


def test_scores_are_averaged_as_floats():
    random = np.random.default_rng(8)
    members = random.random((3, 10, 22))
    expected = sum(int(w) * member for w, member in zip((200, 300, 500), members, strict=True)) / 1000
    np.testing.assert_allclose(blend_scores(list(members), [200, 300, 500]), expected, rtol=1e-14)
    np.testing.assert_array_equal(blend_scores(list(members), [0, 1000, 0]), members[1])
    with pytest.raises(ValueError, match="different shapes"):
        blend_scores([np.zeros(2), np.zeros(3)], [500, 500])
