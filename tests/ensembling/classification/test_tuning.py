"""The whole tuning of a classification, on members made by hand from the truth."""

import numpy as np
import pytest
from scipy.stats import rankdata

from competition.ensembling.classification.tuning import tune_classification
from competition.ensembling.selection.weight_methods import METHODS, evenly_spread
from competition.ensembling.voting.combination import combine
from competition.errors import CompetitionError
from competition.prediction.probability_maps import write_scores
from competition.runs.out_of_fold_scores import member_scores

CLASSES = ("any", "left", "right")
SAMPLES = [f"patient {index}" for index in range(100)]
FOLDS = np.arange(100) % 5


@pytest.fixture
def truth():
    places = (np.random.default_rng(0).random((100, 2)) < 0.25).astype(int)
    return np.column_stack([places.any(axis=1), places]).astype(int)


@pytest.fixture
def make_member(tmp_path):
    """Stores a member's probabilities fold by fold, each folder in another order of rows."""

    def make(name, probs):
        folder_of = {}
        for fold in range(5):
            rows = np.random.default_rng(fold).permutation(np.flatnonzero(fold == FOLDS))
            folder = tmp_path / name / f"fold{fold}"
            write_scores(folder, [SAMPLES[row] for row in rows], CLASSES, probs[rows])
            folder_of |= {SAMPLES[row]: folder for row in rows}
        return folder_of

    return make


def tune_members(members, *others):
    return tune_classification(np.stack([member_scores(member, SAMPLES, CLASSES) for member in members]), *others)


def noisy(truth, noise, seed):
    logits = 4 * truth - 2 + np.random.default_rng(seed).normal(0, noise, truth.shape)
    return 1 / (1 + np.exp(-logits))


def area_by_hand(truth, score):
    positive, negative = score[truth == 1][:, None], score[truth == 0][None]
    return ((positive > negative) + 0.5 * (positive == negative)).mean()


def test_scores_are_joined_by_key_whatever_the_order_of_the_files(truth, make_member):
    probs = noisy(truth, 1, 1)
    np.testing.assert_array_equal(member_scores(make_member("a", probs), SAMPLES, CLASSES), probs)
    turned = SAMPLES[::-1]
    np.testing.assert_array_equal(member_scores(make_member("a", probs), turned, CLASSES), probs[::-1])


def test_what_is_reported_is_what_the_rule_does(truth, make_member):
    probs = noisy(truth, 0.8, 1)
    tuned = tune_members([make_member("a", probs)], truth, FOLDS, SAMPLES, evenly_spread(1, 20))
    assert tuned.search.weights == (1000,)
    assert tuned.oof.auroc == pytest.approx(area_by_hand(truth[:, 0], probs[:, 0]))
    assert tuned.crossfit.auroc == pytest.approx(tuned.oof.auroc)
    rule = tuned.locations.rule
    for score, decided in ((tuned.oof, rule.decide(probs)), (tuned.crossfit, tuned.locations.crossfit)):
        called = np.asarray(decided)
        assert score.accuracy == pytest.approx((called == truth[:, 1:]).mean())
        assert score.cells_gained == (called & (truth[:, 1:] == 1)).sum() - (called & (truth[:, 1:] == 0)).sum()
    assert tuned.oof.cells_gained >= tuned.crossfit.cells_gained > 0
    assert tuned.interval[0] <= tuned.crossfit.auroc <= tuned.interval[1]
    for fold, value in tuned.fold_aurocs.items():
        held = fold == FOLDS
        assert value == pytest.approx(area_by_hand(truth[held, 0], probs[held, 0]))


def test_locations_are_chosen_on_the_blend(truth, make_member):
    good, poor = noisy(truth, 0.5, 1), noisy(truth, 8, 2)
    members = [make_member("good", good), make_member("poor", poor)]
    tuned = tune_members(members, truth, FOLDS, SAMPLES, evenly_spread(2, 40))
    first, second = tuned.search.weights
    assert first > second
    blend = (first * good + second * poor) / 1000
    called = tuned.locations.rule.decide(blend)
    assert tuned.oof.accuracy == pytest.approx((called == truth[:, 1:]).mean())
    assert tuned.oof.auroc == pytest.approx(area_by_hand(truth[:, 0], blend[:, 0]))


@pytest.mark.slow
def test_the_decision_about_a_fold_never_sees_its_truth_not_even_through_the_weights(truth, make_member):
    members = [make_member("one", noisy(truth, 1.2, 1)), make_member("other", noisy(truth, 4, 2))]
    before = tune_members(members, truth, FOLDS, SAMPLES, evenly_spread(2, 40))
    moved = set()
    for fold in range(5):
        held = fold == FOLDS
        changed = np.where(held[:, None], 1 - truth, truth)
        after = tune_members(members, changed, FOLDS, SAMPLES, evenly_spread(2, 40))
        assert after.search.weights_without[fold] == before.search.weights_without[fold]
        moved |= {after.search.weights, *after.search.weights_without.values()}
        np.testing.assert_array_equal(after.locations.crossfit[held], before.locations.crossfit[held])
    assert len(moved) > 3, "weights that never change would show nothing"
    assert before.locations.crossfit.any()


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["logit", "rank"])
def test_everything_is_tuned_on_what_the_rule_makes_of_the_members(truth, make_member, rule):
    tables = np.stack([noisy(truth, 1, 1), noisy(truth, 1.5, 2) ** 4])
    members = [make_member("one", tables[0]), make_member("other", tables[1])]
    tuned = tune_members(members, truth, FOLDS, SAMPLES, evenly_spread(2, 40), rule)
    first, second = np.array(tuned.search.weights) / 1000
    if rule == "logit":
        logits = np.log(tables / (1 - tables))
        probs = 1 / (1 + np.exp(-first * logits[0] - second * logits[1]))
        score = probs[:, 0]
    else:
        probs = first * tables[0] + second * tables[1]
        score = first * rankdata(tables[0, :, 0]) + second * rankdata(tables[1, :, 0])
    assert tuned.oof.auroc == pytest.approx(area_by_hand(truth[:, 0], score))
    called = tuned.locations.rule.decide(probs)
    assert tuned.oof.cells_gained == (called & (truth[:, 1:] == 1)).sum() - (called & (truth[:, 1:] == 0)).sum() > 0
    parts = np.empty(100)
    for fold, weights in tuned.search.weights_without.items():
        whole = combine(rule, tables, weights).score
        parts[fold == FOLDS] = whole[fold == FOLDS]
    assert tuned.crossfit.auroc == pytest.approx(area_by_hand(truth[:, 0], parts))


def test_noise_gains_no_cell(truth, make_member):
    probs = noisy(np.random.default_rng(5).permutation(truth), 0.5, 1)
    tuned = tune_members([make_member("a", probs)], truth, FOLDS, SAMPLES, evenly_spread(1, 5))
    assert (tuned.locations.rule.thresholds == 1).all()
    assert tuned.oof.cells_gained == tuned.crossfit.cells_gained == 0
    assert tuned.oof.accuracy == tuned.oof.all_zero_accuracy


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["mean", "logit", "rank"])
def test_the_gain_is_over_the_plain_mean_of_probabilities(truth, make_member, rule):
    tables = [noisy(truth, 1.2, 1), noisy(truth, 4, 2)]
    members = [make_member(name, table) for name, table in zip(("one", "other"), tables, strict=True)]
    tuned = tune_members(members, truth, FOLDS, SAMPLES, evenly_spread(2, 40), rule)
    plain = (tables[0] + tables[1])[:, 0]
    assert tuned.gain.value == pytest.approx(tuned.crossfit.auroc - area_by_hand(truth[:, 0], plain))
    assert tuned.gain.low < tuned.gain.value < tuned.gain.high
    assert tuned.gain.value > 0.02
    for fold, value in tuned.fold_aurocs.items():
        assert value == pytest.approx(area_by_hand(truth[fold == FOLDS, 0], plain[fold == FOLDS]))


def test_a_fold_of_one_kind_has_no_auroc_and_the_rest_is_tuned(truth, make_member):
    truth = truth.copy()
    truth[FOLDS == 3] = 0
    tuned = tune_members([make_member("a", noisy(truth, 1, 1))], truth, FOLDS, SAMPLES, evenly_spread(1, 5))
    assert np.isnan(tuned.fold_aurocs[3])
    assert np.isfinite([tuned.fold_aurocs[fold] for fold in (0, 1, 2, 4)]).all()
    assert tuned.gain.value == 0
    assert 0.5 < tuned.crossfit.auroc < 1


def test_truth_of_one_kind_is_tuned_to_nothing(truth, make_member):
    members = [make_member("one", noisy(truth, 1, 1)), make_member("other", noisy(truth, 2, 2))]
    tuned = tune_members(members, truth * 0, FOLDS, SAMPLES, evenly_spread(2, 5))
    assert tuned.search.weights == (500, 500)
    assert tuned.interval is tuned.gain is tuned.contributions is None
    assert np.isnan(tuned.crossfit.auroc)


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize(("method", "rule"), [("greedy", "mean"), ("optuna", "rank"), ("optuna", "logit")])
def test_everything_chosen_gains_nothing_where_the_truth_is_dealt_out_anew(truth, make_member, method, rule):
    """People are dealt the truth of others: nobody knows anything of it, so neither AUROC nor cells may be gained."""
    gains, areas, cells = [], [], []
    members = [make_member(str(seed), noisy(truth, 1, seed)) for seed in range(3)]
    propose = METHODS[method](3, 30)
    for seed in range(6):
        dealt = np.random.default_rng(seed).permutation(truth)
        tuned = tune_members(members, dealt, FOLDS, SAMPLES, propose, rule)
        gains.append(tuned.gain.value)
        areas.append(tuned.crossfit.auroc)
        cells.append(tuned.crossfit.cells_gained)
    assert np.mean(gains) < 3 * np.std(gains) / np.sqrt(6) + 1e-12
    assert np.mean(areas) == pytest.approx(0.5, abs=3 * 0.058 / np.sqrt(6))  # 0.058: one AUROC of 56 against 44
    assert np.mean(cells) < 0.5


def test_one_fold_is_cross_fitted_over_people(truth, make_member):
    held = FOLDS == 2
    samples = [sample for sample, kept in zip(SAMPLES, held, strict=True) if kept]
    member = make_member("a", noisy(truth, 0.8, 1))
    tables = member_scores(member, samples, CLASSES)[None]
    tuned = tune_classification(tables, truth[held], FOLDS[held], samples, evenly_spread(1, 5))
    assert sorted(tuned.search.weights_without) == [0, 1, 2, 3, 4]
    assert tuned.crossfit.auroc == tuned.oof.auroc
    assert list(tuned.fold_aurocs) == [2]  # the fold mean is still one of folds


def test_two_people_can_not_be_crossfitted(truth, make_member):
    people = [f"person {index % 2}" for index in range(len(SAMPLES))]
    member = make_member("a", noisy(truth, 0.8, 1))
    tuned = tune_members([member], truth, FOLDS * 0, people, evenly_spread(1, 5))
    assert tuned.crossfit is tuned.gain is None
    assert tuned.oof.cells_gained == 0


def test_a_sample_without_a_score_is_named(truth, make_member):
    member = make_member("a", noisy(truth, 0.8, 1))
    member["patient 100"] = member["patient 0"]
    with pytest.raises(CompetitionError, match="no scores of sample 'patient 100'"):
        member_scores(member, ["patient 0", "patient 100"], CLASSES)
