from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from competition.ensembling import api
from competition.ensembling.segmentation.decision import confusion_rows, reweighted_score, worst_confusions
from competition.masks.bit_planes import pack_masks
from competition.metrics.counts import dice_metric
from competition.metrics.metric import make_metric
from competition.submission.mask_counts import count_pixels
from competition.tracks.hand_bone.track import HAND_BONE

CLASSES = ("index", "ring", "thumb", "wrist")
# Row: who claims; column: whose pixels they are, the last one nobody's.
OWNERS = np.array([[0, 30, 5, 0, 10], [30, 0, 0, 0, 70], [0, 0, 0, 0, 0], [1, 0, 2, 0, 0]])
TOTALS = np.array([40, 100, 0, 3])


def test_a_row_has_the_share_of_every_other_class():
    rows = confusion_rows(CLASSES, OWNERS, TOTALS)
    assert [list(row) for row in rows] == [["class", "false_positives", "no_class", *CLASSES]] * 4
    assert list(rows[0].values()) == ["index", 40, 0.25, "", 0.75, 0.125, 0.0]  # overlapping classes: more than 1
    assert list(rows[1].values()) == ["ring", 100, 0.7, 0.3, "", 0.0, 0.0]
    assert list(rows[2].values()) == ["thumb", 0, "", "", "", "", ""]
    assert list(rows[3].values()) == ["wrist", 3, 0.0, 0.3333, 0.0, 0.6667, ""]


def test_the_worst_pairs_are_those_of_the_largest_share_of_a_class():
    areas = np.array([300, 1000, 10, 50])
    assert worst_confusions(CLASSES, OWNERS, areas) == [
        "index covers 50.00% of thumb wrongly (5 pixels)",  # few pixels, and half of a small bone
        "wrist covers 20.00% of thumb wrongly (2 pixels)",
        "ring covers 10.00% of index wrongly (30 pixels)",
    ]
    # With equal areas the most pixels come first, and of equal pairs the first.
    assert [sentence.split(" ")[0] for sentence in worst_confusions(CLASSES, OWNERS, np.full(4, 100))] == [
        *("index", "ring", "index")
    ]
    assert worst_confusions(CLASSES[2:], np.array([[0, 0, 9], [2, 0, 1]]), np.array([9, 0])) == [
        "wrist covers 22.22% of thumb wrongly (2 pixels)"
    ]


def test_one_class_has_no_neighbour():
    assert confusion_rows(["lv"], np.array([[0, 7]]), np.array([7])) == [
        {"class": "lv", "false_positives": 7, "no_class": 1.0, "lv": ""}
    ]
    assert worst_confusions(["lv"], np.array([[0, 7]]), np.array([70])) == []


def row(*shared):
    """The truth and the map of each class in 20 pixels: ten are true and as many found, ``shared`` of them rightly.

    None is a class with no pixel on either side. The Dice of a class is a tenth of ``shared``.
    """
    pixels = np.arange(20)
    truth = np.array([(pixels < 10) & (number is not None) for number in shared])
    found = [(pixels >= 10 - (number or 0)) & (pixels < 20 - (number or 0)) & (number is not None) for number in shared]
    return truth[:, None], np.where(found, 0.9, 0.1)[:, None]


def scores_of(images, folds, metric, **options):
    truth, maps = zip(*images, strict=True)
    groups = [str(number) for number in range(len(images))]
    return api.tune({"one": maps}, truth, groups, folds, metric, **options)


SKIP, POOLED = {"name": "dice", "empty": "skip"}, {"name": "dice", "unit": "all"}


@pytest.mark.parametrize(
    "metric",
    [SKIP, POOLED, SKIP | {"unit": "group"}, *({"sum": [one | {"weight": 0.5}] * 2} for one in (SKIP, POOLED))],
)
def test_the_score_of_a_fold_is_that_of_its_own_images(metric):
    """Of ten images two have the class in one fold, with Dice 0.9 each, and eight in the other, with 0.6 each."""
    images = [row(9)] * 2 + [row(None)] * 10 + [row(6)] * 8
    decision = scores_of(images, [0] * 10 + [1] * 10, metric)
    for scores in (decision.scores, decision.count_scores or decision.scores):
        assert scores.fold_mean == pytest.approx((0.9 + 0.6) / 2)
        assert scores.fold_sd == pytest.approx(0.3 / np.sqrt(2))
        assert scores.oof == pytest.approx((2 * 0.9 + 8 * 0.6) / 10)


@pytest.mark.parametrize("metric", [SKIP, {"sum": [SKIP | {"weight": 0.5}, POOLED | {"weight": 0.5}]}])
def test_a_fold_weighs_the_classes_that_occur_in_it(metric):
    images = [row(9, 5)] * 2 + [row(None, None)] + [row(6, None)] * 3
    decision = scores_of(images, [0] * 3 + [1] * 3, metric | {"weights": {"a": 3}}, classes="ab")
    assert decision.scores.fold_mean == pytest.approx(((3 * 0.9 + 0.5) / 4 + 0.6) / 2)


@pytest.mark.parametrize("unit", ["image", "group", "all"])
def test_the_mean_of_folds_is_that_of_the_scores_that_train_prints(unit):
    random = np.random.default_rng(0)
    images, folds = [row(*random.choice([None, 3, 7, 8], 2)) for _ in range(15)], np.arange(15) // 5
    metric = dice_metric(unit, "skip", {"a": 2}).for_classes("ab")
    printed = []
    for fold in range(3):
        pairs = [images[place] for place in np.flatnonzero(folds == fold)]
        counts = [count_pixels(pack_masks(seen > 0.5), pack_masks(truth), 2) for truth, seen in pairs]
        printed.append(metric.score(np.stack(counts), list("abcde")))
    assert scores_of(images, folds.tolist(), metric, classes="ab").scores.fold_mean == np.mean(printed)


def test_only_a_mean_over_images_is_reweighted(capsys):
    entries = [SimpleNamespace(stratum=name) for name in ("oblique", "straight", "straight")]
    values = np.array([0.5, 0.8, 0.9])
    assert reweighted_score(HAND_BONE, values, entries) == pytest.approx(0.58 * 0.5 + 0.42 * 0.85)
    for metric in (SKIP, POOLED, {"name": "hausdorff", "empty": "skip"}):
        assert reweighted_score(replace(HAND_BONE, metric=make_metric(metric)), values, entries) is None
    said = " ".join(capsys.readouterr().out.split())
    assert "the metric (Dice, unit image, empty skip) is not a plain mean over images" in said
