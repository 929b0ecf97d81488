"""Odds of wrong targets, against probabilities of tables that are drawn from known ones."""

import numpy as np
import pytest

from competition.review.wrong_targets import first_is_any, wrong_log_odds


def drawn(seed: int, separation: float = 2.5, samples: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patients of whom half have a finding in one of five places, a tenth of these in two; what a network says.

    Place 4 is ten times rarer than the others.

    Returns:
        Targets (n, 6), the patient first; probabilities (n, 6); and the patients' rows with a finding.
    """
    random = np.random.default_rng(seed)
    frequency = np.array([1, 1, 1, 1, 0.1]) / 4.1
    targets = np.zeros((samples, 6), np.int64)
    positive = np.arange(0, samples, 2)
    for row in positive:
        count = 1 + (random.random() < 0.1)
        targets[row, 1 + random.choice(5, count, replace=False, p=frequency)] = 1
    targets[positive, 0] = 1
    logits = random.normal(np.where(targets == 1, separation, -separation), 1.0)
    return targets, 1 / (1 + np.exp(-logits)), positive


def test_the_patient_and_its_place_contradict_a_planted_finding_together() -> None:
    targets, probabilities, _ = drawn(0)
    targets[1, [0, 3]] = 1
    odds = wrong_log_odds(targets, probabilities)
    assert np.unravel_index(odds.argmax(), odds.shape) == (1, 3)
    assert odds[1, 3] > 3


def test_a_finding_that_was_dropped_and_one_that_was_added_are_both_found() -> None:
    targets, probabilities, positive = drawn(1)
    dropped, added = int(positive[3]), int(positive[8])
    targets[dropped] = 0
    place = 1 + int(np.flatnonzero(targets[added, 1:] == 0)[0])
    targets[added, place] = 1
    worst = wrong_log_odds(targets, probabilities).max(axis=1)
    assert set(np.argsort(-worst)[:4].tolist()) >= {dropped, added}


def test_a_place_that_is_rare_needs_more_evidence() -> None:
    targets, probabilities, positive = drawn(2, separation=0.5)
    single = positive[targets[positive, 1:].sum(axis=1) == 1]
    odds, rows = {}, {place: single[targets[single, place] == 1][0] for place in (1, 5)}
    for place, row in rows.items():
        same = probabilities.copy()
        same[row] = 0.5
        odds[place] = wrong_log_odds(targets, same)[row, place]
    assert odds[5] > odds[1] + 1  # by the logarithm of ten, less what few samples allow


def test_classes_of_their_own_are_judged_by_calibrated_odds() -> None:
    random = np.random.default_rng(3)
    targets = (random.random((500, 3)) < [0.1, 0.3, 0.5]).astype(np.int64)
    prior = np.log([0.1 / 0.9, 0.3 / 0.7, 1.0])
    evidence = random.normal(np.where(targets == 1, 2.0, -2.0), 2.0)  # log likelihood ratios
    given = 1 / (1 + np.exp(-3 * evidence))  # three times too sure, and without the classes' frequencies
    assert not first_is_any(targets)
    expected = np.where(targets == 1, -1, 1) * (evidence + prior)
    found = wrong_log_odds(targets, given)
    sure = np.abs(3 * evidence) < 9  # beyond, probabilities are clipped
    assert np.abs(found - expected)[sure].mean() < 0.5


@pytest.mark.parametrize("targets", [np.zeros((6, 3), np.int64), np.ones((6, 1), np.int64), np.eye(2, dtype=np.int64)])
def test_tables_with_nothing_to_learn_from_have_finite_odds_or_none(targets) -> None:
    odds = wrong_log_odds(targets, np.full(targets.shape, 0.3))
    assert not np.isnan(odds).any()
