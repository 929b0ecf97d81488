import numpy as np
import pytest

from competition.ensembling.auroc_weights import search_weights_auroc
from competition.ensembling.weights import candidate_weights


def reference_auroc(truth, score):
    """The share of pairs in which the positive is above the negative, ties counting half."""
    positive, negative = score[truth == 1][:, None], score[truth == 0][None]
    return ((positive > negative) + 0.5 * (positive == negative)).mean()


def predictions(noise, samples=150, columns=4, seed=0):
    random = np.random.default_rng(seed)
    truth = (random.random((samples, columns)) < 0.4).astype(int)
    logits = truth[None] + np.array(noise)[:, None, None] * random.normal(0, 1, (len(noise), samples, columns))
    return 1 / (1 + np.exp(-logits)), truth


def groups_of(count):
    return [f"patient {index}" for index in range(count)]


def test_with_one_member_crossfit_equals_oof():
    probs, truth = predictions([1.0])
    found = search_weights_auroc(probs, truth, candidate_weights(1, 9, 0), np.arange(150) % 5, groups_of(150))
    assert found.weights == (1000,)
    assert found.crossfit == found.oof == pytest.approx(reference_auroc(truth[:, 0], probs[0, :, 0]), abs=1e-12)
    np.testing.assert_array_equal(found.probs, probs[0])
    np.testing.assert_array_equal(found.crossfit_probs, probs[0])


def test_a_good_member_gets_the_weight():
    probs, truth = predictions([0.4, 6.0, 6.0])
    candidates = candidate_weights(3, 30, 0)
    found = search_weights_auroc(probs, truth, candidates, np.arange(150) % 5, groups_of(150))
    assert found.weights[0] > 700
    assert found.gain > found.error
    expected = sum(weight / 1000 * member for weight, member in zip(found.weights, probs, strict=True))
    np.testing.assert_allclose(found.probs, expected, rtol=1e-12)
    assert found.oof == pytest.approx(reference_auroc(truth[:, 0], expected[:, 0]), abs=1e-12)
    assert found.crossfit == pytest.approx(reference_auroc(truth[:, 0], found.crossfit_probs[:, 0]), abs=1e-12)
    assert found.candidate_scores.max() == pytest.approx(found.oof)


def test_weights_of_a_fold_never_see_it():
    probs, truth = predictions([0.4, 6.0, 6.0])
    folds, candidates = np.arange(150) % 5, candidate_weights(3, 10, 0)
    before = search_weights_auroc(probs, truth, candidates, folds, groups_of(150))
    changed = truth.copy()
    changed[folds == 2] = 1 - changed[folds == 2]
    after = search_weights_auroc(probs, changed, candidates, folds, groups_of(150))
    np.testing.assert_array_equal(after.crossfit_probs[folds == 2], before.crossfit_probs[folds == 2])


def test_gain_and_its_error_are_those_of_pooled_crossfitted_predictions():
    probs, truth = predictions([0.8, 0.9, 3.0], seed=5)
    candidates, folds, wanted = candidate_weights(3, 40, 0), np.arange(150) % 5, truth[:, 0]
    found = search_weights_auroc(probs, truth, candidates, folds, groups_of(150))
    blends = candidates / 1000 @ probs[:, :, 0]
    searched, chosen = np.empty(150), []
    for fold in range(5):
        others, held = folds != fold, folds == fold
        chosen.append(int(np.argmax([reference_auroc(wanted[others], blend[others]) for blend in blends])))
        searched[held] = blends[chosen[-1], held]
    assert len(set(chosen)) > 1, "folds that agree would show nothing"
    assert found.gain == pytest.approx(reference_auroc(wanted, searched) - reference_auroc(wanted, blends[0]))

    random, draws = np.random.default_rng(1), []
    for _ in range(400):
        rows = random.integers(150, size=150)
        drawn = [reference_auroc(wanted[rows], score[rows]) for score in (searched, blends[0])]
        draws.append(drawn[0] - drawn[1])
    assert found.error == pytest.approx(np.std(draws), rel=0.25)


def test_search_on_permuted_truth_promises_nothing():
    gains, kept = [], 0
    candidates, folds = candidate_weights(3, 16, 0), np.arange(150) % 5
    for seed in range(8):
        probs, truth = predictions([1.0, 1.0, 1.0], seed=seed)
        shuffled = np.random.default_rng(seed).permutation(truth)
        found = search_weights_auroc(probs, shuffled, candidates, folds, groups_of(150))
        gains.append(found.crossfit - found.candidate_scores[0])
        kept += found.weights == (334, 333, 333)
    assert np.mean(gains) < 3 * np.std(gains) / np.sqrt(len(gains)) + 1e-12
    assert kept >= 5


def test_one_fold_keeps_equal_weights():
    probs, truth = predictions([0.4, 6.0])
    found = search_weights_auroc(probs, truth, candidate_weights(2, 5, 0), np.zeros(150, int), groups_of(150))
    assert found.weights == (500, 500)
    assert found.crossfit is None
    assert found.crossfit_probs is None


def test_truth_of_one_class_has_no_auroc_and_keeps_equal_weights():
    probs, truth = predictions([0.4, 6.0])
    found = search_weights_auroc(probs, truth * 0, candidate_weights(2, 5, 0), np.arange(150) % 5, groups_of(150))
    assert found.weights == (500, 500)
    assert np.isnan(found.oof)


def test_a_fold_of_one_class_does_no_harm():
    probs, truth = predictions([0.4, 6.0, 6.0])
    folds = np.where(truth[:, 0] == 1, np.arange(150) % 3, np.arange(150) % 2)
    found = search_weights_auroc(probs, truth, candidate_weights(3, 10, 0), folds, groups_of(150))
    assert set(truth[folds == 2, 0]) == {1}
    assert np.isfinite(found.crossfit)
