"""The watershed on shapes whose parts are known, on tiny masks against brute force, and on any mask."""

import numpy as np
import pytest
from scipy.ndimage import label, maximum_filter

from competition.masks.bit_planes import pack_masks
from competition.masks.object_splitting import PLAIN, ObjectRule, drop_small, split_mask, split_planes

SPLIT = ObjectRule(distance=0.8, smoothing=1)


def discs(shape, *circles):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return [np.hypot(rows - row, columns - column) < radius for row, column, radius in circles]


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_two_touching_discs_are_cut_in_the_middle_at_any_scale(scale) -> None:
    one, other = discs(
        (24 * scale, 48 * scale), (12 * scale, 14 * scale, 10 * scale), (12 * scale, 32 * scale, 10 * scale)
    )
    found = split_mask(one | other, SPLIT)
    assert len(split_mask(one | other, PLAIN)) == 1
    assert len(found) == 2
    for pixels, column in zip(found, (14, 32), strict=True):
        assert np.median(pixels % (48 * scale)) == pytest.approx(column * scale, abs=scale)
        # No pixel is further than one on the wrong side of the neck, the middle between the two centres.
        beyond = (pixels % (48 * scale) - 23 * scale) * (1 if column == 14 else -1)
        assert beyond.max() <= 1


def test_discs_of_different_sizes_are_split_by_their_own_radius() -> None:
    shape = (40, 70)
    large, small = discs(shape, (20, 20, 16), (20, 41, 6))
    found = split_mask(large | small, SPLIT)
    assert sorted(len(one) > 400 for one in found) == [False, True]


def test_a_bone_of_one_width_is_not_cut() -> None:
    bar = np.zeros((20, 90), bool)
    bar[6:15, 3:87] = True
    for distance in (0.6, 1.3):
        for smoothing in (0, 1, 2, 3.3):
            assert len(split_mask(bar, ObjectRule(distance, smoothing))) == 1
    disc = discs((50, 50), (25, 25, 20))[0]
    assert len(split_mask(disc, SPLIT)) == 1


@pytest.mark.parametrize("rule", [PLAIN, SPLIT, ObjectRule(0.6, 2), ObjectRule(2, 0)])
def test_objects_of_any_mask_cover_it_once_and_are_connected(rule) -> None:
    random = np.random.default_rng(0)
    shapes = [(1, 1), (1, 25), (25, 1), (30, 40)]
    masks = [random.random(shape) < density for shape in shapes for density in (0.1, 0.6, 1)]
    masks.append(np.any(discs((40, 50), (0, 0, 9), (8, 12, 7), (39, 49, 12), (30, 36, 8)), axis=0))
    for mask in masks:
        found = split_mask(mask, rule)
        every = np.concatenate([np.empty(0, np.int64), *found])
        np.testing.assert_array_equal(np.sort(every), np.flatnonzero(mask))
        for pixels in found:
            own = np.zeros(mask.size, bool)
            own[pixels] = True
            assert label(own.reshape(mask.shape), np.ones((3, 3)))[1] == 1
        components = label(mask, np.ones((3, 3)))[1]
        assert len(found) >= components
        assert len(found) == components or rule.distance is not None


def highest_peaks(heights, distance):
    """Return the first pixel of each plateau that no higher peak of its component suppresses, the highest first."""
    components = label(heights > 0, np.ones((3, 3)))[0].ravel()
    around, flat, peaks = maximum_filter(heights, 3), heights.ravel(), []
    for height in np.unique(heights[heights > 0]):
        plateaus, count = label(heights == height, np.ones((3, 3)))
        for own in (plateaus == number + 1 for number in range(count)):
            if around[own].max() == height:
                peaks.append(int(np.flatnonzero(own)[0]))
    kept = []
    for peak in sorted(peaks, key=lambda peak: (-flat[peak], peak)):
        rivals = [one for one in kept if components[one] == components[peak]]
        if not any(
            np.hypot(*np.subtract(divmod(one, heights.shape[1]), divmod(peak, heights.shape[1])))
            <= distance * flat[one]
            for one in rivals
        ):
            kept.append(peak)
    return kept


def lowest_on_way(heights, peak):
    """Return for each pixel the lowest height on the best way from a peak, 0 where there is none."""
    reached = np.zeros(heights.shape)
    reached.flat[peak] = heights.flat[peak]
    while not np.array_equal(reached, wider := np.minimum(heights, maximum_filter(reached, 3))):
        reached = wider
    return reached.ravel()


@pytest.mark.parametrize("distance", [0.6, 1.15, 2.3])
def test_each_pixel_of_a_tiny_mask_belongs_to_the_peak_that_the_highest_way_leads_to(distance) -> None:
    random, several = np.random.default_rng(3), 0
    for density in (0.5, 0.8, 0.95) * 10:
        mask = random.random((9, 14)) < density
        mask[4, 7] = False
        apart = np.argwhere(mask)[:, None] - np.argwhere(~mask)[None]
        heights = np.zeros(mask.shape)
        heights[mask] = np.round(np.sqrt((apart**2).sum(axis=2)).min(axis=1), 5)
        ways = {peak: lowest_on_way(heights, peak) for peak in highest_peaks(heights, distance)}
        found = split_mask(mask, ObjectRule(distance, 0))
        assert len(found) == len(ways)
        for pixels in found:
            (peak,) = set(pixels.tolist()) & set(ways)
            np.testing.assert_array_equal(ways[peak][pixels], np.max(list(ways.values()), axis=0)[pixels])
        several += len(found) > label(mask, np.ones((3, 3)))[1]
    assert several > 5


@pytest.mark.parametrize("smoothing", [1, 1.3, 2])
def test_of_equal_peaks_the_first_stays(smoothing) -> None:
    row = np.any(discs((38, 118), *((18, 58.5 + 27.2 * place, 16) for place in (-1.5, -0.5, 0.5, 1.5))), axis=0)
    np.testing.assert_array_equal(row, row[:, ::-1])
    for mask in (row, np.ascontiguousarray(row.T)):
        # The two in the middle are equally high and too near to their neighbours: the first one joins three.
        one, other = split_mask(mask, ObjectRule(2.2, smoothing))
        assert len(one) > 2 * len(other)


def test_objects_come_in_the_order_of_their_peaks() -> None:
    found = split_mask(np.any(discs((40, 70), (22, 20, 6), (20, 41, 16), (33, 62, 7)), axis=0), SPLIT)
    assert [len(one) > 300 for one in found] == [True, False, False]
    assert np.argsort([np.median(one) for one in found]).tolist() == [0, 1, 2]


def test_a_disc_with_two_notches_is_one_object_after_enough_smoothing() -> None:
    notched = discs((50, 50), (25, 25, 18))[0]
    notched[:14, 25] = notched[36:, 25] = False
    assert [len(split_mask(notched, ObjectRule(0.6, smoothing))) for smoothing in (0, 4)] == [2, 1]


def test_the_border_of_the_image_does_not_split_an_object() -> None:
    half = discs((40, 40), (0, 20, 15))[0]
    assert len(split_mask(half, SPLIT)) == 1
    # Two halves of discs, 19 pixels apart, are as high as whole discs: nearer than 2.2 times their radius of 10.
    for row, rows in ((0, 15), (14, 15), (15, 30)):
        pair = np.any(discs((rows, 50), (row, 15, 10), (row, 34, 10)), axis=0)
        assert len(split_mask(pair, ObjectRule(2.2, 1))) == 1
        assert len(split_mask(pair, ObjectRule(1.6, 1))) == 2


def test_small_objects_are_dropped_unless_all_are() -> None:
    one, other = np.arange(3), np.arange(5, 15)
    assert [len(x) for x in drop_small([one, other], 4)] == [10]
    assert [len(x) for x in drop_small([one, other], 30)] == [3, 10]
    mask = np.zeros((9, 9), bool)
    mask[0, 0], mask[4:8, 4:8] = True, True
    assert [len(x) for x in split_mask(mask, ObjectRule(None, 1, 5))] == [16]


def test_each_class_has_its_rule() -> None:
    pair = np.any(discs((24, 48), (12, 14, 10), (12, 32, 10)), axis=0)
    objects = split_planes(pack_masks(np.stack([pair, pair, np.zeros_like(pair)])), (PLAIN, SPLIT, SPLIT))
    assert objects.class_of.tolist() == [0, 1, 1]


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_peaks_nearer_than_the_rule_says_are_one_object_at_any_scale(scale) -> None:
    shape, radius = (24 * scale, 48 * scale), 10 * scale
    one, other = discs(shape, (12 * scale, 18 * scale, radius), (12 * scale, 25 * scale, radius))  # 0.7 radii apart
    assert len(split_mask(one | other, SPLIT)) == 1
    one, other = discs(shape, (12 * scale, 16 * scale, radius), (12 * scale, 29 * scale, radius))  # 1.3 radii apart
    assert len(split_mask(one | other, SPLIT)) == 2
    assert len(split_mask(one | other, ObjectRule(1.6, 1))) == 1
