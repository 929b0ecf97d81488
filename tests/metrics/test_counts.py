import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score, roc_auc_score

from competition.masks.bit_planes import class_areas, intersections, pack_masks
from competition.masks.run_length_text import parse_image
from competition.masks.run_lengths import encode_planes, overlaps
from competition.metrics.counts import dice, false_positive_owners, measured_mean, pooled_dice
from competition.metrics.strata import mean_by_stratum, reweighted_mean
from competition.metrics.tables import auroc, score_aneurysm


def test_dice_by_hand() -> None:
    scores = dice([0, 3, 2, 0, 5], [0, 3, 4, 4, 5], [0, 3, 2, 0, 11])
    assert scores.dtype == np.float64
    # empty against empty; equal; half missing; something against nothing; 10 / 16
    np.testing.assert_allclose(scores, [1, 1, 2 / 3, 0, 0.625], rtol=0, atol=1e-15)


def test_dice_is_one_answer_for_masks_planes_and_run_lengths() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 29, 17, 13)) < rng.random((1, 29, 1, 1))
    a[0] = b[0] = False
    b[1] = False
    from_f1 = [f1_score(one.ravel(), other.ravel(), zero_division=1.0) for one, other in zip(a, b, strict=True)]
    planes_a, planes_b = pack_masks(a), pack_masks(b)
    from_planes = dice(intersections(planes_a, planes_b, 29), class_areas(planes_a, 29), class_areas(planes_b, 29))
    rles_a, rles_b = (encode_planes(planes, 29) for planes in (planes_a, planes_b))
    from_runs = dice(*overlaps(parse_image(rles_a, ["a"] * 29, None), parse_image(rles_b, ["b"] * 29, None)))
    np.testing.assert_allclose(from_planes, from_f1, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(from_runs, from_planes)


def test_dice_keeps_the_shape() -> None:
    assert dice(np.ones((3, 4), np.int64), np.ones((3, 4), np.int64), np.ones((3, 4), np.int64)).shape == (3, 4)
    assert float(dice(1, 1, 1)) == 1


@pytest.mark.parametrize("counts", [(3, 2, 5), (3, 5, 2), (-1, 2, 2)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="intersection"):
        dice(*counts)


@pytest.mark.parametrize("classes", [1, 3, 8, 9, 29])
def test_false_positives_belong_to_whom_dense_masks_say(classes: int) -> None:
    rng = np.random.default_rng(classes)
    decided, truth = rng.random((2, classes, 11, 7)) < 0.25
    decided[0], truth[-1] = True, False
    if classes > 1:
        decided[1] = truth[1]  # a class without false positives
    owners, totals = false_positive_owners(pack_masks(decided), pack_masks(truth), classes)
    nobody = ~truth.any(axis=0)
    for one in range(classes):
        wrong = decided[one] & ~truth[one]
        assert totals[one] == wrong.sum()
        assert owners[one].tolist() == [(wrong & mask).sum() for mask in (*truth, nobody)]
    assert (owners.diagonal() == 0).all()


def test_false_positives_of_nothing_and_of_the_last_pixel() -> None:
    empty = np.zeros((2, 3, 4), bool)
    last = empty.copy()
    last[0, -1, -1] = True
    owners, totals = false_positive_owners(pack_masks(empty), pack_masks(last), 2)
    assert owners.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert totals.tolist() == [0, 0]
    assert false_positive_owners(pack_masks(last[::-1]), pack_masks(last), 2)[0].tolist() == [[0, 0, 0], [1, 0, 0]]
    assert false_positive_owners(pack_masks(last), pack_masks(empty), 2)[0].tolist() == [[0, 0, 1], [0, 0, 0]]
    with pytest.raises(ValueError, match="different sizes"):
        false_positive_owners(pack_masks(last), pack_masks(last[:, 1:]), 2)
    with pytest.raises(ValueError, match="9 classes"):
        false_positive_owners(pack_masks(last), pack_masks(last), 9)


def test_strata_have_their_own_means() -> None:
    values, strata = [0.5, 1.0, 0.25, 0.0], ["b", "a", "b", ""]
    assert mean_by_stratum(values, strata) == {"": 0.0, "a": 1.0, "b": 0.375}
    assert list(mean_by_stratum(values, strata)) == ["", "a", "b"]
    assert mean_by_stratum([], []) == {}
    with pytest.raises(ValueError, match="4 values of 3 strata"):
        mean_by_stratum(values, strata[1:])


def test_a_reweighted_mean_is_that_of_a_sample_with_the_other_shares() -> None:
    rng = np.random.default_rng(0)
    values, strata = rng.random(50), ["oblique"] * 6 + ["straight"] * 44
    # 42 straight ones for every 58 oblique ones: each straight image 42 * 6 times, each oblique one 58 * 44 times.
    as_in_the_test = np.concatenate([np.tile(values[:6], 58 * 44), np.tile(values[6:], 42 * 6)])
    found = reweighted_mean(values, strata, {"oblique": 0.58, "straight": 0.42})
    assert found == pytest.approx(as_in_the_test.mean(), abs=1e-12)
    own_shares = {"oblique": 6 / 50, "straight": 44 / 50}
    assert reweighted_mean(values, strata, own_shares) == pytest.approx(values.mean(), abs=1e-12)


def test_images_of_unknown_strata_are_left_out_of_a_reweighted_mean() -> None:
    values, strata = [0.5, 0.9, 0.1, 0.7, 0.3], ["a", "", "b", "a", "other"]
    assert reweighted_mean(values, strata, {"a": 0.25, "b": 0.75}) == pytest.approx(0.25 * 0.6 + 0.75 * 0.1, abs=1e-12)


@pytest.mark.parametrize("strata", [["a", "a"], ["a", ""], ["a", "c"], ["", ""]])
def test_a_mix_with_a_stratum_of_no_image_has_no_mean(strata: list[str]) -> None:
    assert reweighted_mean([0.5, 0.6], strata, {"a": 0.5, "b": 0.5}) is None


def test_pooled_dice_sums_before_it_divides() -> None:
    both, one, other = [[1, 0], [90, 0]], [[2, 0], [100, 0]], [[8, 0], [100, 0]]
    np.testing.assert_allclose(pooled_dice(both, one, other), [182 / 210, 1], rtol=0, atol=1e-15)
    assert dice(both, one, other).mean(axis=0)[0] == pytest.approx((0.2 + 0.9) / 2)  # the other mean, for contrast


def test_pooled_dice_is_that_of_one_large_image() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 5, 3, 8, 8)) < 0.4  # 5 images, 3 classes
    both, of_a, of_b = (masks.sum(axis=(2, 3)) for masks in (a & b, a, b))
    expected = [f1_score(a[:, index].ravel(), b[:, index].ravel()) for index in range(3)]
    np.testing.assert_allclose(pooled_dice(both, of_a, of_b), expected, rtol=0, atol=1e-12)


def test_auroc_counts_ordered_pairs() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 60)
    score = rng.integers(0, 8, 60) / 8  # with ties
    positive, negative = score[truth == 1][:, None], score[truth == 0][None]
    expected = ((positive > negative) + 0.5 * (positive == negative)).mean()
    assert auroc(truth, score) == pytest.approx(expected, abs=1e-12)
    assert auroc([0, 1], [0.2, 0.9]) == 1
    assert auroc([0, 1], [0.9, 0.2]) == 0
    assert auroc([0, 1, 1], [0.5, 0.5, 0.5]) == 0.5


@pytest.mark.parametrize("truth", [[1, 1, 1], [0, 0], [1]])
def test_auroc_of_one_class_is_nan(truth: list[int]) -> None:
    assert math.isnan(auroc(truth, np.linspace(0, 1, len(truth))))


def aneurysm_truth(patients: int = 40) -> NDArray[np.int64]:
    locations = (np.random.default_rng(4).random((patients, 21)) < 0.06).astype(np.int64)
    locations[:, 20] = 0
    locations[0, 20] = 1
    locations[:, 19] = 0  # never occurs
    return np.column_stack([locations.any(axis=1), locations]).astype(np.int64)


def organisers_accuracy(truth: NDArray[np.int64], outputs: NDArray[np.float64]) -> float:
    """Cell by cell, as their script states it."""
    total = 0.0
    for row in range(truth.shape[0]):
        for column in range(1, 22):
            total += abs(float(truth[row, column]) - float(outputs[row, column]))
    return 1 - total / (truth.shape[0] * 21)


def test_aneurysm_score_is_the_organisers() -> None:
    truth = aneurysm_truth()
    outputs = np.random.default_rng(5).random((40, 22))
    score = score_aneurysm(truth, outputs)
    assert score.auroc == pytest.approx(roc_auc_score(truth[:, 0], outputs[:, 0]), abs=1e-12)
    assert score.accuracy == pytest.approx(organisers_accuracy(truth, outputs), abs=1e-12)
    assert score.all_zero_accuracy == pytest.approx(organisers_accuracy(truth, np.zeros((40, 22))), abs=1e-12)
    assert score.cells_gained == pytest.approx((score.accuracy - score.all_zero_accuracy) * 40 * 21, abs=1e-9)
    assert score.cells_gained < 0
    assert len(score.location_aurocs) == 21
    assert math.isnan(score.location_aurocs[19])
    for index in (0, 1, 20):
        expected = roc_auc_score(truth[:, 1 + index], outputs[:, 1 + index])
        assert score.location_aurocs[index] == pytest.approx(expected, abs=1e-12)


def test_aneurysm_cells_gained_counts_whole_cells() -> None:
    truth = aneurysm_truth()
    perfect = score_aneurysm(truth, truth.astype(np.float64))
    assert (perfect.auroc, perfect.accuracy, perfect.cells_gained) == (1, 1, truth[:, 1:].sum())
    nothing = score_aneurysm(truth, np.zeros((40, 22)))
    assert (nothing.auroc, nothing.cells_gained) == (0.5, 0)
    decisions = np.zeros((40, 22), np.int64)
    decisions[0, 21] = 1  # right
    decisions[:3, 20] = 1  # wrong three times
    assert score_aneurysm(truth, decisions).cells_gained == 1 - 3


def test_aneurysm_all_zero_accuracy_of_the_training_set() -> None:
    truth = np.zeros((1127, 22), np.int64)
    truth[:681, 5] = 1  # 681 positive cells of 1127 x 21
    assert score_aneurysm(truth, np.zeros((1127, 22))).all_zero_accuracy == pytest.approx(0.97123, abs=5e-6)


def test_aneurysm_refuses_other_shapes() -> None:
    truth = aneurysm_truth()
    for outputs in (np.zeros((40, 21)), np.zeros((1, 22))):
        with pytest.raises(ValueError, match="alike"):
            score_aneurysm(truth, outputs)
    with pytest.raises(ValueError, match="alike"):
        score_aneurysm(truth[:0], np.zeros((0, 22)))


def test_the_mean_leaves_out_classes_that_occur_nowhere() -> None:
    values = np.array([[0.25, 1.0], [0.75, 1.0]])
    assert measured_mean(values, np.array([[True, False], [False, False]])) == 0.5
    assert measured_mean(values, np.array([[True, False], [False, True]])) == 0.75
    assert np.isnan(measured_mean(values, np.zeros((2, 2), bool)))
