"""The whole tuning of a classification, on members made by hand from the truth."""

import numpy as np
import pytest

from competition.ensembling.classification import member_scores, tune_classification
from competition.ensembling.members import TrainedMember
from competition.errors import CompetitionError
from competition.prediction.probability_maps import write_scores

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
        return TrainedMember(name, (0, 1, 2, 3, 4), "c", folder_of)

    return make


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
    tuned = tune_classification([make_member("a", probs)], SAMPLES, CLASSES, truth, FOLDS, SAMPLES, 20)
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
    tuned = tune_classification(members, SAMPLES, CLASSES, truth, FOLDS, SAMPLES, 40)
    first, second = tuned.search.weights
    assert first > second
    blend = (first * good + second * poor) / 1000
    called = tuned.locations.rule.decide(blend)
    assert tuned.oof.accuracy == pytest.approx((called == truth[:, 1:]).mean())
    assert tuned.oof.auroc == pytest.approx(area_by_hand(truth[:, 0], blend[:, 0]))


def test_noise_gains_no_cell(truth, make_member):
    probs = noisy(np.random.default_rng(5).permutation(truth), 0.5, 1)
    tuned = tune_classification([make_member("a", probs)], SAMPLES, CLASSES, truth, FOLDS, SAMPLES, 5)
    assert (tuned.locations.rule.thresholds == 1).all()
    assert tuned.oof.cells_gained == tuned.crossfit.cells_gained == 0
    assert tuned.oof.accuracy == tuned.oof.all_zero_accuracy


def test_one_fold_can_not_be_crossfitted(truth, make_member):
    held = FOLDS == 2
    samples = [sample for sample, kept in zip(SAMPLES, held, strict=True) if kept]
    member = make_member("a", noisy(truth, 0.8, 1))
    tuned = tune_classification([member], samples, CLASSES, truth[held], FOLDS[held], samples, 5)
    assert tuned.crossfit is None
    assert tuned.oof.cells_gained == 0


def test_a_sample_without_a_score_is_named(truth, make_member):
    member = make_member("a", noisy(truth, 0.8, 1))
    member.folder_of["patient 100"] = member.folder_of["patient 0"]
    with pytest.raises(CompetitionError, match="no scores of sample 'patient 100'"):
        member_scores(member, ["patient 0", "patient 100"], CLASSES)
