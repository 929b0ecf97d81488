from itertools import permutations

import numpy as np
import pytest
from plain_curves import best_levels, fold_sums, scores_at, study_levels

from competition.ensembling.segmentation.thresholds import (
    SHRINK_GROUPS,
    shrink_levels,
    window_levels,
)
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.prediction.histograms import dice_curves, image_histogram
from competition.prediction.probability_maps import threshold_of


def smooth_curves(images=12, classes=5, seed=0):
    """Curves of blurred discs, as a network's would be."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:64, :64]
    histograms = []
    for _ in range(images):
        distance = np.hypot(rows - random.uniform(20, 44), columns - random.uniform(20, 44)) - random.uniform(6, 14)
        shifts = np.linspace(-2, 2, classes)[:, None, None] + random.normal(0, 0.5, (classes, 1, 1))
        levels = np.rint(255 / (1 + np.exp((distance + shifts) / 1.5))).astype(np.uint8)
        histograms.append(image_histogram(levels, pack_masks(np.repeat(distance[None] < 0, classes, axis=0))))
    return dice_curves(np.stack(histograms))


def test_a_half_is_cut_127():
    assert threshold_of(np.array([127])).tolist() == [0.5]


@pytest.mark.parametrize(
    ("window", "expected"), [((0.05, 0.95), (13, 241)), ((0.0, 1.0), (0, 254)), ((0.5, 0.5), (127, 127))]
)
def test_window_holds_the_cuts_whose_threshold_lies_in_it(window, expected):
    assert window_levels(window) == expected


@pytest.mark.parametrize("window", [(0.8, 0.2), (0.5001, 0.5002), (1.0, 1.0)])
def test_a_window_without_a_cut_is_refused(window):
    with pytest.raises(CompetitionError, match="no threshold between"):
        window_levels(window)


def test_sweep_equals_brute_force():
    curves = np.random.default_rng(1).random((7, 4, 256))
    for index, level in enumerate(best_levels(curves, (0.2, 0.8))):
        means = {candidate: curves[:, index, candidate].mean() for candidate in range(*_range(0.2, 0.8))}
        assert level == max(means, key=means.__getitem__)


def _range(low, high):
    lowest, highest = window_levels((low, high))
    return lowest, highest + 1


@pytest.mark.parametrize(
    ("best_at", "expected"), [((), 127), ((100, 150), 150), ((100, 154), 100), ((20, 240), 20), ((5, 130), 130)]
)
def test_ties_go_to_the_cut_nearest_to_a_half(best_at, expected):
    curves = np.full((3, 1, 256), 0.5)
    curves[:, 0, list(best_at)] = 0.9
    assert best_levels(curves).tolist() == [expected]


def test_a_tie_that_only_rounding_breaks_is_a_tie():
    gains = [0.1, 0.2, 0.3, 0.7, 1 / 3]
    curves = np.zeros((5, 1, 256))
    by_mean = sorted(permutations(gains), key=sum)
    curves[:, 0, 127], curves[:, 0, 200] = by_mean[0], by_mean[-1]
    assert curves.mean(axis=0)[0, 127] < curves.mean(axis=0)[0, 200]
    assert best_levels(curves).tolist() == [127]


def test_one_image_one_class_and_empty_truth():
    histogram = image_histogram(np.array([[[0, 90]]], np.uint8), pack_masks(np.zeros((1, 1, 2), bool)))
    curves = dice_curves(histogram[None])
    # Every level from 90 on leaves the mask empty, which is right; 127 is the nearest of them.
    assert best_levels(curves).tolist() == [127]
    assert scores_at(curves, best_levels(curves)).tolist() == [[1.0]]


def test_scores_at_common_and_own_cuts():
    curves = np.arange(2 * 3 * 256, dtype=float).reshape(2, 3, 256)
    assert scores_at(curves, np.array([0, 1, 255])).tolist() == [[0, 257, 767], [768, 1025, 1535]]
    assert scores_at(curves, np.array([[0, 0, 0], [1, 1, 1]])).tolist() == [[0, 256, 512], [769, 1025, 1281]]


@pytest.mark.slow
def test_studies_reach_the_sweep():
    curves = smooth_curves()
    exact, studied = best_levels(curves), study_levels(curves, trials=100, seed=3)
    difference = scores_at(curves, exact).mean(axis=0) - scores_at(curves, studied).mean(axis=0)
    assert (difference >= -1e-12).all()
    assert (difference <= 1e-4).all()
    assert (np.abs(exact - 127) > 10).any(), "levels at a half would show nothing"


def test_studies_try_a_half_first_and_stay_in_the_window():
    curves = smooth_curves(images=4, classes=2)
    assert study_levels(curves, trials=1, seed=0).tolist() == [127, 127]
    assert (study_levels(curves, trials=8, seed=0, window=(0.6, 0.7)) >= 153).all()


def test_few_people_draw_a_cut_to_a_half():
    assert SHRINK_GROUPS == 4
    raw, people = np.array([187, 187, 187, 67, 67, 127, 128]), np.array([0, 4, 12, 4, 10**6, 8, 10**6])
    # 60 levels from 127, by 0, 4/8, 12/16 and so on of the way.
    assert shrink_levels(raw, people).tolist() == [127, 157, 172, 97, 67, 127, 128]
    thresholds, drawn = threshold_of(raw), threshold_of(shrink_levels(raw, people))
    np.testing.assert_allclose(drawn, 0.5 + people / (people + 4) * (thresholds - 0.5), atol=0.5 / 255)


def test_halves_are_rounded_to_a_half():
    # 1, 3 and 5 levels, half of the way: 0.5, 1.5 and 2.5.
    assert shrink_levels(np.array([128, 130, 132]), np.full(3, 4)).tolist() == [127, 128, 129]
    assert shrink_levels(np.array([126, 124, 122]), np.full(3, 4)).tolist() == [127, 126, 125]


def test_left_out_folds_count_neither_in_the_mean_nor_in_the_people():
    random = np.random.default_rng(5)
    curves, folds = random.random((11, 3, 256)), np.array([0, 0, 0, 1, 1, 1, 1, 4, 4, 4, 4])
    present = random.random((11, 3)) < 0.7
    groups = ["a", "a", "b", "c", "d", "d", "d", "e", "f", "g", "h"]
    sums = fold_sums(curves, TuningImages(folds, groups, present))
    for excluded in ((), (0,), (1, 4)):
        kept = ~np.isin(folds, excluded)
        np.testing.assert_allclose(sums.mean_without(excluded), curves[kept].mean(axis=0), rtol=1e-13)
        people = [len({groups[row] for row in np.flatnonzero(kept & present[:, index])}) for index in range(3)]
        expected = shrink_levels(best_levels(curves[kept], (0.2, 0.8)), np.array(people))
        assert sums.levels_without(excluded, (0.2, 0.8)).tolist() == expected.tolist()
    with pytest.raises(ValueError, match="10 curves for 11 images"):
        fold_sums(curves[1:], TuningImages(folds, groups, present))


def test_shrunk_cuts_do_better_on_new_people_where_few_were_seen():
    """Discs whose maps are off by a little for the class and by more for each person."""
    random, levels = np.random.default_rng(7), np.arange(255)
    logit = np.log((levels + 0.5) / (254.5 - levels))

    def people(count, shift):
        radius, wrong = random.uniform(6, 14, (count, 1)), shift + random.normal(0, 1, (count, 1))
        found = np.maximum(radius + wrong - 1.5 * logit[None], 0)
        dice = 2 * np.minimum(found, radius) ** 2 / (found**2 + radius**2)
        return np.pad(dice, ((0, 0), (0, 1)))[:, None]

    raw, shrunk = [], []
    for _ in range(150):
        shift = random.normal(0, 0.5)
        new, levels = people(200, shift), best_levels(people(4, shift))
        raw.append(scores_at(new, levels).mean())
        shrunk.append(scores_at(new, shrink_levels(levels, np.array([4]))).mean())
    gains = np.array(shrunk) - np.array(raw)
    assert gains.mean() > 3 * gains.std() / np.sqrt(len(gains))
