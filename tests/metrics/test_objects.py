"""Average precision of objects against loops over pixels and exact fractions, pycocotools, and cases by hand."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from pycocotools import mask as coco

from competition.masks.objects import areas, component_pixels, instance_pixels, shared_pixels
from competition.metrics.counts import mask_ap_metric
from competition.metrics.objects import average_precision

THRESHOLDS = [Fraction(step, 20) for step in range(10, 20)]


def pixels(*numbers):
    return np.array(numbers, dtype=np.int64)


def most_pairs(allowed):
    """The largest matching of a small table, by trying all."""
    rows, columns = allowed.shape
    cells = [(row, column) for row in range(rows) for column in range(columns) if allowed[row, column]]
    for size in range(min(rows, columns), 0, -1):
        for chosen in combinations(cells, size):
            if len({row for row, _ in chosen}) == len({column for _, column in chosen}) == size:
                return size
    return 0


def brute_precision(found, truth):
    found, truth = [set(one.tolist()) for one in found], [set(one.tolist()) for one in truth]
    total = Fraction(0)
    for threshold in THRESHOLDS:
        allowed = np.array([[Fraction(len(a & b), len(a | b)) > threshold for b in truth] for a in found])
        right = most_pairs(allowed)
        total += Fraction(right, len(found) + len(truth) - right)
    return float(total / len(THRESHOLDS))


def test_random_objects_overlapping_or_not_equal_the_exact_fractions() -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        truth = [np.flatnonzero(random.random(30) < 0.3) for _ in range(random.integers(1, 5))]
        found = [np.flatnonzero((np.isin(np.arange(30), one)) ^ (random.random(30) < 0.08)) for one in truth]
        found, truth = [one for one in found if len(one)], [one for one in truth if len(one)]
        if found and truth:
            assert average_precision(found, truth, (5, 6)) == pytest.approx(brute_precision(found, truth), abs=1e-12)


def test_an_iou_of_exactly_the_threshold_is_no_match() -> None:
    # 3 of 4 pixels: IoU 0.75, above 0.5 ... 0.7 (5 thresholds) only.
    assert average_precision([pixels(0, 1, 2)], [pixels(0, 1, 2, 3)], (2, 2)) == 0.5
    # 1 of 2 pixels: exactly 0.5, above none.
    assert average_precision([pixels(0)], [pixels(0, 1)], (2, 2)) == 0


def test_images_of_3x3_by_hand() -> None:
    truth = [pixels(0, 1), pixels(7, 8)]
    assert average_precision(truth, truth, (3, 3)) == 1
    # One object of two is found: 1 / (1 + 0 + 1) at every threshold.
    assert average_precision(truth[:1], truth, (3, 3)) == 0.5
    # Both joined into one by the pixel between: IoU 2/5 with each: nothing is found, 0 / (0 + 1 + 2).
    assert average_precision([pixels(0, 1, 4, 7, 8)], truth, (3, 3)) == 0
    # One right, one found beside it.
    assert average_precision([*truth, pixels(5)], truth, (3, 3)) == pytest.approx(2 / 3)
    assert average_precision([], truth, (3, 3)) == 0
    assert average_precision(truth, [], (3, 3)) == 0
    assert math.isnan(average_precision([], [], (3, 3)))


def test_two_equal_found_objects_count_once() -> None:
    one = pixels(0, 1, 2)
    assert average_precision([one, one], [one], (1, 3)) == 0.5


def test_iou_equals_that_of_pycocotools() -> None:
    random = np.random.default_rng(1)
    truth, found = ([random.random((9, 13)) < 0.4 for _ in range(count)] for count in (4, 5))
    one, other = ([np.flatnonzero(mask) for mask in side] for side in (found, truth))
    shared = shared_pixels(one, other, (9, 13))
    iou = shared / (areas(one)[:, None] + areas(other)[None, :] - shared)
    encoded = [[coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in side] for side in (found, truth)]
    np.testing.assert_allclose(iou, coco.iou(encoded[0], encoded[1], [0] * 4), rtol=0, atol=1e-12)


def test_objects_of_a_picture_of_instances_keep_the_order_of_their_values() -> None:
    found = instance_pixels(np.array([[0, 7, 7], [3, 0, 7], [3, 9, 0]], np.int32))
    assert [one.tolist() for one in found] == [[3, 6], [1, 2, 5], [7]]
    assert instance_pixels(np.zeros((2, 2), np.int32)) == []
    assert [one.tolist() for one in component_pixels(np.array([[1, 0, 1], [0, 1, 0]], bool))] == [[0, 2, 4]]
    assert [one.tolist() for one in component_pixels(np.array([[1, 0, 1]], bool))] == [[0], [2]]


def test_a_mask_as_one_object_is_scored_from_counts() -> None:
    metric = mask_ap_metric()
    # (images, 3, classes): IoU 3/4, 1/2, 0, both empty, only one empty.
    counts = np.array([[[3], [4], [3]], [[1], [2], [1]], [[0], [1], [1]], [[0], [0], [0]], [[0], [2], [0]]])
    assert metric.ratios(*np.moveaxis(counts, 1, 0)).values()[:, 0].tolist() == [0.5, 0, 0, 1, 0]
    assert mask_ap_metric(empty="skip").score(counts, list("abcde")) == pytest.approx(0.5 / 4)
