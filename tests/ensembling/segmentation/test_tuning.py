"""The whole tuning of a segmentation, on members made by hand from the truth."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from plain_curves import scores_at

from competition.data.cache import read_cached_planes
from competition.ensembling.segmentation.thresholds import THRESHOLDS, best_levels
from competition.ensembling.segmentation.tuning import Search, tune_segmentation
from competition.ensembling.voting.class_groups import ClassGroups, one_group
from competition.ensembling.voting.class_votes import blend
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.metrics.counts import dice

WINDOWS = [(0.2, 0.8), (0.35, 0.65), (0.5, 0.5)]


def tune(data, windows, folder, method="optuna", class_groups=None, given=None):
    search = Search(method, 5, class_groups or one_group(len(data.classes)), windows, given)
    return tune_segmentation(data, search, folder / "contested")


def sure(truth):
    return np.where(truth, 250, 5)


def unsure(truth):
    return np.where(truth, 150, 100)


def first_pixel_wrong(truth):
    levels = unsure(truth)
    levels[:, 0, 0] = 150
    return levels


def doubtful_corner(truth):
    levels = sure(truth)
    levels[:, :2, :6] = 90 + 20 * np.arange(6)
    return levels


def test_sure_members_are_searched_in_the_first_window(make_data, tmp_path):
    tuned = tune(make_data(a=sure, b=sure), WINDOWS, tmp_path)
    assert tuned.window == (0.2, 0.8)
    assert tuned.contested == 0
    assert (tuned.oof == 1).all()


def test_unsure_members_are_searched_in_the_window_that_few_pixels_contest(make_data, tmp_path):
    data = make_data(a=unsure, b=first_pixel_wrong)
    tuned = tune(data, WINDOWS, tmp_path)
    assert tuned.window == (0.5, 0.5)
    # Pixel (0, 0) of three classes is all they disagree on.
    sizes = [64 * 64 if number % 2 == 0 else 61 * 47 for number in range(10)]
    assert tuned.contested == pytest.approx(10 / sum(sizes))
    assert (tuned.tuned.chosen.levels == 127).all()
    assert (
        tuned.tuned.search.weights.tolist() == [[500, 500]] * 3
    )  # 125 is not above 127: the wrong pixel is outvoted already


def test_a_member_of_one_class_gets_its_say_on_that_class_alone(make_data, tmp_path):
    def bar_in_the_square(truth):
        return sure(np.stack([truth[0], truth[1], truth[1]]))

    def bar_alone(truth):
        return sure(truth[2:])

    tuned = tune(make_data({"bar": ("bar",)}, full=bar_in_the_square, bar=bar_alone), WINDOWS[:1], tmp_path)
    # Equal weights can't tell the bar from the square. The member of the bar alone can, and what the other one says
    # of disc and square stays, although its weight is 0.
    assert tuned.tuned.at_half[:, :2].mean() == 1
    assert tuned.tuned.at_half[:, 2].mean() < 0.7
    assert tuned.tuned.search.weights.tolist() == [[0, 1000]] * 3
    assert (tuned.oof == 1).all()
    assert tuned.false_positives.tolist() == [0, 0, 0]


def test_classes_that_no_member_predicts_are_named(make_data, tmp_path):
    with pytest.raises(CompetitionError, match="no member predicts disc, square"):
        tune(make_data({"a": ("bar",)}, a=lambda truth: sure(truth[2:])), WINDOWS, tmp_path)


def test_whose_pixels_each_class_claims_is_counted_over_all_images(make_data, tmp_path):
    def square_as_disc(truth):
        levels = sure(truth)
        levels[0][truth[1]] = 250  # the disc is also seen in the square
        levels[2, -1, -1] = 250
        return levels

    data = make_data(a=square_as_disc, b=square_as_disc)
    tuned = tune(data, WINDOWS[:1], tmp_path)
    expected, last, areas = 0, [0, 0, 0], np.zeros(3, int)
    for sample in data.samples:
        disc, square, bar = unpack_planes(read_cached_planes(data.workspace, sample), 3)
        expected += (square & ~disc).sum()
        areas += [mask.sum() for mask in (disc, square, bar)]
        last[0] += disc[-1, -1]
        last[1] += square[-1, -1]
        last[2] += not (disc | square | bar)[-1, -1]
    assert tuned.owners.tolist() == [[0, expected, 0, 0], [0, 0, 0, 0], [*last[:2], 0, last[2]]]
    assert tuned.false_positives.tolist() == [expected, 0, 10]
    assert tuned.areas.tolist() == areas.tolist()


def test_members_that_disagree_are_refused_by_name_of_the_option(make_data, tmp_path):
    data = make_data(a=sure, b=lambda truth: 255 - sure(truth))
    with pytest.raises(CompetitionError, match=r"100\.0% of the pixels.*2 members on 10 images.*--members"):
        tune(data, WINDOWS, tmp_path)
    with pytest.raises(CompetitionError, match=r"--window 0\.35:0\.65"):
        tune(data, WINDOWS[:1], tmp_path)


def blurred(shift, random, spread=0.4):
    """A member that is a little too large or too small, by another amount for every image and class."""

    def member(truth):
        levels = []
        for mask in truth:
            inside, outside = (cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5) for side in (mask, ~mask))
            distance = np.clip(inside - outside, -9, 9) + shift + random.normal(0, spread)
            levels.append(255 / (1 + np.exp(-4 * distance)))
        return np.rint(levels)

    return member


@pytest.mark.slow
@pytest.mark.parametrize("method", ["greedy", "equal"])
def test_other_searches_end_in_the_same_form(make_data, tmp_path, method):
    random = np.random.default_rng(0)
    data = make_data(a=blurred(0.8, random), b=blurred(-0.8, random), c=blurred(0.0, random))
    tuned = tune(data, WINDOWS[1:2], tmp_path, method)
    assert tuned.tuned.search.weights.sum(axis=1).tolist() == [1000] * 3
    assert tuned.crossfit.shape == tuned.oof.shape == (10, 3)
    assert len(tuned.tuned.search.tried[0].vectors) == 1 or method == "greedy"


@pytest.mark.slow
def test_class_groups_get_weights_of_their_own(make_data, tmp_path):
    def right_about(wanted):
        def member(truth):
            seen = sure(truth)
            wrong = [index for index in range(3) if index not in wanted]
            seen[wrong] = np.roll(seen[wrong], 2, axis=1)
            return seen

        return member

    data = make_data(round=right_about([0]), straight=right_about([1, 2]), also=right_about([0]))
    groups = ClassGroups(("round", "straight"), np.array([0, 1, 1]))
    tuned = tune(data, WINDOWS[2:], tmp_path, "greedy", groups)
    weights = tuned.tuned.search.weights
    assert weights[1].tolist() == weights[2].tolist() == [0, 1000, 0]
    assert weights[0].tolist() == [334, 333, 333]  # two of three are right about the disc
    assert (tuned.oof == 1).all()
    together = tune(data, WINDOWS[2:], tmp_path, "greedy")
    assert not (together.oof == 1).all()  # no vector serves both
    assert tuned.contributions[1].alone == pytest.approx(1 - (1 - moved_disc(data)) / 3)
    assert tuned.contributions[1].left_out.value < -0.02  # the others are wrong about its classes
    assert tuned.contributions[2].left_out.value == 0


def moved_disc(data):
    """Mean Dice of the disc moved by two rows."""
    found = []
    for sample in data.samples:
        disc = unpack_planes(data.truth(sample), 3)[0]
        found.append(2 * (disc & np.roll(disc, 2, axis=0)).sum() / (2 * disc.sum()))
    return np.mean(found)


@pytest.mark.slow
def test_thresholds_of_studies_replace_those_of_the_sweep_alone(make_data, tmp_path, monkeypatch):
    random = np.random.default_rng(1)
    data = make_data(a=blurred(0.8, random), b=blurred(0.8, random))
    monkeypatch.setitem(THRESHOLDS, "optuna", lambda mean, window: best_levels(mean, window) + 1)
    swept, studied = (
        tune_segmentation(data, Search("greedy", 5, one_group(3), [(0.35, 0.65)], thresholds=name), tmp_path)
        for name in ("sweep", "optuna")
    )
    assert (studied.tuned.chosen.raw == swept.tuned.chosen.raw + 1).all()
    assert studied.tuned.search.weights.tolist() == swept.tuned.search.weights.tolist()


@pytest.mark.slow
def test_a_second_tuning_reads_no_map_for_the_search(make_data, tmp_path, monkeypatch, capsys):
    data = make_data(a=sure, b=sure)
    first = tune(data, WINDOWS, tmp_path)
    monkeypatch.setattr("competition.ensembling.segmentation.contested.contest", None)
    again = tune(data, WINDOWS, tmp_path, "equal")
    assert "using cached contested pixels of 10 of 10 images" in capsys.readouterr().out
    assert again.contested == first.contested


def test_given_weights_are_kept_however_bad_and_contested(make_data, tmp_path):
    data = make_data(a=lambda truth: 255 - sure(truth), b=sure)
    tuned = tune(data, WINDOWS, tmp_path, given=(700, 300))
    assert tuned.tuned.search.weights.tolist() == [[700, 300]] * 3
    assert {fold: weights.tolist() for fold, weights in tuned.tuned.search.without.items()} == dict.fromkeys(
        range(5), [[700, 300]] * 3
    )
    assert tuned.tuned.search.reason == "weights as they were given"
    assert tuned.contested is None
    wrong, right = tuned.contributions
    assert (right.alone, wrong.alone < 0.3, right.left_out) == (1, True, None)
    assert right.over_vote.value == pytest.approx(1 - tuned.tuned.crossfit.mean())
    assert tuned.crossfit.mean() < 0.3
    dense = [blend(data.open_maps(sample), (700, 300)) > 127 for sample in data.samples]
    truths = [unpack_planes(data.truth(sample), 3).astype(bool) for sample in data.samples]
    expected = [
        [dice((one & other).sum(), one.sum(), other.sum()) for one, other in zip(a, b, strict=True)]
        for a, b in zip(dense, truths, strict=True)
    ]
    np.testing.assert_array_equal(scores_at(tuned.tuned.curves, np.full(3, 127)), expected)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_tuning_exchangeable_members_promises_nothing(make_data, tmp_path):
    """Members that differ by chance alone, and for which 0.5 is right: what is chosen gains nothing on other people.

    Weights, thresholds and post-processing together, down to the pixels; the best that the search saw looks better.
    """
    honest, promised = [], []
    for seed in range(4):
        random = np.random.default_rng(seed)
        data = make_data(**{name: blurred(0, random, 0.9) for name in "abc"})
        data = replace(data, folds=np.array([int(group[-1]) for group in data.groups]))  # a fold for each person
        found = tune(data, WINDOWS[:1], tmp_path / str(seed), "greedy")
        honest.append(found.crossfit.mean() - found.tuned.at_half.mean())
        tried = found.tuned.search.tried[0]
        scores = [tried.score(position, frozenset())[0] for position in range(len(tried.vectors))]
        promised.append(max(scores) - found.tuned.at_half.mean())
    error = np.std(honest, ddof=1) / np.sqrt(len(honest))
    assert np.mean(promised) > 0.002
    assert np.mean(promised) > 3 * abs(np.mean(honest))
    assert -0.005 < np.mean(honest) < 3 * error + 1e-12


def one_fold_and_unseen_people(data):
    """The images of the first three people as one trained fold, and those of the other two people."""
    first = sorted(set(data.groups))[:3]
    seen = [place for place, group in enumerate(data.groups) if group in first]
    unseen = [sample for sample, group in zip(data.samples, data.groups, strict=True) if group not in first]
    held_out = replace(
        data,
        samples=[data.samples[place] for place in seen],
        folds=np.zeros(len(seen), dtype=np.int64),
        groups=[data.groups[place] for place in seen],
    )
    return held_out, unseen


def unseen_dice(data, samples, weights, levels):
    """Mean Dice of a vote, counted on whole masks."""
    found = []
    for sample in samples:
        decided = blend(data.open_maps(sample), weights) > np.asarray(levels)[:, None, None]
        truth = unpack_planes(data.truth(sample), 3).astype(bool)
        found += [dice((a & b).sum(), a.sum(), b.sum()) for a, b in zip(decided, truth, strict=True)]
    return np.mean(found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", ["optuna", "greedy"])
def test_with_one_fold_the_vote_does_not_lose_to_its_better_member(make_data, tmp_path, monkeypatch, method, seed):
    """The worse member is three or so pixels off to one side, which no threshold of equal weights repairs."""
    random = np.random.default_rng(seed)

    def beside(truth):
        return sure(np.roll(truth, random.integers(2, 5), axis=1))

    data = make_data(better=blurred(0.0, random), worse=beside)
    held_out, unseen = one_fold_and_unseen_people(data)
    tuned = tune(held_out, WINDOWS[2:], tmp_path, method)
    (weights,) = np.unique(tuned.tuned.search.weights, axis=0).tolist()
    vote = unseen_dice(data, unseen, weights, tuned.tuned.chosen.levels)
    alone = unseen_dice(data, unseen, (1000, 0), [127] * 3)
    assert vote > alone - 0.001
    assert tuned.crossfit.mean() == pytest.approx(alone, abs=0.03)  # what is promised is what unseen people bring
    # Without parts of people, as it was: equal weights, which lose to the better member.
    monkeypatch.setattr("competition.ensembling.segmentation.tuning.crossfit_parts", lambda folds, groups: folds)
    before = tune(held_out, WINDOWS[2:], tmp_path, method)
    assert before.tuned.search.weights.tolist() == [[500, 500]] * 3
    assert unseen_dice(data, unseen, (500, 500), [127] * 3) < vote - 0.02


def test_the_vote_on_every_image_is_kept_as_dense_counts_and_curves(make_data, tmp_path):
    data = make_data(a=sure, b=doubtful_corner)
    found = tune(data, [(0.3, 0.6)], tmp_path)
    vote, weights = found.vote, found.tuned.search.weights
    assert vote.samples == data.samples
    dense = np.zeros((10, 3, 256))
    for number, sample in enumerate(data.samples):
        levels = blend(data.open_maps(sample), weights[0].tolist(), data.voters())
        truth = unpack_planes(data.truth(sample), 3)
        for index, name in enumerate(found.operations):
            assert name == "none"  # the members make no holes and no specks
            mask = levels[index] > vote.levels[number, index]
            expected = [(mask & truth[index]).sum(), mask.sum(), truth[index].sum()]
            assert vote.counts[number, :, index].tolist() == expected
        for level in range(256):
            masks = levels > level
            dense[number, :, level] = dice((masks & truth).sum((1, 2)), masks.sum((1, 2)), truth.sum((1, 2)))
    searched = np.flatnonzero(~np.isnan(vote.curves[0]))
    assert (searched.min(), searched.max()) == (76, 152)  # (level + 0.5) / 255 lies in 0.3 to 0.6
    assert np.allclose(vote.curves[:, searched], dense.mean(axis=0)[:, searched], rtol=0, atol=1e-12)
