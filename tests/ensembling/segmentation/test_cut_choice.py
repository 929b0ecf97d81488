import numpy as np
import pytest
from plain_curves import best_cuts, choose_cuts, crossfit_cuts, scores_at

from competition.ensembling.segmentation.thresholds import HALF, shrink_cuts
from competition.ensembling.segmentation.tuning_images import TuningImages

WINDOW = (0.2, 0.8)


def images_of(folds, groups=None, classes=2):
    groups = [str(i) for i in range(len(folds))] if groups is None else groups
    return TuningImages(np.asarray(folds), groups, np.ones((len(folds), classes), bool))


def peaked(images, peaks, height, noise=0.0, seed=0):
    """Curves (images, C, 256) that are highest at a class's cut, by so much more than at 127."""
    distance = np.abs(np.arange(256)[None] - np.array(peaks)[:, None]) / np.abs(np.array(peaks) - HALF)[:, None]
    curves = 0.8 - height * distance
    return curves + np.random.default_rng(seed).normal(0, noise, (images, len(peaks), 1)) * (distance < 0.9)


def test_a_gain_that_every_fold_shows_is_taken_shrunk():
    chosen = choose_cuts(peaked(12, (187, 67), 0.1), images_of(np.arange(12) % 3), WINDOW)
    assert chosen.raw.tolist() == [187, 67]
    assert chosen.shrunk.tolist() == chosen.cuts.tolist() == [127 + 45, 127 - 45]  # 12 of 12 + 4 people
    assert chosen.reason.startswith("thresholds: tuned ones taken (cross-fitted gain +0.0")


def test_one_cut_serves_nobody_who_is_left_out():
    """Each fold has its best cut elsewhere: what is tuned on some is worse on the others, and 0.5 stays."""
    folds = np.repeat([0, 1, 2], 4)
    curves = np.full((12, 1, 256), 0.5)
    for fold, cut in enumerate((60, 90, 170)):
        curves[folds == fold, 0] -= 0.001 * np.abs(np.arange(256) - cut)[None]
    curves[:, 0, 120:135] += 0.02
    chosen = choose_cuts(curves, images_of(folds, classes=1), WINDOW)
    assert chosen.cuts.tolist() == [127]
    assert chosen.raw.tolist() != [127]
    assert "0.5 kept" in chosen.reason


def test_a_gain_within_one_standard_error_is_not_taken():
    """All people gain alike, or one of them gains it all."""
    folds, gain = np.arange(10) % 5, np.tile(0.001 * (np.arange(256) - HALF), (10, 1, 1))
    assert choose_cuts(0.5 + gain, images_of(folds, classes=1), (0.2, 0.8)).choice.index == 1
    gain[1:] = 0
    alone = choose_cuts(0.5 + gain, images_of(folds, classes=1), (0.2, 0.8))
    assert alone.choice.index == 0
    assert "0.5 kept" in alone.reason


def test_people_and_not_images_count():
    """Two of three people gain, each with many images: were these independent, it would be beyond doubt."""
    folds, groups = np.repeat([0, 1, 2], 20), np.repeat(["a", "b", "c"], 20).tolist()
    gains = np.repeat([1.0, 1.0, -0.6], 20)[:, None, None]
    curves = 0.5 + 0.001 * gains * (np.arange(256) - HALF)
    by_person = choose_cuts(curves, images_of(folds, groups, 1), WINDOW)
    by_image = choose_cuts(curves, images_of(folds, None, 1), WINDOW)
    assert (by_person.choice.index, by_image.choice.index) == (0, 1)


def test_one_fold_keeps_a_half_and_has_nothing_honest():
    chosen = choose_cuts(peaked(6, (187,), 0.1), images_of(np.zeros(6, int), classes=1), WINDOW)
    assert chosen.cuts.tolist() == [127]
    assert "one part" in chosen.reason
    assert crossfit_cuts(peaked(6, (187,), 0.1), images_of(np.zeros(6, int), classes=1), WINDOW) is None


def test_a_window_of_a_half_alone_says_that_nothing_is_better():
    chosen = choose_cuts(peaked(6, (187,), 0.1), images_of(np.arange(6) % 3, classes=1), (0.5, 0.5))
    assert (chosen.cuts.tolist(), chosen.raw.tolist()) == ([127], [127])
    assert chosen.reason == "thresholds: 0.5 kept (nothing scores better)"


def expected_cuts(curves, images, excluded):
    """The rule written plainly: shrunk cuts, and whether they are taken."""
    folds, groups = images.folds, np.array(images.groups)

    def tuned(*without):
        rows = ~np.isin(folds, [*excluded, *without])
        people = [len(set(groups[rows & here])) for here in images.present.T]
        return shrink_cuts(best_cuts(curves[rows], WINDOW), np.array(people)), rows

    def better(*without):
        cuts, rows = tuned(*without)
        return scores_at(curves[rows], cuts).mean() > curves[rows][..., HALF].mean() + 1e-12

    differences, people = [], []
    for fold in set(folds.tolist()) - set(excluded):
        here = folds == fold
        found = scores_at(curves[here], tuned(fold)[0]) - curves[here][..., HALF]
        differences.extend(found.mean(axis=1) * better(fold))
        people.extend(groups[here])
    differences = np.array(differences)
    sums = np.array([(differences[np.array(people) == one] - differences.mean()).sum() for one in set(people)])
    error = np.sqrt(len(sums) / (len(sums) - 1) * np.sum(sums**2)) / len(differences)
    return tuned()[0], better() and differences.mean() > error


@pytest.mark.parametrize("excluded", [(), (0,), (2,)])
def test_the_choice_follows_the_rule_and_sees_no_excluded_fold(excluded):
    random, taken = np.random.default_rng(len(excluded)), 0
    for _ in range(20):
        folds = np.repeat(np.arange(4), 6)
        groups = [f"{fold}-{i % 3}" for i, fold in enumerate(folds)]
        curves = 0.7 + random.normal(0, 0.02, (24, 3, 256))
        curves[:, :, 160:] += random.choice([0.0, 0.012])
        images = TuningImages(folds, groups, random.random((24, 3)) < 0.6)
        shrunk, wanted = expected_cuts(curves, images, excluded)
        chosen = choose_cuts(curves, images, WINDOW, frozenset(excluded))
        assert chosen.choice.index == wanted
        assert chosen.shrunk.tolist() == shrunk.tolist()
        assert chosen.cuts.tolist() == (shrunk.tolist() if wanted else [127] * 3)
        taken += wanted
    assert 3 <= taken <= 17, "both answers must occur"


def test_each_image_gets_the_cuts_that_were_chosen_without_its_fold():
    curves, folds = peaked(15, (187, 67), 0.1), np.repeat([1, 4, 7], 5)
    curves[folds == 7] = curves[folds == 7][:, ::-1]  # the last fold wants the opposite
    images = images_of(folds)
    cuts = crossfit_cuts(curves, images, WINDOW)
    for fold in (1, 4, 7):
        alone = choose_cuts(curves, images, WINDOW, frozenset({fold})).cuts
        assert (cuts[folds == fold] == alone).all()
    assert cuts[folds == 7].tolist() == [[127 + 43, 127 - 43]] * 5  # 10 of 10 + 4 people
    changed = curves.copy()
    changed[folds == 4] = np.random.default_rng(0).random((5, 2, 256))
    np.testing.assert_array_equal(crossfit_cuts(changed, images, WINDOW)[folds == 4], cuts[folds == 4])
