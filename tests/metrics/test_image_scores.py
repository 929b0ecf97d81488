"""Scores of single images: count metrics by hand, mask metrics and sums as the mean over images that they are."""

import numpy as np
import pytest

from competition.masks.bit_planes import pack_masks
from competition.masks.objects import Objects, planes_of
from competition.metrics.counts import dice_metric, f_beta_metric, iou_metric
from competition.metrics.image_scores import image_scores, measure_image
from competition.metrics.masks import ImageMasks, Measured, hausdorff_metric, measure_all, object_ap_metric
from competition.metrics.metric import make_metric

# Pixels in both, decided, true: of image 0 class 0 half right, class 1 absent; of image 1 all missed, class 1 claimed.
COUNTS = np.array([[[5, 0], [10, 0], [10, 0]], [[0, 0], [0, 7], [4, 0]]])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (dice_metric(), [[0.5, 1], [0, 0]]),
        (dice_metric(empty=0), [[0.5, 0], [0, 0]]),
        (dice_metric(unit="all", empty="skip"), [[0.5, np.nan], [0, 0]]),
        (iou_metric(), [[5 / 15, 1], [0, 0]]),
        (f_beta_metric(2), [[0.5, 1], [0, 0]]),
    ],
)
def test_count_metrics_by_hand(metric, expected):
    assert np.array_equal(image_scores(metric, Measured(COUNTS, np.empty((2, 0, 2)))), expected, equal_nan=True)


def drawn(seed, images=5):
    """Pairs of decided and true masks of two classes; of image 0 the second class is empty on both sides."""
    random = np.random.default_rng(seed)
    pairs = []
    for number in range(images):
        masks = random.random((2, 2, 12, 14)) < 0.3
        masks[:, 1] &= number > 0
        pairs.append(tuple(ImageMasks(pack_masks(one), 2) for one in masks))
    return pairs


@pytest.mark.parametrize(
    "metric",
    [
        object_ap_metric(),
        hausdorff_metric(95, empty=0),
        make_metric({"sum": [{"name": "dice", "weight": 0.4}, {"name": "hausdorff", "weight": 0.6}]}),
    ],
)
def test_the_mean_over_images_and_classes_is_the_score(metric):
    pairs = drawn(0)
    measured = measure_all(metric, pairs)
    scores = image_scores(metric, measured)
    assert scores.mean() == pytest.approx(metric.score(measured, list("abcde")), abs=1e-12)
    one = np.vstack([image_scores(metric, measure_image(metric, *pair)) for pair in pairs])
    assert np.array_equal(one, scores)


def test_a_metric_that_skips_empty_pairs_has_no_score_there():
    metric = object_ap_metric(empty="skip")
    scores = image_scores(metric, measure_all(metric, drawn(1)))
    assert np.argwhere(np.isnan(scores)).tolist() == [[0, 1]]


def test_given_objects_are_scored_and_not_the_components_of_their_masks():
    """Of two touching cells that the vote separates both are found; their one component has an IoU of 0.5 with each."""
    cells = Objects((2, 8), np.zeros(2, np.int64), (np.array([0, 1, 2, 3]), np.array([4, 5, 6, 7])))
    planes = planes_of(cells, 1)
    truth, metric = ImageMasks(planes, 1, cells), object_ap_metric()
    assert image_scores(metric, measure_image(metric, ImageMasks(planes, 1, cells), truth)).tolist() == [[1.0]]
    assert image_scores(metric, measure_image(metric, ImageMasks(planes, 1), truth))[0, 0] < 0.1
    dice = dice_metric()
    assert image_scores(dice, measure_image(dice, ImageMasks(planes, 1), truth)).tolist() == [[1.0]]
