"""Labels that contradict predictions, on Dice and probabilities that are given."""

import numpy as np
import pytest

from competition.data.checks.label_outliers import Suspicion
from competition.review.disagreement import mask_suspicions, target_suspicions
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


def test_the_score_of_a_target_is_the_probability_that_it_is_wrong() -> None:
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, (4000, 1))
    probabilities = 1 / (1 + np.exp(-random.normal(np.where(targets == 1, 1.0, -1.0), np.sqrt(2))))  # calibrated
    samples = [str(number) for number in range(4000)]
    found = {each.sample: each for each in target_suspicions(samples, targets, probabilities, ["any"])}
    wrong = np.where(targets == 1, 1 - probabilities, probabilities)[:, 0]
    for sample, each in found.items():
        assert each.score == pytest.approx(wrong[int(sample)], abs=0.05)
    assert all(wrong[int(sample)] < 0.03 for sample in samples if sample not in found)
    worst = int(wrong.argmax())
    expected = f"labelled {targets[worst, 0]}, but its out-of-fold probability is {probabilities[worst, 0]:.3f}"
    assert found[str(worst)].reason == expected


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
