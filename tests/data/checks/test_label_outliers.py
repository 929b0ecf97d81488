"""Unusual areas and missing classes, on areas that are given."""

from dataclasses import replace

import numpy as np
import pytest

from competition.data.checks.label_maps import LabelMaps
from competition.data.checks.label_outliers import area_suspicions, missing_suspicions, position_suspicions
from competition.data.checks.robust_scores import middle_and_sigma, outlier_score
from competition.data.manifest import Entry

BLANK = Entry("", "", "train", "", "", (True,), 100, 200, (0.0,), (1.0,), (1,), "", "", "")
CLASSES = ("a", "b", "c")


def samples(areas: np.ndarray) -> list[Entry]:
    return [replace(BLANK, sample=str(number), areas=tuple(row)) for number, row in enumerate(areas.tolist())]


def drawn(count: int = 20) -> np.ndarray:
    random = np.random.default_rng(0)
    scale = random.uniform(0.5, 2, (count, 1))
    return np.rint(np.array([2000, 600, 300]) * scale * np.exp(random.normal(0, 0.03, (count, 3)))).astype(int)


def test_spread_is_that_of_a_normal_distribution_whatever_a_few_outliers_are() -> None:
    values = np.random.default_rng(0).normal(3, 2, 100_000)
    values[:5000] = 1e6
    values[5000:6000] = np.nan
    middle, sigma = middle_and_sigma(values, 0.1)
    assert (middle, sigma) == (pytest.approx(3, abs=0.2), pytest.approx(2, abs=0.2))
    assert middle_and_sigma(np.ones(9), 0.1) == (1, 0.1)
    assert np.isnan(middle_and_sigma(np.ones(4), 0.1)).all()
    assert outlier_score(np.array([-1, 0, 3.5, 10.5, np.nan])) == pytest.approx([0, 0, 0.5, 0.75, 0])


def test_a_class_of_an_unusual_size_for_its_image_stands_out_and_large_images_do_not() -> None:
    areas = drawn()
    areas[7, 1] *= 3
    areas[3] *= 4  # a large hand has large bones
    found = sorted(area_suspicions(samples(areas), CLASSES), key=lambda each: -each.score)
    assert (found[0].sample, found[0].label) == ("7", "b")
    assert found[0].score > 0.7 > found[1].score
    assert found[0].reason == f"its area of {areas[7, 1]:,} pixels is {_times(areas, 7, 1):.2f} times the expected one"


def _times(areas: np.ndarray, row: int, column: int) -> float:
    logs = np.log(areas) - np.median(np.log(areas), axis=0)
    logs -= np.median(logs, axis=1, keepdims=True)
    return float(np.exp(logs[row, column] - np.median(logs[:, column])))


def test_where_objects_are_counted_their_size_is_judged_and_not_their_number() -> None:
    counts = np.array([3, 40, 7, 12, 90, 25, 5, 60, 18, 30])
    sizes = np.array([50, 51, 49, 50, 52, 50, 48, 51, 50, 210])
    entries = [
        replace(entry, object_areas=(float(size),))
        for entry, size in zip(samples((counts * sizes)[:, None]), sizes, strict=True)
    ]
    (found,) = [each for each in area_suspicions(entries, CLASSES[:1], of_objects=True) if each.score > 0.5]
    assert found.sample == "9"
    assert found.reason.startswith("the median area of its objects, 210 pixels, is 4.2")


def test_of_one_class_the_share_of_the_image_counts() -> None:
    areas = drawn()[:, :1]
    areas[:, 0] = 1000 + np.arange(20)
    areas[4] = 5000
    found = max(area_suspicions(samples(areas), CLASSES[:1]), key=lambda each: each.score)
    assert found.sample == "4"
    assert "4.9" in found.reason


def test_absence_is_suspicious_where_nearly_all_have_the_class() -> None:
    areas = drawn()
    areas[5, 2] = 0
    areas[:12, 1] = 0
    (found,) = missing_suspicions(samples(areas), CLASSES)
    assert (found.sample, found.label, found.score) == ("5", "c", 1.0)
    assert found.reason == "not labelled here, but in 100% of the other samples"
    areas[6, 2] = 0
    assert [each.score for each in missing_suspicions(samples(areas), CLASSES)] == pytest.approx([0.4737] * 2, abs=1e-4)


def test_without_masks_or_samples_nothing_is_suspicious() -> None:
    assert area_suspicions([BLANK], CLASSES) == missing_suspicions([BLANK], CLASSES) == []
    empty = LabelMaps((), np.zeros((0, 3, 2)), np.zeros((3, 32, 32)), np.zeros((3, 3)))
    assert position_suspicions([BLANK], CLASSES, empty) == []
    assert area_suspicions(samples(np.zeros((6, 3), int)), CLASSES) == []


def test_a_moved_class_is_named_with_its_distance_in_pixels() -> None:
    entries = samples(drawn(8))
    centres = np.full((8, 1, 2), 0.5)
    centres[2, 0, 0] = 0.7  # of 100 rows
    maps = LabelMaps(tuple(entry.sample for entry in entries), centres, np.zeros((1, 32, 32)), np.zeros((1, 1)))
    found = max(position_suspicions(entries, ("a",), maps), key=lambda each: each.score)
    assert (found.sample, found.reason) == ("2", "its centre is 20 pixels from where the other samples suggest")
