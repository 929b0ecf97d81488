"""Thresholds, then weights and thresholds together, against the rules written plainly, and on noise."""

import numpy as np
import pytest
from plain_curves import best_levels, choose_levels, crossfit_levels, scores_at, search_weights, tune_curves

from competition.ensembling.segmentation import thresholds
from competition.ensembling.segmentation.thresholds import shrink_levels
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.selection.weight_methods import METHODS, candidate_weights
from competition.ensembling.voting.class_groups import ClassGroups, one_group
from competition.prediction.probability_maps import HALF_LEVEL

WINDOW = (0.2, 0.8)


def images_of(folds, groups=None, classes=2):
    groups = [str(i) for i in range(len(folds))] if groups is None else groups
    return TuningImages(np.asarray(folds), groups, np.ones((len(folds), classes), bool))


def peaked(images, peaks, height, noise=0.0, seed=0):
    """Curves (images, C, 256) that are highest at a class's level, by so much more than at 127."""
    distance = np.abs(np.arange(256)[None] - np.array(peaks)[:, None]) / np.abs(np.array(peaks) - HALF_LEVEL)[:, None]
    curves = 0.8 - height * distance
    return curves + np.random.default_rng(seed).normal(0, noise, (images, len(peaks), 1)) * (distance < 0.9)


def test_a_gain_that_every_fold_shows_is_taken_shrunk():
    chosen = choose_levels(peaked(12, (187, 67), 0.1), images_of(np.arange(12) % 3), WINDOW)
    assert chosen.raw.tolist() == [187, 67]
    assert chosen.shrunk.tolist() == chosen.levels.tolist() == [127 + 45, 127 - 45]  # 12 of 12 + 4 people
    assert chosen.reason.startswith("thresholds: tuned ones taken (cross-fitted gain +0.0")


def test_other_ways_to_find_levels_are_used_without_each_fold_too():
    curves, images = peaked(12, (187, 67), 0.1), images_of(np.arange(12) % 3)

    def nearer(mean, window):
        return (thresholds.best_levels(mean, window) + 127) // 2

    chosen = choose_levels(curves, images, WINDOW, frozenset(), nearer)
    assert chosen.raw.tolist() == [157, 97]
    assert chosen.levels.tolist() == chosen.shrunk.tolist() == shrink_levels(chosen.raw, np.array([12, 12])).tolist()
    eight_groups = shrink_levels(chosen.raw, np.array([8, 8])).tolist()
    assert crossfit_levels(curves, images, WINDOW, nearer).tolist() == [eight_groups] * 12


def test_one_cut_serves_nobody_who_is_left_out():
    """Each fold has its best level elsewhere: what is tuned on some is worse on the others, and 0.5 stays."""
    folds = np.repeat([0, 1, 2], 4)
    curves = np.full((12, 1, 256), 0.5)
    for fold, level in enumerate((60, 90, 170)):
        curves[folds == fold, 0] -= 0.001 * np.abs(np.arange(256) - level)[None]
    curves[:, 0, 120:135] += 0.02
    chosen = choose_levels(curves, images_of(folds, classes=1), WINDOW)
    assert chosen.levels.tolist() == [127]
    assert chosen.raw.tolist() != [127]
    assert "0.5 kept" in chosen.reason


def test_a_gain_within_one_standard_error_is_not_taken():
    """All people gain alike, or one of them gains it all."""
    folds, gain = np.arange(10) % 5, np.tile(0.001 * (np.arange(256) - HALF_LEVEL), (10, 1, 1))
    assert choose_levels(0.5 + gain, images_of(folds, classes=1), (0.2, 0.8)).choice.index == 1
    gain[1:] = 0
    alone = choose_levels(0.5 + gain, images_of(folds, classes=1), (0.2, 0.8))
    assert alone.choice.index == 0
    assert "0.5 kept" in alone.reason


def test_people_and_not_images_count():
    """Two of three people gain, each with many images: were these independent, it would be beyond doubt."""
    folds, groups = np.repeat([0, 1, 2], 20), np.repeat(["a", "b", "c"], 20).tolist()
    gains = np.repeat([1.0, 1.0, -0.6], 20)[:, None, None]
    curves = 0.5 + 0.001 * gains * (np.arange(256) - HALF_LEVEL)
    by_person = choose_levels(curves, images_of(folds, groups, 1), WINDOW)
    by_image = choose_levels(curves, images_of(folds, None, 1), WINDOW)
    assert (by_person.choice.index, by_image.choice.index) == (0, 1)


def test_one_fold_keeps_a_half_and_has_nothing_honest():
    chosen = choose_levels(peaked(6, (187,), 0.1), images_of(np.zeros(6, int), classes=1), WINDOW)
    assert chosen.levels.tolist() == [127]
    assert "one part" in chosen.reason
    assert crossfit_levels(peaked(6, (187,), 0.1), images_of(np.zeros(6, int), classes=1), WINDOW) is None


def test_a_window_of_a_half_alone_says_that_nothing_is_better():
    chosen = choose_levels(peaked(6, (187,), 0.1), images_of(np.arange(6) % 3, classes=1), (0.5, 0.5))
    assert (chosen.levels.tolist(), chosen.raw.tolist()) == ([127], [127])
    assert chosen.reason == "thresholds: 0.5 kept (nothing scores better)"


def expected_cuts(curves, images, excluded):
    """The rule written plainly: shrunk levels, and whether they are taken."""
    folds, groups = images.folds, np.array(images.groups)

    def tuned(*without):
        rows = ~np.isin(folds, [*excluded, *without])
        people = [len(set(groups[rows & here])) for here in images.present.T]
        return shrink_levels(best_levels(curves[rows], WINDOW), np.array(people)), rows

    def better(*without):
        levels, rows = tuned(*without)
        return scores_at(curves[rows], levels).mean() > curves[rows][..., HALF_LEVEL].mean() + 1e-12

    differences, people = [], []
    for fold in set(folds.tolist()) - set(excluded):
        here = folds == fold
        found = scores_at(curves[here], tuned(fold)[0]) - curves[here][..., HALF_LEVEL]
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
        chosen = choose_levels(curves, images, WINDOW, frozenset(excluded))
        assert chosen.choice.index == wanted
        assert chosen.shrunk.tolist() == shrunk.tolist()
        assert chosen.levels.tolist() == (shrunk.tolist() if wanted else [127] * 3)
        taken += wanted
    assert 3 <= taken <= 17, "both answers must occur"


def test_each_image_gets_the_cuts_that_were_chosen_without_its_fold():
    curves, folds = peaked(15, (187, 67), 0.1), np.repeat([1, 4, 7], 5)
    curves[folds == 7] = curves[folds == 7][:, ::-1]  # the last fold wants the opposite
    images = images_of(folds)
    levels = crossfit_levels(curves, images, WINDOW)
    for fold in (1, 4, 7):
        alone = choose_levels(curves, images, WINDOW, frozenset({fold})).levels
        assert (levels[folds == fold] == alone).all()
    assert levels[folds == 7].tolist() == [[127 + 43, 127 - 43]] * 5  # 10 of 10 + 4 people
    changed = curves.copy()
    changed[folds == 4] = np.random.default_rng(0).random((5, 2, 256))
    np.testing.assert_array_equal(crossfit_levels(changed, images, WINDOW)[folds == 4], levels[folds == 4])


def tune(evaluate, propose, members, images, class_groups):
    search = search_weights(evaluate, propose, members, images, class_groups, WINDOW)
    return tune_curves(evaluate, search, images, WINDOW)


def random_curves(candidates, images, classes, seed, bonus):
    """Curves per candidate, with ``bonus`` (k,) for every image and a threshold that may be better than 0.5."""
    random = np.random.default_rng(seed)
    per_image = random.normal(0.8, 0.02, (images, classes, 1))
    rise = random.choice([0.0, 0.0002]) * np.abs(np.arange(256) - 127)
    return {
        tuple(row.tolist()): per_image + random.normal(0, 0.01, (images, classes, 256)) + rise + bonus[position]
        for position, row in enumerate(candidates)
    }


class Reference:
    """The rules written plainly for one class group: look at everything again for every question."""

    def __init__(self, curves, candidates, folds, groups, present):
        self.curves = [curves[tuple(row.tolist())] for row in candidates]
        self.folds, self.groups, self.present = folds, groups, present

    def levels(self, candidate, kept):
        rows = np.isin(self.folds, kept)
        people = [len(set(self.groups[rows & here])) for here in self.present.T]
        return shrink_levels(best_levels(self.curves[candidate][rows], WINDOW), np.array(people))

    def mean(self, candidate, kept, levels):
        return scores_at(self.curves[candidate][np.isin(self.folds, kept)], levels).mean()

    def best(self, kept):
        scores = [self.mean(candidate, kept, self.levels(candidate, kept)) for candidate in range(len(self.curves))]
        return int(np.argmax(scores))

    def per_image(self, candidate, fold, levels):
        return scores_at(self.curves[candidate][self.folds == fold], levels).mean(axis=1)

    def beyond_doubt(self, by_fold):
        differences = np.concatenate(list(by_fold.values()))
        people = np.concatenate([self.groups[self.folds == fold] for fold in by_fold])
        sums = np.array([(differences[people == one] - differences.mean()).sum() for one in sorted(set(people))])
        error = np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / len(differences)
        return differences.mean() > error

    def weights(self, kept):
        winner = self.best(kept)
        if winner == 0 or len(kept) < 2:
            return 0
        gains = {}
        for fold in kept:
            others = [other for other in kept if other != fold]
            best = self.best(others)
            gains[fold] = self.per_image(best, fold, self.levels(best, others))
            gains[fold] = gains[fold] - self.per_image(0, fold, self.levels(0, others))
        return winner if self.beyond_doubt(gains) else 0

    def final_levels(self, candidate, kept):
        half = np.full(self.present.shape[1], 127)

        def better(folds):
            return self.mean(candidate, folds, self.levels(candidate, folds)) > self.mean(candidate, folds, half)

        if len(kept) < 2 or not better(kept):
            return half
        gains = {}
        for fold in kept:
            others = [other for other in kept if other != fold]
            levels = self.levels(candidate, others) if better(others) else half
            gains[fold] = self.per_image(candidate, fold, levels) - self.per_image(candidate, fold, half)
        return self.levels(candidate, kept) if self.beyond_doubt(gains) else half


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fold_count", [2, 3, 5])
def test_tuning_follows_the_cross_fitted_rules(seed, fold_count):
    candidates = candidate_weights(3, 5, seed=seed)
    folds = np.arange(24) % fold_count
    groups = np.array([f"person {image // 2 // fold_count}-{image % fold_count}" for image in range(24)])
    present = np.random.default_rng(seed).random((24, 2)) < 0.8
    curves = random_curves(candidates, 24, 2, seed, np.linspace(0, 0.004 * (seed % 3), len(candidates)))
    images = TuningImages(folds, groups.tolist(), present)
    found = tune(
        lambda weights, rows: curves[tuple(weights[0].tolist())][rows],
        lambda score: candidates,
        3,
        images,
        one_group(2),
    )
    rules, everything = Reference(curves, candidates, folds, groups, present), list(range(fold_count))
    chosen = rules.weights(everything)
    assert found.search.weights.tolist() == candidates[[chosen, chosen]].tolist()
    np.testing.assert_array_equal(found.curves.values(), rules.curves[chosen])
    np.testing.assert_array_equal(found.chosen.levels, rules.final_levels(chosen, everything))
    np.testing.assert_array_equal(found.oof, scores_at(rules.curves[chosen], found.chosen.levels))
    np.testing.assert_array_equal(found.at_half, rules.curves[0][:, :, 127])
    for fold in everything:
        others = [other for other in everything if other != fold]
        without = rules.weights(others)
        assert found.search.without[fold].tolist() == candidates[[without, without]].tolist()
        levels = rules.final_levels(without, others)
        held = folds == fold
        np.testing.assert_array_equal(found.crossfit[held], scores_at(rules.curves[without][held], levels))
        assert (found.honest_levels[held] == rules.final_levels(chosen, others)).all()
    for position, row in enumerate(found.search.tried[0].vectors):
        index = candidates.tolist().index(list(row))
        expected = rules.mean(index, everything, rules.levels(index, everything))
        assert found.search.tried[0].score(position, frozenset())[0] == pytest.approx(expected, abs=1e-12)


def test_with_one_fold_nothing_is_promised():
    candidates = candidate_weights(2, 5, seed=0)
    curves = random_curves(candidates, 6, 3, 0, np.arange(len(candidates)) * 0.1)
    images = TuningImages(np.zeros(6, int), list("abcdef"), np.ones((6, 3), bool))
    found = tune(
        lambda weights, rows: curves[tuple(weights[0].tolist())][rows],
        lambda score: candidates,
        2,
        images,
        one_group(3),
    )
    assert found.crossfit is None
    assert found.honest_levels is None
    assert found.chosen.levels.tolist() == [127, 127, 127]
    np.testing.assert_array_equal(found.oof, found.at_half)


def noise_evaluator(images, classes, seed):
    """Curves that have nothing to do with weights or thresholds: smooth in both, as true ones are."""
    random = np.random.default_rng(seed)
    per_member = 0.7 + random.normal(0, 0.03, (4, images, classes, 8))
    knots = np.linspace(0, 255, 8)
    at = np.arange(256)

    def evaluate(weights, rows):
        mixed = np.einsum("cm,mncK->ncK", weights / 1000, per_member[:, rows])
        place = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, 6)
        share = (at - knots[place]) / (knots[1] - knots[0])
        return mixed[..., place] * (1 - share) + mixed[..., place + 1] * share

    return evaluate


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("method", ["optuna", "greedy"])
@pytest.mark.parametrize("names", [("",), ("a", "b")])
def test_tuning_on_noise_promises_nothing(method, names):
    """The gain of all that was chosen over equal weights at 0.5 is no more than chance; the optimistic one is positive.

    Scored on a fold, what was chosen on the others is neither better nor worse than anything else there.
    """
    class_groups = ClassGroups(names, np.array([0, 0, len(names) - 1]))
    people = np.repeat(np.arange(15), 2)
    folds, groups = people % 3, [f"person {person}" for person in people]
    images, propose = TuningImages(folds, groups, np.ones((30, 3), bool)), METHODS[method](4, 12)
    honest, optimistic, best = [], [], []
    for seed in range(7):
        found = tune(noise_evaluator(30, 3, seed), propose, 4, images, class_groups)
        honest.append(found.crossfit.mean() - found.at_half.mean())
        optimistic.append(found.oof.mean() - found.at_half.mean())
        trials = found.search.tried[0]
        sizes = np.bincount(class_groups.of_class)
        scores = [trials.score(place, frozenset()) for place in range(len(trials.vectors))]
        best.append(np.average(np.max(scores, axis=0), weights=sizes) - found.at_half.mean())
    error = np.std(honest, ddof=1) / np.sqrt(len(honest))
    assert np.min(best) > 0  # what a search without these rules would promise
    assert np.mean(best) > 0.002
    assert np.min(optimistic) >= 0
    assert abs(np.mean(honest)) < 3 * error + 1e-12
    assert np.mean(honest) < 0.25 * np.mean(best)
