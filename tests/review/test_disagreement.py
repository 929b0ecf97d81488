"""Labels that contradict predictions, on Dice and probabilities that are given."""

import numpy as np
import pytest

from competition.data.checks.label_outliers import Suspicion
from competition.review.disagreement import mask_suspicions, observed_shares, target_suspicions
from competition.review.out_of_fold import Agreement
from competition.review.suspicious_labels import rank, rank_samples


def agreement(dice: list[float], labelled: list[float], predicted: list[float]) -> Agreement:
    samples = tuple(map(str, range(len(dice))))
    return Agreement(samples, *(np.array(values, dtype=float)[:, None] for values in (dice, labelled, predicted)))


def test_a_low_dice_stands_out_by_the_deviation_of_the_class() -> None:
    dice = [0.9, 0.92, 0.88, 0.91, 0.89, 0.5]
    found = mask_suspicions(agreement(dice, [100] * 6, [100] * 6), ["a"])
    worst = max(found, key=lambda each: each.score)
    sigma = 1.4826 * 0.015  # the deviations from 0.895 are 0.005, 0.005, 0.015, 0.015, 0.025 and 0.395
    z = (0.895 - 0.5) / sigma
    assert worst.sample == "5"
    assert worst.score == pytest.approx(z / (z + 3.5))
    assert worst.reason == "Dice 0.500 with the out-of-fold mask, where 0.895 is usual"


def test_what_is_predicted_and_not_labelled_counts_by_its_pixels() -> None:
    dice, nan = [0.9] * 6, np.nan
    found = mask_suspicions(agreement([*dice, nan, nan, nan], [100] * 6 + [0] * 3, [100] * 6 + [50, 2, 0]), ["a"])
    score = {each.sample: each.score for each in found}
    assert score["6"] == pytest.approx(45 / 48.5)  # Dice 0
    assert 0 < score.get("7", 0) + 0.01 < score["6"]
    assert "8" not in score
    reason = next(each.reason for each in found if each.sample == "6")
    assert reason == "not labelled, but 50 pixels are predicted out-of-fold"


def test_a_class_that_is_never_labelled_or_too_rarely_says_nothing() -> None:
    assert mask_suspicions(agreement([np.nan] * 6, [0] * 6, [9] * 6), ["a"]) == []
    assert mask_suspicions(agreement([0.9, 0.1, np.nan], [5, 5, 0], [5, 5, 5]), ["a"]) == []


def test_the_score_of_a_target_is_what_its_confidence_lacks() -> None:
    targets = np.array([[1], [1], [0], [0], [0]])
    probabilities = np.array([[0.9], [0.1], [0.15], [0.2], [0.95]])
    found = rank(target_suspicions(list("abcde"), targets, probabilities, ["any"]))
    # All others are neighbours: a positive has 1 of 4 beside it, a negative 2 of 4, and two more samples of 0.4.
    worth = [(1 + 0.8) / 6] * 2 + [(2 + 0.8) / 6] * 3
    positive = [(p + w) / 2 for p, w in zip((0.9, 0.1, 0.15, 0.2, 0.95), worth, strict=True)]
    given = [*positive[:2], *(1 - value for value in positive[2:])]
    expected = {
        "b": (given[0] + sum(given[:2]) / 2) / 2 - given[1],
        "e": (given[2] + given[3] + sum(given[2:]) / 3) / 3 - given[4],
    }
    assert {each.sample: each.score for each in found} == {key: pytest.approx(value) for key, value in expected.items()}
    assert next(each.reason for each in found if each.sample == "e") == (
        "labelled 0, but its out-of-fold probability is 0.950"
    )


def test_what_a_probability_is_worth_is_the_share_of_its_neighbours() -> None:
    random = np.random.default_rng(0)
    probabilities = random.random(60)
    targets = (random.random(60) < probabilities).astype(np.int64)
    order = np.argsort(probabilities)
    for place in (0, 3, 30, 59):
        around = [order[other] for other in range(60) if other != place and abs(other - place) <= 8]
        expected = (targets[around].sum() + 2 * targets.mean()) / (len(around) + 2)
        assert observed_shares(targets, probabilities)[order[place]] == pytest.approx(expected)


def test_ranks_keep_the_worst_of_a_label_and_the_first_of_a_sample() -> None:
    found = [
        Suspicion("x", "a", "area", 0.4),
        Suspicion("x", "a", "place", 0.6),
        Suspicion("y", "a", "area", 0.5),
        Suspicion("x", "b", "area", 0.55),
    ]
    ranked = rank(found)
    assert [(each.sample, each.label, each.reason) for each in ranked] == [
        ("x", "a", "place"),
        ("x", "b", "area"),
        ("y", "a", "area"),
    ]
    assert [each.sample for each in rank_samples(ranked)] == ["x", "y"]
