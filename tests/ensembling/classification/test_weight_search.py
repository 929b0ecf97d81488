import numpy as np
import pytest

from competition.ensembling.classification.weight_search import TableSamples, member_contributions, search_weights
from competition.ensembling.selection.weight_methods import (
    METHODS,
    candidate_weights,
    evenly_spread,
    greedy_selection,
)
from competition.ensembling.voting.combination import SCORES, blend_tables
from competition.metrics.tables import AUROC

FOLDS = np.arange(120) % 4
PEOPLE = [f"patient {index // 2}" for index in range(120)]


def reference_auroc(truth, score):
    """The share of pairs in which the positive is above the negative, ties counting half."""
    positive, negative = score[truth == 1][:, None], score[truth == 0][None]
    return ((positive > negative) + 0.5 * (positive == negative)).mean()


def predictions(noise, samples=150, seed=0):
    """Scores (M, n) of members that hear the truth through noise, and the truth."""
    random = np.random.default_rng(seed)
    truth = (random.random(samples) < 0.4).astype(int)
    logits = truth + np.array(noise)[:, None] * random.normal(0, 1, (len(noise), samples))
    return 1 / (1 + np.exp(-logits)), truth


def search_weights_auroc(scores, truth, propose, folds, groups, rule="mean", **more):
    samples = TableSamples(AUROC, truth[:, None], folds, groups)
    return search_weights(blend_tables(rule, scores[:, :, None]), len(scores), samples, propose, **more)


def groups_of(count):
    return [f"patient {index}" for index in range(count)]


def test_with_one_member_crossfit_equals_oof():
    probs, truth = predictions([1.0])
    found = search_weights_auroc(probs, truth, evenly_spread(1, 9), np.arange(150) % 5, groups_of(150))
    assert found.weights == (1000,)
    assert found.crossfit == found.oof == pytest.approx(reference_auroc(truth, probs[0]), abs=1e-12)
    np.testing.assert_array_equal(found.crossfit_outputs[:, 0], probs[0])
    assert found.weights_without == dict.fromkeys(range(5), (1000,))


def test_a_good_member_gets_the_weight():
    probs, truth = predictions([0.4, 6.0, 6.0])
    found = search_weights_auroc(probs, truth, evenly_spread(3, 30), np.arange(150) % 5, groups_of(150))
    assert found.weights[0] > 700
    assert found.choice.gain > found.choice.error
    expected = sum(weight / 1000 * member for weight, member in zip(found.weights, probs, strict=True))
    assert found.oof == pytest.approx(reference_auroc(truth, expected), abs=1e-12)
    for fold, weights in found.weights_without.items():
        held = np.arange(150) % 5 == fold
        np.testing.assert_allclose(
            found.crossfit_outputs[:, 0][held], np.array(weights) / 1000 @ probs[:, held], rtol=1e-12
        )
    assert found.crossfit == pytest.approx(reference_auroc(truth, found.crossfit_outputs[:, 0]), abs=1e-12)
    assert max(found.tried.values()) == pytest.approx(found.oof)
    assert list(found.tried) == [tuple(row) for row in candidate_weights(3, 30, 0).tolist()]


@pytest.mark.parametrize("method", ["optuna", "greedy"])
def test_weights_of_a_fold_never_see_it(method):
    probs, truth = predictions([0.8, 1.2, 6.0])
    folds, propose = np.arange(150) % 5, METHODS[method](3, 40)
    before = search_weights_auroc(probs, truth, propose, folds, groups_of(150))
    changed = truth.copy()
    changed[folds == 2] = 1 - changed[folds == 2]
    after = search_weights_auroc(probs, changed, propose, folds, groups_of(150))
    np.testing.assert_array_equal(after.crossfit_outputs[:, 0][folds == 2], before.crossfit_outputs[:, 0][folds == 2])
    assert after.weights_without[2] == before.weights_without[2]
    assert any(after.weights_without[fold] != before.weights_without[fold] for fold in range(5))


def test_gain_and_its_error_are_those_of_pooled_crossfitted_predictions():
    probs, truth = predictions([0.8, 0.9, 3.0], seed=5)
    candidates, folds = candidate_weights(3, 40, 0), np.arange(150) % 5
    found = search_weights_auroc(probs, truth, evenly_spread(3, 40), folds, groups_of(150))
    blends = candidates / 1000 @ probs
    searched, chosen = np.empty(150), []
    for fold in range(5):
        others, held = folds != fold, folds == fold
        chosen.append(int(np.argmax([reference_auroc(truth[others], blend[others]) for blend in blends])))
        searched[held] = blends[chosen[-1], held]
    assert len(set(chosen)) > 1, "folds that agree would show nothing"
    assert found.choice.gain == pytest.approx(reference_auroc(truth, searched) - reference_auroc(truth, blends[0]))

    random, draws = np.random.default_rng(1), []
    for _ in range(400):
        rows = random.integers(150, size=150)
        drawn = [reference_auroc(truth[rows], score[rows]) for score in (searched, blends[0])]
        draws.append(drawn[0] - drawn[1])
    assert found.choice.error == pytest.approx(np.std(draws), rel=0.25)


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "rule"), [("optuna", "mean"), ("greedy", "mean"), ("optuna", "logit"), ("greedy", "rank")]
)
def test_noise_promises_nothing(method, rule):
    """Members that know nothing: the best weights look better by 0.07, the cross-fitted ones are better by nothing."""
    honest, tuned, folds = [], [], np.arange(100) % 3
    for seed in range(10):
        random = np.random.default_rng(seed)
        truth, scores = (random.random(100) < 0.45).astype(int), random.random((4, 100))
        found = search_weights_auroc(scores, truth, METHODS[method](4, 40), folds, groups_of(100), rule, seed=seed)
        equal = next(iter(found.tried.values()))
        honest.append(found.crossfit - equal)
        tuned.append(max(found.tried.values()) - equal)
    assert abs(np.mean(honest)) <= 3 * np.std(honest) / np.sqrt(10)
    assert np.mean(tuned) > 0.04
    assert np.mean(honest) < np.mean(tuned) / 3


def test_without_a_search_equal_weights_are_all_there_is():
    scores, truth = predictions([0.4, 6.0, 6.0])
    found = search_weights_auroc(scores, truth, METHODS["equal"](3, 40), np.arange(150) % 5, groups_of(150))
    assert list(found.tried) == [found.weights] == [(334, 333, 333)]
    assert found.crossfit == found.oof


def greedy_by_hand(scores, truth, rounds=20):
    """The weights that forward selection with replacement ends in, and the area of each step."""
    chosen, path = [], []
    for _ in range(rounds):
        tries = [np.bincount([*chosen, new], minlength=len(scores)) for new in range(len(scores))]
        areas = [reference_auroc(truth, counts / counts.sum() @ scores) for counts in tries]
        best = [new for new, area in enumerate(areas) if area >= max(areas) - 1e-12]
        chosen.append(next((new for new in best if new in chosen), best[0]))
        path.append((max(areas), np.bincount(chosen, minlength=len(scores)) / len(chosen)))
    return path


def test_greedy_selection_without_each_set_of_folds_sees_the_others_alone():
    scores, truth = predictions([0.8, 1.2, 3.0], samples=60, seed=3)
    folds, asked = np.arange(60) % 3, []

    def propose(score):
        asked.append(greedy_selection(3, 0)(score))
        return asked[-1]

    found = search_weights_auroc(scores, truth, propose, folds, groups_of(60))
    left_out = [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
    assert len(asked) == len(left_out)
    for excluded, proposed in zip(left_out, asked, strict=True):
        kept = ~np.isin(folds, excluded)
        steps = [weights for _, weights in greedy_by_hand(scores[:, kept], truth[kept])]
        tried = [np.ones(3) / 3, *steps, *np.eye(3)]
        distinct = list(dict.fromkeys(tuple(np.round(1000 * step).tolist()) for step in tried))
        np.testing.assert_allclose(proposed, distinct, atol=1)
    best = max(area for area, _ in greedy_by_hand(scores, truth))
    assert found.oof in (pytest.approx(best, abs=2e-3), next(iter(found.tried.values())))


def test_greedy_selection_finds_the_good_members():
    scores, truth = predictions([0.7, 6.0, 0.7, 6.0], samples=400, seed=2)
    found = search_weights_auroc(scores, truth, greedy_selection(4, 0), np.arange(400) % 5, groups_of(400))
    assert found.weights[0] + found.weights[2] > 850
    assert min(found.weights[0], found.weights[2]) > 250
    assert found.crossfit > next(iter(found.tried.values()))


def test_weights_that_were_given_are_neither_searched_nor_doubted():
    scores, truth = predictions([0.4, 6.0, 6.0])
    given = (100, 400, 500)

    def search(score):
        pytest.fail("searched")

    found = search_weights_auroc(scores, truth, search, np.arange(150) % 5, groups_of(150), given=given)
    assert found.weights == given
    assert set(found.weights_without.values()) == {given}
    assert found.reason == "weights as they were given"
    blend = np.array(given) / 1000 @ scores
    assert found.crossfit == found.oof == pytest.approx(reference_auroc(truth, blend), abs=1e-12)


def test_a_search_that_does_not_start_at_equal_weights_is_refused():
    scores, truth = predictions([0.4, 6.0])
    with pytest.raises(ValueError, match="equal weights"):
        search_weights_auroc(scores, truth, lambda score: np.array([[1000, 0]]), np.arange(150) % 5, groups_of(150))


def test_one_fold_keeps_equal_weights():
    probs, truth = predictions([0.4, 6.0])
    found = search_weights_auroc(probs, truth, evenly_spread(2, 5), np.zeros(150, int), groups_of(150))
    assert found.weights == (500, 500)
    assert found.crossfit is None
    assert found.crossfit_outputs is None


@pytest.mark.parametrize("method", METHODS)
def test_truth_of_one_class_has_no_auroc_and_keeps_equal_weights(method):
    probs, truth = predictions([0.4, 6.0])
    found = search_weights_auroc(probs, truth * 0, METHODS[method](2, 5), np.arange(150) % 5, groups_of(150))
    assert found.weights == (500, 500)
    assert np.isnan(found.oof)


def test_a_fold_of_one_class_does_no_harm():
    probs, truth = predictions([0.4, 6.0, 6.0])
    folds = np.where(truth == 1, np.arange(150) % 3, np.arange(150) % 2)
    found = search_weights_auroc(probs, truth, evenly_spread(3, 10), folds, groups_of(150))
    assert set(truth[folds == 2]) == {1}
    assert np.isfinite(found.crossfit)


def contributions_of(scores, truth, rule="mean", **found):
    search = search_weights_auroc(scores, truth, evenly_spread(len(scores), 40), FOLDS, PEOPLE, rule, **found)
    return search, member_contributions(search, TableSamples(AUROC, truth[:, None], FOLDS, PEOPLE))


@pytest.mark.slow
@pytest.mark.parametrize("rule", SCORES)
def test_a_member_is_left_out_of_the_weights_that_were_chosen_without_each_fold(rule):
    scores, truth = predictions([0.8, 1.0, 4.0], 120)
    search, members = contributions_of(scores, truth, rule)
    assert len({*search.weights_without.values()}) > 1
    for member, found in enumerate(members):
        assert found.alone == pytest.approx(reference_auroc(truth, scores[member]))
        others, left = [m for m in range(3) if m != member], np.empty(120)
        for fold, weights in search.weights_without.items():
            kept = np.array(weights)[others] if np.array(weights)[others].any() else np.ones(2)
            shares = np.zeros(3, int)
            shares[others] = np.round(1000 * kept / kept.sum())
            shares[others[0]] = 1000 - shares[others[1]]
            left[fold == FOLDS] = SCORES[rule](scores)(shares.tolist())[fold == FOLDS]
        assert found.left_out.value == pytest.approx(reference_auroc(truth, left) - search.crossfit, abs=1e-3)
        assert found.over_vote.value == pytest.approx(found.alone - search.crossfit)
        assert found.interval[0] <= found.alone <= found.interval[1]
        assert found.left_out.low <= found.left_out.value <= found.left_out.high


def test_the_interval_is_of_pairs_of_the_same_drawn_people():
    """Against a bootstrap by hand that draws people, both rows of each; unpaired it would be three times as wide."""
    scores, truth = predictions([0.9, 1.0], 120, seed=3)
    search, members = contributions_of(scores, truth, given=(600, 400))
    random, drawn, vote, alone = np.random.default_rng(5), [], 0.6 * scores[0] + 0.4 * scores[1], scores[1]
    for _ in range(800):
        rows = (2 * random.integers(60, size=60)[:, None] + [0, 1]).ravel()
        drawn.append(reference_auroc(truth[rows], alone[rows]) - reference_auroc(truth[rows], vote[rows]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    assert search.weights == (600, 400)
    assert members[0].left_out.value == pytest.approx(reference_auroc(truth, alone) - reference_auroc(truth, vote))
    assert (members[0].left_out.low, members[0].left_out.high) == pytest.approx((low, high), abs=0.2 * (high - low))


def test_a_good_member_is_missed_and_noise_is_not():
    scores, truth = predictions([0.5, 8.0, 8.0], 120)
    _, members = contributions_of(scores, truth)
    assert members[0].left_out.high < -0.1
    assert members[0].alone > 0.8
    assert abs(members[1].alone - 0.5) < 0.15
    assert members[1].left_out.value > members[0].left_out.value + 0.1


def test_a_member_alone_is_missed_by_nobody():
    scores, truth = predictions([1.0], 120)
    _, members = contributions_of(scores, truth)
    assert members[0].left_out is None
    assert members[0].alone == pytest.approx(reference_auroc(truth, scores[0]))


def test_where_nothing_can_be_crossfitted_members_are_scored_without_intervals():
    scores, truth = predictions([1.0, 2.0], 120)
    one_fold = search_weights_auroc(scores, truth, evenly_spread(2, 5), FOLDS * 0, PEOPLE)
    found = member_contributions(one_fold, TableSamples(AUROC, truth[:, None], FOLDS * 0, PEOPLE))
    for member, own in zip(found, scores, strict=True):
        assert member.alone == pytest.approx(reference_auroc(truth, own))
        assert member.over_vote.value == pytest.approx(
            reference_auroc(truth, own) - reference_auroc(truth, scores.mean(axis=0)), abs=1e-3
        )
        assert (member.interval, member.left_out) == (None, None)
    assert contributions_of(scores, truth * 0)[1] is None
