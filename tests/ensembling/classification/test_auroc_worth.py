import numpy as np
import pytest

from competition.ensembling.classification.auroc_weights import search_weights_auroc
from competition.ensembling.classification.auroc_worth import auroc_worth
from competition.ensembling.selection.weight_methods import evenly_spread
from competition.ensembling.voting.combination import SCORES

FOLDS = np.arange(120) % 4
PEOPLE = [f"patient {index // 2}" for index in range(120)]


def predictions(noise, seed=0):
    random = np.random.default_rng(seed)
    truth = (random.random(120) < 0.4).astype(int)
    logits = truth + np.array(noise)[:, None] * random.normal(0, 1, (len(noise), 120))
    return 1 / (1 + np.exp(-logits)), truth


def area(truth, score):
    positive, negative = score[truth == 1][:, None], score[truth == 0][None]
    return ((positive > negative) + 0.5 * (positive == negative)).mean()


def worth_of(scores, truth, rule="mean", **found):
    search = search_weights_auroc(scores, truth, evenly_spread(len(scores), 40), FOLDS, PEOPLE, rule, **found)
    return search, auroc_worth(scores, truth, search, FOLDS, PEOPLE, rule)


@pytest.mark.slow
@pytest.mark.parametrize("rule", SCORES)
def test_a_member_is_left_out_of_the_weights_that_were_chosen_without_each_fold(rule):
    scores, truth = predictions([0.8, 1.0, 4.0])
    search, worth = worth_of(scores, truth, rule)
    assert len({*search.weights_without.values()}) > 1
    for member, found in enumerate(worth):
        assert found.alone == pytest.approx(area(truth, scores[member]))
        others, left = [m for m in range(3) if m != member], np.empty(120)
        for fold, weights in search.weights_without.items():
            kept = np.array(weights)[others] if np.array(weights)[others].any() else np.ones(2)
            shares = np.zeros(3, int)
            shares[others] = np.round(1000 * kept / kept.sum())
            shares[others[0]] = 1000 - shares[others[1]]
            left[fold == FOLDS] = SCORES[rule](scores)(shares.tolist())[fold == FOLDS]
        assert found.left_out.value == pytest.approx(area(truth, left) - search.crossfit, abs=1e-3)
        assert found.over_vote.value == pytest.approx(found.alone - search.crossfit)
        assert found.interval[0] <= found.alone <= found.interval[1]
        assert found.left_out.low <= found.left_out.value <= found.left_out.high


def test_the_interval_is_of_pairs_of_the_same_drawn_people():
    """Against a bootstrap by hand that draws people, both rows of each; unpaired it would be three times as wide."""
    scores, truth = predictions([0.9, 1.0], seed=3)
    search, worth = worth_of(scores, truth, given=(600, 400))
    random, drawn, vote, alone = np.random.default_rng(5), [], 0.6 * scores[0] + 0.4 * scores[1], scores[1]
    for _ in range(800):
        rows = (2 * random.integers(60, size=60)[:, None] + [0, 1]).ravel()
        drawn.append(area(truth[rows], alone[rows]) - area(truth[rows], vote[rows]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    assert search.weights == (600, 400)
    assert worth[0].left_out.value == pytest.approx(area(truth, alone) - area(truth, vote))
    assert (worth[0].left_out.low, worth[0].left_out.high) == pytest.approx((low, high), abs=0.2 * (high - low))


def test_a_good_member_is_missed_and_noise_is_not():
    scores, truth = predictions([0.5, 8.0, 8.0])
    _, worth = worth_of(scores, truth)
    assert worth[0].left_out.high < -0.1
    assert worth[0].alone > 0.8
    assert abs(worth[1].alone - 0.5) < 0.15
    assert worth[1].left_out.value > worth[0].left_out.value + 0.1


def test_a_member_alone_is_missed_by_nobody():
    scores, truth = predictions([1.0])
    _, worth = worth_of(scores, truth)
    assert worth[0].left_out is None
    assert worth[0].alone == pytest.approx(area(truth, scores[0]))


def test_where_nothing_can_be_crossfitted_members_are_scored_without_intervals():
    scores, truth = predictions([1.0, 2.0])
    one_fold = search_weights_auroc(scores, truth, evenly_spread(2, 5), FOLDS * 0, PEOPLE)
    found = auroc_worth(scores, truth, one_fold, FOLDS * 0, PEOPLE, "mean")
    for worth, own in zip(found, scores, strict=True):
        assert worth.alone == pytest.approx(area(truth, own))
        assert worth.over_vote.value == pytest.approx(area(truth, own) - area(truth, scores.mean(axis=0)), abs=1e-3)
        assert (worth.interval, worth.left_out) == (None, None)
    assert worth_of(scores, truth * 0)[1] is None
