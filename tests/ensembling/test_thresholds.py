from itertools import permutations

import numpy as np
import pytest

from competition.ensembling.histograms import dice_curves, image_histogram
from competition.ensembling.thresholds import (
    best_cuts,
    crossfit,
    crossfit_cuts,
    scores_at,
    study_cuts,
    threshold_of,
    window_cuts,
)
from competition.errors import CompetitionError
from competition.imaging.planes import pack_masks


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
    assert window_cuts(window) == expected


@pytest.mark.parametrize("window", [(0.8, 0.2), (0.5001, 0.5002), (1.0, 1.0)])
def test_a_window_without_a_cut_is_refused(window):
    with pytest.raises(CompetitionError, match="no threshold between"):
        window_cuts(window)


def test_sweep_equals_brute_force():
    curves = np.random.default_rng(1).random((7, 4, 256))
    for index, cut in enumerate(best_cuts(curves, (0.2, 0.8))):
        means = {candidate: curves[:, index, candidate].mean() for candidate in range(*_range(0.2, 0.8))}
        assert cut == max(means, key=means.__getitem__)


def _range(low, high):
    lowest, highest = window_cuts((low, high))
    return lowest, highest + 1


@pytest.mark.parametrize(
    ("best_at", "expected"), [((), 127), ((100, 150), 150), ((100, 154), 100), ((20, 240), 20), ((5, 130), 130)]
)
def test_ties_go_to_the_cut_nearest_to_a_half(best_at, expected):
    curves = np.full((3, 1, 256), 0.5)
    curves[:, 0, list(best_at)] = 0.9
    assert best_cuts(curves).tolist() == [expected]


def test_a_tie_that_only_rounding_breaks_is_a_tie():
    gains = [0.1, 0.2, 0.3, 0.7, 1 / 3]
    curves = np.zeros((5, 1, 256))
    by_mean = sorted(permutations(gains), key=sum)
    curves[:, 0, 127], curves[:, 0, 200] = by_mean[0], by_mean[-1]
    assert curves.mean(axis=0)[0, 127] < curves.mean(axis=0)[0, 200]
    assert best_cuts(curves).tolist() == [127]


def test_one_image_one_class_and_empty_truth():
    histogram = image_histogram(np.array([[[0, 90]]], np.uint8), pack_masks(np.zeros((1, 1, 2), bool)))
    curves = dice_curves(histogram[None])
    # Every cut from 90 on leaves the mask empty, which is right; 127 is the nearest of them.
    assert best_cuts(curves).tolist() == [127]
    assert scores_at(curves, best_cuts(curves)).tolist() == [[1.0]]


def test_scores_at_common_and_own_cuts():
    curves = np.arange(2 * 3 * 256, dtype=float).reshape(2, 3, 256)
    assert scores_at(curves, np.array([0, 1, 255])).tolist() == [[0, 257, 767], [768, 1025, 1535]]
    assert scores_at(curves, np.array([[0, 0, 0], [1, 1, 1]])).tolist() == [[0, 256, 512], [769, 1025, 1281]]


def test_studies_reach_the_sweep():
    curves = smooth_curves()
    exact, studied = best_cuts(curves), study_cuts(curves, trials=100, seed=3)
    difference = scores_at(curves, exact).mean(axis=0) - scores_at(curves, studied).mean(axis=0)
    assert (difference >= -1e-12).all()
    assert (difference <= 1e-4).all()
    assert (np.abs(exact - 127) > 10).any(), "cuts at a half would show nothing"


def test_studies_try_a_half_first_and_stay_in_the_window():
    curves = smooth_curves(images=4, classes=2)
    assert study_cuts(curves, trials=1, seed=0).tolist() == [127, 127]
    assert (study_cuts(curves, trials=8, seed=0, window=(0.6, 0.7)) >= 153).all()


def test_crossfit_never_sees_its_own_fold():
    random = np.random.default_rng(5)
    curves, folds = random.random((11, 3, 256)), np.array([0, 0, 0, 1, 1, 1, 1, 4, 4, 4, 4])
    cuts, scores = crossfit_cuts(curves, folds), crossfit(curves, folds)
    for fold in (0, 1, 4):
        others = best_cuts(curves[folds != fold])
        assert (cuts[folds == fold] == others).all()
        for image in np.flatnonzero(folds == fold):
            assert [scores[image, index] for index in range(3)] == [
                curves[image, index, others[index]] for index in range(3)
            ]


def test_crossfit_of_one_fold_is_none():
    curves = np.random.default_rng(0).random((4, 2, 256))
    assert crossfit(curves, np.zeros(4, int)) is None
    assert crossfit_cuts(curves, np.zeros(4, int)) is None


def test_tuning_on_noise_promises_nothing():
    """Truth that has nothing to do with the map: tuned cuts look better and, cross-fitted, are not."""
    random = np.random.default_rng(7)
    seen, honest = [], []
    for _ in range(30):
        curves = 0.5 + random.normal(0, 0.05, (20, 4, 256))
        at_a_half = curves[:, :, 127].mean()
        seen.append(scores_at(curves, best_cuts(curves)).mean() - at_a_half)
        honest.append(crossfit(curves, np.arange(20) % 5).mean() - at_a_half)
    error = np.std(honest) / np.sqrt(len(honest))
    assert min(seen) > 0.01
    assert np.mean(honest) < 3 * error
