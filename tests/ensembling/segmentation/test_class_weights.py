"""A class of weight 2 counts as two equal classes of weight 1, in everything that is chosen and scored."""

import numpy as np
import pytest

from competition.ensembling import api
from competition.ensembling.array_maps import ArrayMaps
from competition.ensembling.segmentation.tuning import Search, tune_segmentation
from competition.ensembling.voting.class_groups import one_group
from competition.masks.bit_planes import pack_masks
from competition.metrics.counts import dice_metric, iou_metric
from competition.submission.mask_counts import count_pixels, stack_counts

FOLDS, GROUPS = np.arange(12) % 4, [str(number) for number in range(12)]


@pytest.fixture(scope="module")
def data():
    """Two members, each good at one of two classes, on 12 images."""
    random = np.random.default_rng(0)
    truth = random.random((12, 2, 20, 20)) < 0.4
    hard = random.random(truth.shape) < 0.04  # a few pixels are contested, all others are sure
    right = np.array([[0.9, 0.3], [0.3, 0.9]])[:, None, :, None, None]  # member, class: how often it is right there
    guesses = np.where(random.random((2, *truth.shape)) < right, truth, ~truth)
    return truth, np.where(hard, 0.5 + (guesses - 0.5) * random.uniform(0.1, 0.6, guesses.shape), 0.02 + 0.96 * truth)


def tuned(truth, maps, metric):
    classes = tuple("abc"[: truth.shape[1]])
    members = {str(number): [api.as_map(one) for one in of] for number, of in enumerate(maps)}
    planes = [pack_masks(mask) for mask in truth]
    arrays = ArrayMaps(members, planes, FOLDS, GROUPS, classes, metric.for_classes(classes))
    return tune_segmentation(arrays, Search("optuna", 20, one_group(len(classes)), [(0.2, 0.8)]), None)


@pytest.mark.parametrize("make", [dice_metric, iou_metric])
@pytest.mark.parametrize("unit", ["image", "all"])
def test_a_weight_of_two_is_a_class_twice(data, make, unit) -> None:
    truth, maps = data
    twice = [0, 0, 1]
    weighted = tuned(truth, maps, make(unit, weights={"a": 2}))
    doubled = tuned(truth[:, twice], maps[:, :, twice], make(unit))
    assert weighted.tuned.search.weights[0].tolist() == doubled.tuned.search.weights[0].tolist()
    assert weighted.tuned.chosen.levels[[0, 0, 1]].tolist() == doubled.tuned.chosen.levels.tolist()
    assert [weighted.operations[index] for index in twice] == doubled.operations
    for one, other in ((weighted.oof, doubled.oof), (weighted.crossfit, doubled.crossfit)):
        np.testing.assert_allclose(one[:, twice], other, rtol=0, atol=1e-12)
        np.testing.assert_allclose(
            weighted.images.measured_means(one), doubled.images.measured_means(other), rtol=0, atol=1e-12
        )
    for one, other in zip(weighted.contributions, doubled.contributions, strict=True):
        assert one.alone == pytest.approx(other.alone, abs=1e-12)
        assert one.left_out.value == pytest.approx(other.left_out.value, abs=1e-12)


def test_weights_decide_which_member_is_taken(data) -> None:
    truth, maps = data
    for name, better in (("a", 0), ("b", 1)):
        found = tuned(truth, maps, dice_metric(weights={name: 50})).tuned.search.weights[0]
        assert found[better] > found[1 - better]


def test_a_submission_is_scored_with_the_weights(data) -> None:
    truth, maps = data
    pairs = [(pack_masks(mask), pack_masks(own > 0.5)) for mask, own in zip(truth, maps[0], strict=True)]
    counts = stack_counts(GROUPS, ("a", "b"), [count_pixels(ours, theirs, 2) for theirs, ours in pairs])
    plain = counts.score(dice_metric())
    weighted = counts.score(dice_metric(weights={"b": 3}).for_classes(("a", "b")))
    assert weighted.per_class == plain.per_class
    assert weighted.score == pytest.approx((plain.per_class["a"] + 3 * plain.per_class["b"]) / 4, abs=1e-12)
    assert np.mean(list(weighted.per_unit.values())) == pytest.approx(weighted.score, abs=1e-12)


def test_weights_hold_where_another_metric_proposes(data) -> None:
    truth, maps = data
    metric = {"name": "surface_dice", "weights": {"b": 5}, "proposed_by": "iou"}
    decision = api.tune({"one": maps[0]}, truth, GROUPS, FOLDS.tolist(), metric, classes="ab")
    masks = np.array(api.vote({"one": maps[0]}, decision))
    of_a, of_b = (api.score(masks[:, index], truth[:, index], "surface_dice") for index in range(2))
    assert abs(of_a - of_b) > 1e-3
    assert decision.scores.oof == pytest.approx((of_a + 5 * of_b) / 6, abs=1e-12)


def test_weights_without_the_names_of_the_classes_are_an_error() -> None:
    with pytest.raises(ValueError, match="need the names of the classes"):
        dice_metric(weights={"a": 2}).score(np.zeros((1, 3, 2), np.int64), ["x"])
