"""Weights and thresholds together, against the rules written plainly, and on truth that has nothing to do with them."""

import numpy as np
import pytest
from plain_curves import best_cuts, scores_at, search_weights, tune_curves

from competition.ensembling.segmentation.thresholds import shrink_cuts
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.selection.weight_methods import METHODS
from competition.ensembling.selection.weight_search import candidate_weights
from competition.ensembling.voting.class_groups import ClassGroups, one_group

WINDOW = (0.2, 0.8)


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

    def cuts(self, candidate, kept):
        rows = np.isin(self.folds, kept)
        people = [len(set(self.groups[rows & here])) for here in self.present.T]
        return shrink_cuts(best_cuts(self.curves[candidate][rows], WINDOW), np.array(people))

    def mean(self, candidate, kept, cuts):
        return scores_at(self.curves[candidate][np.isin(self.folds, kept)], cuts).mean()

    def best(self, kept):
        scores = [self.mean(candidate, kept, self.cuts(candidate, kept)) for candidate in range(len(self.curves))]
        return int(np.argmax(scores))

    def per_image(self, candidate, fold, cuts):
        return scores_at(self.curves[candidate][self.folds == fold], cuts).mean(axis=1)

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
            gains[fold] = self.per_image(best, fold, self.cuts(best, others))
            gains[fold] = gains[fold] - self.per_image(0, fold, self.cuts(0, others))
        return winner if self.beyond_doubt(gains) else 0

    def final_cuts(self, candidate, kept):
        half = np.full(self.present.shape[1], 127)

        def better(folds):
            return self.mean(candidate, folds, self.cuts(candidate, folds)) > self.mean(candidate, folds, half)

        if len(kept) < 2 or not better(kept):
            return half
        gains = {}
        for fold in kept:
            others = [other for other in kept if other != fold]
            cuts = self.cuts(candidate, others) if better(others) else half
            gains[fold] = self.per_image(candidate, fold, cuts) - self.per_image(candidate, fold, half)
        return self.cuts(candidate, kept) if self.beyond_doubt(gains) else half


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fold_count", [2, 3, 5])
def test_tuning_follows_the_nested_rules(seed, fold_count):
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
    np.testing.assert_array_equal(found.chosen.cuts, rules.final_cuts(chosen, everything))
    np.testing.assert_array_equal(found.oof, scores_at(rules.curves[chosen], found.chosen.cuts))
    np.testing.assert_array_equal(found.at_half, rules.curves[0][:, :, 127])
    for fold in everything:
        others = [other for other in everything if other != fold]
        without = rules.weights(others)
        assert found.search.without[fold].tolist() == candidates[[without, without]].tolist()
        cuts = rules.final_cuts(without, others)
        held = folds == fold
        np.testing.assert_array_equal(found.crossfit[held], scores_at(rules.curves[without][held], cuts))
        assert (found.honest_cuts[held] == rules.final_cuts(chosen, others)).all()
    for position, row in enumerate(found.search.tried[0].vectors):
        index = candidates.tolist().index(list(row))
        expected = rules.mean(index, everything, rules.cuts(index, everything))
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
    assert found.honest_cuts is None
    assert found.chosen.cuts.tolist() == [127, 127, 127]
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
    for seed in range(12):
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
