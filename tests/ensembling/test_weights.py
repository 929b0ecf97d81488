import numpy as np
import pytest

from competition.ensembling.contested import blend_histograms, contest
from competition.ensembling.histograms import dice_curves
from competition.ensembling.thresholds import best_cuts, crossfit, scores_at
from competition.ensembling.weights import candidate_weights, round_weights, search_weights
from competition.errors import CompetitionError
from competition.imaging.planes import pack_masks

WINDOW = (0.2, 0.8)


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


def test_candidates_begin_with_equal_and_single_members_and_cover_the_simplex():
    candidates = candidate_weights(3, trials=128, seed=1)
    assert candidates[:4].tolist() == [[334, 333, 333], [1000, 0, 0], [0, 1000, 0], [0, 0, 1000]]
    assert (candidates.sum(axis=1) == 1000).all()
    assert (candidates >= 0).all()
    assert len(np.unique(candidates, axis=0)) == len(candidates) > 120
    # The uniform distribution on a triangle: mean a third, and (1 - a)^2 of it where one weight is above a.
    np.testing.assert_allclose(candidates[4:].mean(axis=0), 1000 / 3, atol=20)
    np.testing.assert_allclose((candidates[4:] > 500).mean(axis=0), 0.25, atol=0.04)


def test_candidates_are_the_same_for_the_same_seed_only():
    assert candidate_weights(3, 16, seed=1).tolist() == candidate_weights(3, 16, seed=1).tolist()
    assert candidate_weights(3, 16, seed=1).tolist() != candidate_weights(3, 16, seed=2).tolist()


def test_one_member_has_one_candidate():
    assert candidate_weights(1, 50, seed=0).tolist() == [[1000]]


def test_candidates_say_nothing(capfd):
    candidate_weights(2, 4, seed=0)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def table_of_curves(candidates, images, classes, seed, bonus=None):
    """Random curves per candidate; ``bonus`` (k,) is added to every image."""
    random = np.random.default_rng(seed)
    per_image = random.normal(0.8, 0.02, (images, classes, 1))
    tables = {}
    for position, row in enumerate(candidates):
        noise = random.normal(0, 0.01, (images, classes, 256))
        tables[tuple(row.tolist())] = per_image + noise + (0 if bonus is None else bonus[position])
    return lambda weights: tables[tuple(weights.tolist())]


def reference_choice(evaluate, candidates, folds, groups, kept_folds):
    """The rule, written plainly: the best on the kept folds, if its gain on left-out ones is beyond one error."""

    def best_without(kept):
        rows = np.isin(folds, kept)
        means = []
        for row in candidates:
            curves = evaluate(row)[rows]
            means.append(scores_at(curves, best_cuts(curves, WINDOW)).mean())
        return int(np.argmax(means))

    def per_image(candidate, kept, fold):
        curves = evaluate(candidates[candidate])
        cuts = best_cuts(curves[np.isin(folds, kept)], WINDOW)
        return scores_at(curves[folds == fold], cuts).mean(axis=1)

    winner = best_without(kept_folds)
    if winner == 0 or len(kept_folds) < 2:
        return 0
    differences, people = [], []
    for fold in kept_folds:
        others = [other for other in kept_folds if other != fold]
        differences.extend(per_image(best_without(others), others, fold) - per_image(0, others, fold))
        people.extend(groups[folds == fold])
    differences = np.array(differences)
    mean = differences.mean()
    totals = np.array([(differences[np.array(people) == one] - mean).sum() for one in sorted(set(people))])
    error = np.sqrt(len(totals) / (len(totals) - 1) * (totals**2).sum()) / len(differences)
    return winner if mean > error else 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fold_count", [2, 3, 5])
def test_search_follows_the_nested_rule(seed, fold_count):
    candidates = candidate_weights(3, 5, seed=seed)
    folds = np.arange(24) % fold_count
    groups = np.array([f"person {image // 2 // fold_count}-{image % fold_count}" for image in range(24)])
    bonus = np.linspace(0, 0.004 * (seed % 3), len(candidates))
    evaluate = table_of_curves(candidates, 24, 2, seed, bonus)
    found = search_weights(evaluate, candidates, folds, groups.tolist(), WINDOW)

    everything = list(range(fold_count))
    chosen = reference_choice(evaluate, candidates, folds, groups, everything)
    assert found.weights == tuple(candidates[chosen].tolist())
    curves = evaluate(candidates[chosen])
    np.testing.assert_array_equal(found.cuts, best_cuts(curves, WINDOW))
    np.testing.assert_array_equal(found.oof, scores_at(curves, found.cuts))
    for fold in everything:
        others = [other for other in everything if other != fold]
        curves = evaluate(candidates[reference_choice(evaluate, candidates, folds, groups, others)])
        cuts = best_cuts(curves[folds != fold], WINDOW)
        np.testing.assert_array_equal(found.crossfit[folds == fold], scores_at(curves[folds == fold], cuts))
    for row, score in zip(candidates, found.candidate_scores, strict=True):
        curves = evaluate(row)
        assert score == pytest.approx(scores_at(curves, best_cuts(curves, WINDOW)).mean(), abs=1e-12)


def phantom_images(images, qualities, seed):
    """Contested images of discs on which member m has an error of qualities[m] pixels in its radius."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:48, :48]
    contested = []
    for _ in range(images):
        distance = np.hypot(rows - random.uniform(18, 30), columns - random.uniform(18, 30)) - random.uniform(8, 14)
        maps = []
        for quality in qualities:
            shifted = distance + random.normal(0, quality)
            maps.append(np.rint(255 / (1 + np.exp(np.clip(shifted, -20, 20)))).astype(np.uint8)[None])
        contested.append(contest(maps, pack_masks((distance < 0)[None]), WINDOW))
    return contested


def search_phantoms(contested, members, trials, seed):
    def evaluate(weights):
        return dice_curves(np.stack([blend_histograms(image, weights) for image in contested]))

    images = len(contested)
    groups = [f"person {image}" for image in range(images)]
    return search_weights(evaluate, candidate_weights(members, trials, seed), np.arange(images) % 5, groups, WINDOW)


def test_a_good_member_gets_the_weight():
    found = search_phantoms(phantom_images(40, (0.3, 3.0, 3.0), seed=1), members=3, trials=40, seed=1)
    assert found.weights[0] > 600
    assert found.gain > found.error > 0
    assert "searched weights taken" in found.reason
    assert found.crossfit.mean() > found.candidate_scores[0] + 0.01


def test_equally_good_members_stay_equal():
    kept = 0
    for seed in range(10):
        found = search_phantoms(phantom_images(30, (2.0, 2.0, 2.0), seed), members=3, trials=20, seed=seed)
        kept += found.weights == (334, 333, 333)
        # The best of the list looks better on what it was chosen on, in every single case.
        assert found.candidate_scores.max() >= found.candidate_scores[0]
    assert kept >= 7


def test_search_on_noise_promises_nothing():
    """Curves that have nothing to do with the weights: the honest gain of searching is not positive."""
    candidates = candidate_weights(4, 30, seed=0)
    folds, groups = np.arange(25) % 5, [str(image) for image in range(25)]
    gains, promised = [], []
    for seed in range(12):
        evaluate = table_of_curves(candidates, 25, 2, seed)
        found = search_weights(evaluate, candidates, folds, groups, WINDOW)
        gains.append(found.crossfit.mean() - crossfit(evaluate(candidates[0]), folds, WINDOW).mean())
        promised.append(found.candidate_scores.max() - found.candidate_scores[0])
    assert np.mean(promised) > 0.001
    assert np.mean(gains) < 3 * np.std(gains) / np.sqrt(len(gains)) + 1e-12


def test_one_fold_keeps_equal_weights_and_has_no_crossfit():
    candidates = candidate_weights(2, 5, seed=0)
    evaluate = table_of_curves(candidates, 6, 3, 0, bonus=np.arange(len(candidates)) * 0.1)
    found = search_weights(evaluate, candidates, np.zeros(6, int), list("abcdef"), WINDOW)
    assert found.weights == (500, 500)
    assert found.crossfit is None
    assert found.gain is None
    assert "one fold" in found.reason
    np.testing.assert_array_equal(found.cuts, best_cuts(evaluate(candidates[0]), WINDOW))


def test_one_member_is_plain_threshold_tuning():
    curves, folds = np.random.default_rng(3).random((10, 2, 256)), np.arange(10) % 5
    found = search_weights(lambda _: curves, candidate_weights(1, 50, 0), folds, [str(i) for i in range(10)], WINDOW)
    assert found.weights == (1000,)
    np.testing.assert_array_equal(found.crossfit, crossfit(curves, folds, WINDOW))
    assert found.reason == "one member: nothing to weigh"


def test_one_group_keeps_equal_weights():
    candidates = candidate_weights(2, 5, seed=0)
    evaluate = table_of_curves(candidates, 6, 3, 0, bonus=np.arange(len(candidates)) * 0.1)
    found = search_weights(evaluate, candidates, np.arange(6) % 3, ["one"] * 6, WINDOW)
    assert found.weights == (500, 500)


def test_every_candidate_is_looked_at_once_and_few_twice():
    candidates = candidate_weights(3, 20, seed=0)
    table, asked = table_of_curves(candidates, 15, 2, 0), []

    def evaluate(weights):
        asked.append(tuple(weights.tolist()))
        return table(weights)

    search_weights(evaluate, candidates, np.arange(15) % 3, [str(i) for i in range(15)], WINDOW)
    assert set(asked) == {tuple(row) for row in candidates.tolist()}
    assert len(asked) <= len(candidates) + 4


def test_a_list_that_does_not_begin_with_equal_weights_is_refused():
    with pytest.raises(ValueError, match="equal weights"):
        search_weights(lambda _: np.zeros((2, 1, 256)), np.array([[600, 400]]), np.arange(2), ["a", "b"], WINDOW)
    with pytest.raises(CompetitionError, match="2 whole numbers"):
        search_weights(lambda _: np.zeros((2, 1, 256)), np.array([[500, 400]]), np.arange(2), ["a", "b"], WINDOW)
