from itertools import pairwise

import numpy as np
import pytest

from competition.ensembling.classification import locations
from competition.ensembling.classification.locations import (
    RULES,
    LocationRule,
    cells_gained,
    choose_locations,
    location_thresholds,
)
from competition.ensembling.classification.thresholds import NEVER
from competition.errors import CompetitionError


def patients(count=60, columns=4, share=0.3, separation=4.0, seed=0):
    """Truth of the locations, and calibrated probabilities with the patient's own score in front."""
    random = np.random.default_rng(seed)
    truth = (random.random((count, columns)) < share).astype(int)

    def seen(wanted, prior):
        reading = random.normal(0, 1, wanted.shape) + separation * wanted
        return 1 / (1 + np.exp(-(separation * (reading - separation / 2) + np.log(prior / (1 - prior)))))

    return truth, np.column_stack([seen(truth.any(axis=1), 0.5), seen(truth, share)])


def groups_of(count):
    return [f"patient {index}" for index in range(count)]


def correct_by_hand(truth, probs, thresholds, gate):
    """Correct cells, counted one by one."""
    correct = 0
    for wanted, row in zip(truth, probs, strict=True):
        for column, threshold in enumerate(thresholds):
            called = row[1 + column] > threshold and (gate is None or row[0] > gate)
            correct += called == (wanted[column] == 1)
    return correct


def possible_thresholds(values):
    return [*((low + high) / 2 for low, high in pairwise([0.0, *sorted(set(values) - {0.0})])), NEVER]


def test_location_cuts_equal_brute_force():
    random = np.random.default_rng(9)
    for rounded in (1, 2, 6):
        truth = (random.random((40, 12)) < np.linspace(0, 1, 12)).astype(int)
        probs = np.round(np.clip(0.3 * truth + 0.7 * random.random((40, 12)), 0, 1), rounded)
        for index, threshold in enumerate(location_thresholds(truth, probs)):
            tries = possible_thresholds(probs[:, index])
            correct = {tried: ((probs[:, index] > tried) == truth[:, index]).sum() for tried in tries}
            best = max(correct.values())
            assert threshold == pytest.approx(max(tried for tried, cells in correct.items() if cells == best))


@pytest.mark.parametrize(
    ("truth", "probs", "expected"),
    [
        ([0, 0, 0], [0.9, 0.1, 0.2], NEVER),
        ([1, 0, 0], [0.9, 0.1, 0.2], 0.55),
        ([1, 1, 1], [0.5, 0.7, 0.6], 0.25),
        ([1, 0], [0.6, 0.6], NEVER),  # a tie with all zeros
        ([1, 1, 0], [0.6, 0.6, 0.6], 0.3),
        ([1], [1.0], 0.5),
        ([1], [0.0], NEVER),  # nothing is below 0
        ([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], 0.35),  # 0.15 has as many correct cells; the higher wins
    ],
)
def test_location_cuts_at_the_edges(truth, probs, expected):
    truth, probs = np.array(truth)[:, None], np.array(probs)[:, None]
    threshold = location_thresholds(truth, probs)
    assert threshold == pytest.approx(expected)
    assert ((probs > threshold) == truth).sum() >= (truth == 0).sum()


@pytest.mark.parametrize("start", [0.5, np.nextafter(0.5, 1), 0.1, 1e-300])
def test_neighbouring_floats_are_told_apart(start):
    probs = np.array([[start], [np.nextafter(start, 1)]])
    assert ((probs > location_thresholds(np.array([[0], [1]]), probs)) == [[False], [True]]).all()


def test_probabilities_that_are_no_numbers_are_refused():
    with pytest.raises(CompetitionError, match="not a number"):
        location_thresholds(np.ones((2, 1), int), np.array([[0.5], [np.nan]]))
    with pytest.raises(CompetitionError, match="not a number"):
        choose_locations(np.ones((2, 1), int), np.array([[np.nan, 0.5]] * 2), np.array([0, 1]), ["a", "b"])


@pytest.mark.parametrize("gate", [None, 0.5, 0.7])
def test_a_location_is_called_above_its_threshold_and_only_above_the_gate(gate):
    probs = np.array([[0.7, 0.3, 0.4], [0.5, 0.31, 0.39], [0.71, 0.9, 0.41]])
    decided = LocationRule(gate, np.array([0.3, 0.4])).decide(probs)
    passes = {None: [1, 1, 1], 0.5: [1, 0, 1], 0.7: [0, 0, 1]}[gate]
    wanted = [[0, 0], [1, 0], [1, 1]]
    assert decided.astype(int).tolist() == [[p * cell for cell in row] for p, row in zip(passes, wanted, strict=True)]


def test_cells_gained_count_what_all_zeros_gets_wrong_and_right():
    truth, decided = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0]]), np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0]], bool)
    assert cells_gained(truth, decided).tolist() == [0, -1, 2]


@pytest.mark.parametrize("seed", range(6))
def test_each_rule_has_the_most_correct_cells_of_its_kind(seed):
    """Against every threshold and every gate, tried one by one."""
    truth, probs = patients(14, 3, 0.35, 1.2, seed)
    probs = probs.round(1)  # with ties
    gates = [None, *np.quantile(probs[:, 0], locations.GATE_QUANTILES)]

    def best_own(gate):
        thresholds = []
        for column in range(3):
            tries = possible_thresholds(probs[:, 1 + column])
            one = probs[:, [0, 1 + column]]
            thresholds.append(
                max(tries, key=lambda threshold, c=column, o=one: correct_by_hand(truth[:, [c]], o, [threshold], gate))
            )
        return correct_by_hand(truth, probs, thresholds, gate)

    def best_one(gate):
        tries = possible_thresholds(probs[:, 1:].ravel())
        return max(correct_by_hand(truth, probs, [threshold] * 3, gate) for threshold in tries)

    wanted = {
        "never 1": (truth == 0).sum(),
        "one threshold": best_one(None),
        "one threshold behind a gate": max(best_one(gate) for gate in gates),
        "a threshold each": best_own(None),
        "a threshold each behind a gate": max(best_own(gate) for gate in gates),
    }
    found = {name: fit(truth, probs) for name, fit in RULES.items()}
    counted = {name: correct_by_hand(truth, probs, rule.thresholds, rule.gate) for name, rule in found.items()}
    assert counted == wanted
    assert found["one threshold"].gate is found["a threshold each"].gate is None


def test_a_gate_that_gains_nothing_is_left_out():
    truth, probs = patients(50)
    probs[:, 0] = 0.5  # tells nobody apart
    assert RULES["one threshold behind a gate"](truth, probs).gate is None
    perfect = np.column_stack([truth.any(axis=1), truth]).astype(float)
    assert RULES["a threshold each behind a gate"](truth, perfect).gate is None


def test_good_probabilities_gain_cells_that_hold_on_new_patients():
    truth, probs = patients(300, 6, 0.1, 3.0, seed=1)
    chosen = choose_locations(truth, probs, np.arange(300) % 5, groups_of(300))
    new_truth, new_probs = patients(4000, 6, 0.1, 3.0, seed=2)
    fresh = cells_gained(new_truth, chosen.rule.decide(new_probs)).mean()
    honest = cells_gained(truth, chosen.crossfit).mean()
    assert fresh > 0.2
    assert honest == pytest.approx(fresh, abs=0.12)  # four standard errors of 300 patients
    # All probabilities are calibrated, so that one threshold near a half is the right rule.
    assert (chosen.rule.thresholds < NEVER).all()
    assert "one threshold" in chosen.reason


def test_locations_on_scales_of_their_own_get_thresholds_of_their_own():
    truth, probs = patients(600, 4, 0.3, 3.0, seed=3)
    probs[:, 1:] = probs[:, 1:] * [1.0, 0.1, 0.01, 0.001]
    chosen = choose_locations(truth, probs, np.arange(600) % 5, groups_of(600))
    assert "a threshold each" in chosen.reason
    assert (chosen.rule.thresholds < [1.0, 0.1, 0.01, 0.001]).all()


def test_a_gate_is_kept_where_the_patients_score_knows_more():
    random = np.random.default_rng(4)
    truth, probs = patients(600, 6, 0.1, 1.5, seed=4)
    probs[:, 0] = np.clip(truth.any(axis=1) * 0.6 + random.random(600) * 0.4, 0, 1)  # perfect
    chosen = choose_locations(truth, probs, np.arange(600) % 5, groups_of(600))
    assert chosen.rule.gate is not None
    assert "behind a gate" in chosen.reason
    ungated = LocationRule(None, chosen.rule.thresholds)
    new_truth, new_probs = patients(3000, 6, 0.1, 1.5, seed=5)
    new_probs[:, 0] = np.clip(new_truth.any(axis=1) * 0.6 + random.random(3000) * 0.4, 0, 1)
    gain = [cells_gained(new_truth, rule.decide(new_probs)).sum() for rule in (chosen.rule, ungated)]
    assert gain[0] > gain[1]


@pytest.mark.slow
def test_noise_promises_nothing():
    """Truth dealt out anew to good probabilities: the tuned cells look like a gain, the cross-fitted ones are none."""
    honest, tuned = [], []
    for seed in range(12):
        truth, probs = patients(100, 6, 0.15, 2.5, seed)
        truth = np.random.default_rng(seed).permutation(truth)
        chosen = choose_locations(truth, probs, np.arange(100) % 5, groups_of(100))
        honest.append(cells_gained(truth, chosen.crossfit).sum())
        free = RULES["a threshold each behind a gate"](truth, probs)
        tuned.append(cells_gained(truth, free.decide(probs)).sum())
    assert min(tuned) > 0
    assert np.mean(honest) < 0.5


def test_a_left_out_fold_is_decided_on_the_probabilities_that_were_blended_without_it():
    truth, probs = patients(90, 3, 0.2, 3.0, seed=6)
    folds, people = np.arange(90) % 3, groups_of(90)
    without = {fold: 0.7 * probs + 0.3 * np.random.default_rng(fold).random(probs.shape) for fold in range(3)}
    crossfit = choose_locations(truth, probs, folds, people, without).crossfit
    for fold, seen in without.items():
        others, held = folds != fold, folds == fold
        alone = choose_locations(truth[others], seen[others], folds[others], people[:60])
        np.testing.assert_array_equal(crossfit[held], alone.rule.decide(seen[held]))
    assert (crossfit != choose_locations(truth, probs, folds, people).crossfit).any()


def test_the_choice_for_a_fold_never_sees_it():
    truth, probs = patients(90, 3, 0.2, 3.0, seed=6)
    folds = np.arange(90) % 5
    before = choose_locations(truth, probs, folds, groups_of(90)).crossfit
    changed = truth.copy()
    changed[folds == 2] = 1 - changed[folds == 2]
    after = choose_locations(changed, probs, folds, groups_of(90))
    np.testing.assert_array_equal(after.crossfit[folds == 2], before[folds == 2])


@pytest.mark.parametrize(("people", "rule"), [(10, "never 1"), (20, "one threshold")])
def test_a_gain_of_one_person_alone_is_no_gain(people, rule):
    """The fold that is held out first gains two cells: of one person, or of two."""
    truth, probs, folds = np.zeros((20, 1), int), np.full((20, 2), 0.1), np.arange(20) // 10
    truth[:2], probs[:2, 1] = 1, 0.9  # found with the threshold of the second fold, 0.275
    truth[10], probs[10, 1] = 1, 0.45  # not found with that of the first, 0.5
    chosen = choose_locations(truth, probs, folds, [str(index * people // 20) for index in range(20)])
    assert chosen.reason.startswith(f"locations: {rule} (")


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("positive", [0, 1])
def test_no_positives_and_nothing_but_positives(count, positive):
    probs = np.random.default_rng(7).uniform(0.1, 0.9, (count, 4))
    truth = np.full((count, 3), positive)
    chosen = choose_locations(truth, probs, np.arange(count) % 5, groups_of(count))
    expected = positive == 1 and count > 1  # of a single patient nothing can be cross-fitted
    assert (chosen.rule.decide(probs) == expected).all()
    assert chosen.crossfit is None if count == 1 else chosen.crossfit.shape == (count, 3)


def test_one_fold_chooses_never():
    truth, probs = patients(40)
    chosen = choose_locations(truth, probs, np.zeros(40, int), groups_of(40))
    assert (chosen.rule.thresholds == NEVER).all()
    assert chosen.crossfit is None
