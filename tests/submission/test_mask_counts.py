"""Scores of submissions of masks that leave out what is empty, against means written as loops over dense masks."""

from itertools import product

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.metrics.masks import ImageMasks
from competition.metrics.metric import make_metric
from competition.metrics.surfaces import hausdorff_score
from competition.submission.known_images import KnownImages
from competition.submission.mask_counts import count_pixels, stack_counts
from competition.submission.mask_scores import score_masks

NAMES, CLASSES = ["1", "2", "3", "4"], ("a", "b", "c")
GROUPS = {"1": "p", "2": "p", "3": "q", "4": "r"}
IMAGES = KnownImages(groups=GROUPS)


@pytest.fixture(scope="module")
def masks():
    """Truth and prediction, (4, 3, 6, 7); b is empty in all images of both sides, a and c in one of the images."""
    random = np.random.default_rng(4)
    truth = random.random((4, 3, 6, 7)) < 0.3
    called = truth ^ (random.random(truth.shape) < 0.2)
    truth[:, 1] = called[:, 1] = truth[1, 0] = called[1, 0] = truth[3, 2] = called[3, 2] = False
    return truth, called


def dice_of(truth, called):
    total = truth.sum() + called.sum()
    return 2 * (truth & called).sum() / total if total else np.nan


def expected_classes(unit, empty, truth, called):
    """The Dice of each class, nan where "skip" leaves all its units out."""
    units = {"image": NAMES, "group": list(GROUPS.values()), "all": ["all"] * 4}[unit]
    found = []
    for index in range(3):
        rows = [[row for row in range(4) if units[row] == one] for one in dict.fromkeys(units)]
        values = np.array([dice_of(truth[own, index], called[own, index]) for own in rows])
        kept = values[~np.isnan(values)] if empty == "skip" else np.where(np.isnan(values), empty, values)
        found.append(kept.mean() if len(kept) else np.nan)
    return found


def counted(truth, called):
    planes = [(pack_masks(one), pack_masks(other)) for one, other in zip(called, truth, strict=True)]
    return stack_counts(NAMES, CLASSES, [count_pixels(ours, theirs, 3) for ours, theirs in planes])


@pytest.mark.parametrize(("unit", "empty", "weights"), list(product(("image", "group", "all"), (1, 0, "skip"), (1, 3))))
def test_a_class_without_a_pixel_is_left_out_only_where_that_is_declared(masks, unit, empty, weights):
    metric = make_metric({"name": "dice", "unit": unit, "empty": empty, "weights": {"c": weights}})
    wanted = expected_classes(unit, empty, *masks)
    score = counted(*masks).score(metric.for_classes(CLASSES), GROUPS)
    known = ~np.isnan(wanted)
    assert known.tolist() == [True, empty != "skip", True]
    assert score.score == pytest.approx(np.average(np.array(wanted)[known], weights=np.array([1, 1, weights])[known]))
    assert list(score.per_class.values()) == [pytest.approx(one) if one == one else None for one in wanted]
    assert np.mean(list(score.per_unit.values())) == pytest.approx(score.score)
    assert counted(*masks).score(make_metric({"name": "dice", "unit": unit, "empty": empty}), GROUPS).score == (
        pytest.approx(np.nanmean(wanted))
    )


@pytest.mark.parametrize("terms", [{"name": "hausdorff", "empty": "skip"}, None])
def test_a_metric_of_masks_leaves_it_out_too(masks, terms):
    """Also where one term of a sum skips it: what is unknown in part is unknown as a whole."""
    two = [{"name": "dice", "weight": 1}, {"name": "hausdorff", "empty": "skip", "weight": 2}]
    metric = make_metric(terms or {"sum": two})
    ours, theirs = (
        {name: ImageMasks(pack_masks(one), 3) for name, one in zip(NAMES, side, strict=True)} for side in masks[::-1]
    )
    score = score_masks(NAMES, CLASSES, lambda name, size: ours[name], lambda name, size: theirs[name], IMAGES, metric)
    by_class = []
    for index in (0, 2):
        pairs = [(one[index], other[index]) for one, other in zip(*masks, strict=True)]
        distance = np.nanmean([hausdorff_score(one, other) for one, other in pairs])
        overlap = np.mean([np.nan_to_num(dice_of(one, other), nan=1) for one, other in pairs])
        by_class.append(distance if terms else overlap + 2 * distance)
    assert list(score.per_class.values()) == [pytest.approx(by_class[0]), None, pytest.approx(by_class[1])]
    assert score.score == pytest.approx(np.mean(by_class))
    assert score.per_image == {}
    # The count metric beside it skips nothing.
    assert score.beside["count_score"] == pytest.approx(np.mean(expected_classes("image", 1, *masks)))


def test_nothing_to_score_is_one_sentence():
    nothing = np.zeros((4, 3, 6, 7), bool)
    with pytest.raises(CompetitionError, match=r"every mask is empty on both sides.*\(empty: skip\)"):
        counted(nothing, nothing).score(make_metric({"name": "dice", "empty": "skip"}))
    assert counted(nothing, nothing).score(make_metric("dice")).score == 1
