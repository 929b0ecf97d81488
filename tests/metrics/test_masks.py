"""Mask metrics and sums against means taken image by image, with groups, empty images and weights of classes."""

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.masks.objects import component_pixels
from competition.metrics.counts import dice_metric
from competition.metrics.masks import ImageMasks, MaskMetric, Measured
from competition.metrics.metric import make_metric
from competition.metrics.objects import average_precision
from competition.metrics.surfaces import hausdorff_score, surface_dice

GROUPS = list("abacbc")
CLASSES = ("disc", "bar")


@pytest.fixture(scope="module")
def masks():
    """Truth and decision, bool (6, 2, 9, 8): class 0 is empty in both, in the truth or in the decision somewhere."""
    random = np.random.default_rng(11)
    truth = random.random((6, 2, 9, 8)) < 0.2
    decided = truth ^ (random.random(truth.shape) < 0.05)
    truth[[1, 2], 0], decided[[2, 3], 0] = False, False
    return truth, decided


def measured(metric: MaskMetric, masks) -> Measured:
    found = [
        metric.measure(ImageMasks(pack_masks(ours), 2), ImageMasks(pack_masks(theirs), 2))
        for theirs, ours in zip(*masks, strict=True)
    ]
    return Measured(np.stack([counts for counts, _ in found]), np.stack([values for _, values in found]))


def by_image(name, masks):
    """The score of each image and class (6, 2), nan where both are empty."""

    def one(ours, theirs):
        if name == "object_ap":
            return average_precision(component_pixels(ours), component_pixels(theirs), ours.shape)
        return surface_dice(ours, theirs, 1) if name == "surface_dice" else hausdorff_score(ours, theirs)

    return np.array([[one(*pair) for pair in zip(o, t, strict=True)] for t, o in zip(*masks, strict=True)])


def dice_of(masks, empty):
    truth, decided = masks
    both, areas = (truth & decided).sum(axis=(2, 3)), (truth.sum(axis=(2, 3)) + decided.sum(axis=(2, 3)))
    return np.where(areas > 0, 2 * both / np.maximum(areas, 1), empty)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize("name", ["hausdorff", "surface_dice", "object_ap"])
@pytest.mark.parametrize("empty", [0, 1, "skip"])
@pytest.mark.parametrize("unit", ["image", "group"])
def test_every_measure_is_the_mean_over_units_then_classes(masks, name, empty, unit) -> None:
    metric = make_metric({"name": name, "empty": empty, "unit": unit})
    assert metric.tuned == "by re-ranking"
    values = by_image(name, masks)
    values = values if empty == "skip" else np.where(np.isnan(values), empty, values)
    units = GROUPS if unit == "group" else list(range(6))
    by_unit = np.array([np.nanmean(values[[u == one for u in units]], axis=0) for one in dict.fromkeys(units)])
    expected = np.nanmean(by_unit, axis=0).mean()
    found = measured(metric, masks)
    assert metric.score(found, GROUPS) == pytest.approx(expected, abs=1e-12)
    assert metric.values(found, GROUPS).mean() == pytest.approx(expected, abs=1e-12)


def test_a_sum_adds_what_its_terms_score(masks) -> None:
    declared = {"sum": [{"name": "dice", "weight": 0.4, "empty": 0}, {"name": "hausdorff", "weight": 0.6}]}
    metric = make_metric(declared)
    hausdorff = by_image("hausdorff", masks)
    expected = 0.4 * dice_of(masks, 0).mean() + 0.6 * np.where(np.isnan(hausdorff), 1, hausdorff).mean()
    assert metric.score(measured(metric, masks), GROUPS) == pytest.approx(expected, abs=1e-12)
    assert metric.proposer == dice_metric(empty=0)
    assert metric.label == "0.4 Dice + 0.6 Hausdorff"


def test_a_sum_may_pool_one_of_its_terms(masks) -> None:
    pooled, alone = make_metric({"name": "dice", "unit": "all"}), make_metric("surface_dice")
    metric = make_metric({"sum": [{"name": "dice", "unit": "all", "weight": 1}, {"name": "surface_dice", "weight": 2}]})
    found = measured(metric, masks)
    expected = pooled.score(found.counts, GROUPS) + 2 * alone.score(found, GROUPS)
    assert metric.score(found, GROUPS) == pytest.approx(expected, abs=1e-12)


def test_classes_count_by_their_weights(masks) -> None:
    metric = make_metric({"name": "surface_dice", "weights": {"bar": 3}}).for_classes(CLASSES)
    values = by_image("surface_dice", masks)
    one, other = np.where(np.isnan(values), 1, values).mean(axis=0)
    assert metric.score(measured(metric, masks), GROUPS) == pytest.approx((one + 3 * other) / 4, abs=1e-12)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"sum": [{"name": "dice", "weight": 1}]}, "at least two metrics"),
        ({"sum": [{"name": "dice"}, "iou"]}, "the weight of dice must be a number above 0, not None"),
        ({"sum": [{"name": "dice", "weight": 1}, {"name": "auroc", "weight": 1}]}, "auroc scores tables"),
        (
            {"sum": [{"name": "dice", "weight": 1}, {"name": "houndsdorff", "weight": 1}]},
            "unknown metric 'houndsdorff'",
        ),
        ({"sum": [], "unit": "all"}, "a sum has the keys sum, weights and proposed_by, not 'unit'"),
        (
            {"sum": [{"name": "dice", "unit": "group", "weight": 1}, {"name": "iou", "weight": 1}]},
            "pool the images of a group and some don't",
        ),
        ({"name": "hausdorff", "unit": "all"}, "unit is image or group, not all"),
        ({"name": "hausdorff", "spacing": 2}, "spacing is .rows, columns."),
        ({"name": "hausdorff", "percentile": 0}, "percentile must be above 0"),
        ({"name": "surface_dice", "tolerance": -1}, "tolerance must be at least 0"),
        ({"name": "dice", "proposed_by": "iou"}, "for a metric that is none itself"),
        ({"name": "object_ap", "proposed_by": {"name": "dice", "unit": "group"}}, "has unit group"),
        ({"name": "object_ap", "proposed_by": {"name": "dice", "weights": {"a": 2}}}, "weights .* belong to object_ap"),
        ({"name": "dice", "weights": {"disc": 0}}, "the weight of disc must be a number above 0, not 0"),
        ({"name": "dice", "weights": [1, 2]}, "weights are a mapping"),
    ],
)
def test_a_metric_that_can_not_be_is_one_sentence(declared, message) -> None:
    with pytest.raises(CompetitionError, match=message):
        make_metric(declared)


def test_a_weight_of_no_class_names_the_nearest() -> None:
    with pytest.raises(CompetitionError, match=r"weights name 'disk', no class, did you mean 'disc'\?"):
        make_metric({"name": "dice", "weights": {"disk": 2}}).for_classes(CLASSES)
