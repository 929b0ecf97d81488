"""Members of some classes only: they have no say on the others, and nobody else's say is changed by them."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from competition.ensembling.segmentation.contested import (
    blend_histograms,
    contest,
    contested_curves,
    load_of_window,
    save_contested,
)
from competition.ensembling.segmentation.thresholds import window_levels
from competition.ensembling.voting.class_votes import Voters, blend, everyone, find_voters
from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.prediction.histograms import dice_curves, image_histogram

CLASSES = ("tip", "palm", "carpal", "wrist", "arm")
# All classes; two of them in another order; three; all again, from the last to the first.
MEMBERS = (None, ("wrist", "carpal"), ("carpal", "wrist", "arm"), tuple(reversed(CLASSES)))


def random_maps(seed, members=MEMBERS, size_hw=(11, 7)):
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (len(own or CLASSES), *size_hw), dtype=np.uint8) for own in members]


def level_of(maps, member, name):
    """What a member says about a class, or None where it has no say."""
    own = MEMBERS[member] or CLASSES
    return maps[member][own.index(name)] if name in own else None


def shares(weights, name):
    """Thousandths of those that vote on a class by largest remainder, in exact fractions; equal where all are 0."""
    voting = [member for member, own in enumerate(MEMBERS) if name in (own or CLASSES)]
    given = [Fraction(int(weights[member])) for member in voting]
    given = given if sum(given) else [Fraction(1)] * len(voting)
    exact = [1000 * weight / sum(given) for weight in given]
    whole = [int(value) for value in exact]
    order = sorted(range(len(voting)), key=lambda place: (-(exact[place] - whole[place]), place))
    for place in order[: 1000 - sum(whole)]:
        whole[place] += 1
    return dict(zip(voting, whole, strict=True))


def reference(maps, weights):
    """Each class blended by those that vote on it, rounded half up in whole numbers."""
    blended = []
    for name in CLASSES:
        total = sum(
            weight * level_of(maps, member, name).astype(int) for member, weight in shares(weights, name).items()
        )
        blended.append((total + 500) // 1000)
    return np.array(blended, np.uint8)


def weight_vectors(count, seed=0):
    random = np.random.default_rng(seed)
    drawn = [random.multinomial(1000, random.dirichlet(np.ones(4))).tolist() for _ in range(count)]
    return [[250, 250, 250, 250], *(1000 * np.eye(4, dtype=int)).tolist(), [0, 999, 1, 0], [0, 333, 333, 334], *drawn]


@pytest.mark.parametrize("weights", weight_vectors(20), ids=str)
def test_each_class_is_blended_by_those_that_predict_it(weights):
    voters = find_voters(CLASSES, MEMBERS)
    by_class = voters.weights_by_class(weights)
    assert by_class.sum(axis=1).tolist() == [1000] * 5
    for name, row in zip(CLASSES, by_class.tolist(), strict=True):
        assert {member: weight for member, weight in enumerate(row) if weight} == {
            member: weight for member, weight in shares(weights, name).items() if weight
        }
    maps = random_maps(1)
    np.testing.assert_array_equal(blend(maps, weights, voters), reference(maps, weights))


def test_where_all_vote_the_weights_stay_as_they_are():
    random = np.random.default_rng(2)
    voters = everyone(2, 3)
    for _ in range(300):
        weights = random.multinomial(1000, random.dirichlet(np.full(3, 0.3))).tolist()
        assert voters.weights_by_class(weights).tolist() == [weights] * 2


def test_a_member_without_a_class_changes_nothing_of_it():
    maps = random_maps(3)
    voters = find_voters(CLASSES, MEMBERS)
    before = blend(maps, [400, 300, 200, 100], voters)
    maps[1] = 255 - maps[1]
    after = blend(maps, [400, 300, 200, 100], voters)
    changed = [(one != other).any() for one, other in zip(before, after, strict=True)]
    assert changed == [name in ("wrist", "carpal") for name in CLASSES]


@pytest.mark.parametrize("window", [(0.2, 0.8), (0.05, 0.95), (0.5, 0.5)])
@pytest.mark.parametrize("spread", [(0, 256), (49, 54), (120, 136), (201, 207), (127, 129)])
def test_contested_curves_equal_those_of_the_dense_blend(tmp_path, window, spread):
    random = np.random.default_rng(spread[0])
    voters = find_voters(CLASSES, MEMBERS)
    maps = [random.integers(*spread, (len(own or CLASSES), 11, 7), dtype=np.uint8) for own in MEMBERS]
    planes = pack_masks(random.random((5, 11, 7)) < 0.4)
    contested = contest(maps, planes, window, voters)
    save_contested(tmp_path / "image.npz", contested)
    lowest, highest = window_levels(window)
    for weights in weight_vectors(8, seed=spread[1]):
        dense = dice_curves(image_histogram(reference(maps, weights), planes)[None])[..., lowest : highest + 1]
        by_class = voters.weights_by_class(weights)
        sparse = dice_curves(blend_histograms(contested, by_class)[None])[..., lowest : highest + 1]
        np.testing.assert_array_equal(sparse, dense)
        stored = contested_curves([[partial(load_of_window, tmp_path / "image.npz", window)]], by_class).values()[
            ..., lowest : highest + 1
        ]
        np.testing.assert_array_equal(stored, dense)


def test_only_pixels_that_the_voting_members_can_decide_are_kept():
    # The first member predicts both classes, the second only the second: its 255 contests nothing of the first class.
    voters = find_voters(("a", "b"), [None, ("b",)])
    first = np.array([[[0, 60, 255]], [[0, 60, 255]]], np.uint8)
    second = np.array([[[255, 0, 255]]], np.uint8)
    truth = np.array([[[False, True, True]], [[True, False, True]]])
    contested = contest([first, second], pack_masks(truth), (0.2, 0.8), voters)
    # Class a: 60 is above the lowest level 51; class b: 0 or 255, and 60 or 0. Outside the truth first.
    assert contested.counts.tolist() == [[0, 1], [1, 1]]
    assert contested.values.tolist() == [[60, 60, 0], [0, 0, 255]]


def test_a_class_that_nobody_predicts_is_named():
    with pytest.raises(CompetitionError, match=r"no member predicts tip, palm\. Add a run of all classes to --members"):
        find_voters(CLASSES, MEMBERS[1:3])
    with pytest.raises(CompetitionError, match="unknown class 'carpals', did you mean 'carpal'"):
        find_voters(CLASSES, [None, ("carpals",)])


def test_maps_of_other_sizes_or_classes_are_refused():
    voters = find_voters(CLASSES, MEMBERS)
    maps = random_maps(4)
    planes = pack_masks(np.zeros((5, 11, 7), bool))
    for wrong in ([*maps[:3], maps[3][:, :-1]], [maps[0], maps[2], maps[1], maps[3]], [maps[0][:4], *maps[1:]]):
        with pytest.raises(CompetitionError, match="different sizes"):
            blend(wrong, [250] * 4, voters)
        with pytest.raises(CompetitionError, match="different sizes"):
            contest(wrong, planes, (0.2, 0.8), voters)
    with pytest.raises(ValueError, match="does not fit"):
        contest(maps, planes[:-1], (0.2, 0.8), voters)


def test_weights_that_are_not_convex_are_refused():
    with pytest.raises(CompetitionError, match="4 whole numbers"):
        find_voters(CLASSES, MEMBERS).weights_by_class([500, 500])
    with pytest.raises(CompetitionError, match="2 whole numbers"):
        everyone(3, 2).weights_by_class([500, 501])


def test_every_class_may_have_weights_of_its_own():
    voters = Voters(np.array([[0, 0, -1], [1, 1, 0], [-1, 2, 1]]))
    own = [[200, 300, 500], [1000, 0, 0], [1000, 0, 0]]
    # Of the third class the only member with a weight says nothing: the others decide it equally.
    assert voters.weights_by_class(np.array(own)).tolist() == [[400, 600, 0], [1000, 0, 0], [0, 500, 500]]
    assert voters.weights_by_class([200, 300, 500]).tolist() == voters.weights_by_class([[200, 300, 500]] * 3).tolist()
    with pytest.raises(CompetitionError, match="3 whole numbers"):
        voters.weights_by_class([own[0], own[1], [500, 0, 0]])


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
    assert everyone(1, 3).weights_without(member, np.array([given])).tolist() == [expected]


def test_class_groups_keep_weights_of_their_own():
    weights = np.array([[500, 300, 200], [0, 1000, 0]])
    assert everyone(2, 3).weights_without(1, weights).tolist() == [[714, 0, 286], [500, 0, 500]]
