"""Components, holes and hulls found among runs, against scipy's labelling of the pixels."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import ConvexHull

from competition.masks.bit_planes import pack_masks
from competition.masks.components import (
    canvas_runs,
    find_components,
    find_holes,
    find_hollows,
    find_surest,
    median_areas,
)

EIGHT = np.ones((3, 3))


def drawn(canvas, runs, index):
    """The pixels of one class of a canvas."""
    mask = np.zeros(canvas.size_hw, bool)
    mask[canvas.pixels(runs[canvas.class_of(runs) == index])] = True
    return mask


def random_stacks():
    """Stacks of masks from nearly empty to full, of all sizes from one pixel on."""
    random = np.random.default_rng(0)
    for _ in range(250):
        shape = random.integers(1, (12, 13, 13))
        yield random.random(shape) < random.choice([0.05, 0.3, 0.5, 0.6, 0.8, 0.95, 1.0])


def test_a_canvas_holds_the_pixels_of_every_class():
    for stack in random_stacks():
        canvas, runs = canvas_runs(pack_masks(stack), len(stack))
        assert (runs[:, 0] < runs[:, 1]).all()
        assert (runs[1:, 0] > runs[:-1, 1]).all()  # sorted, with a gap between any two
        for index, mask in enumerate(stack):
            np.testing.assert_array_equal(drawn(canvas, runs, index), mask)
        np.testing.assert_array_equal(canvas.area_by_class(runs), stack.sum(axis=(1, 2)))


def test_runs_that_touch_are_one_component():
    for stack in random_stacks():
        canvas, runs = canvas_runs(pack_masks(stack), len(stack))
        components = find_components(canvas, runs)
        is_surest = find_surest(canvas, runs, components, np.zeros_like(stack).__getitem__)
        assert len(components.areas) == len(is_surest) == components.of_run.max(initial=-1) + 1
        seen = 0
        for index, mask in enumerate(stack):
            labels, count = ndimage.label(mask, structure=EIGHT)  # numbered in scan order
            own = components.of_run[canvas.class_of(runs) == index]
            numbers = np.unique(own)
            assert len(numbers) == count
            seen += count
            if count == 0:
                continue
            areas = ndimage.sum_labels(mask, labels, range(1, count + 1)).astype(int)
            assert sorted(components.areas[numbers]) == sorted(areas)
            (largest,) = numbers[is_surest[numbers]]  # where nothing is sure
            kept = runs[components.of_run == largest]
            np.testing.assert_array_equal(drawn(canvas, kept, index), labels == 1 + np.argmax(areas))
        assert seen == len(components.areas)


def test_holes_are_what_scipy_fills():
    found = 0
    for stack in random_stacks():
        canvas, runs = canvas_runs(pack_masks(stack), len(stack))
        holes = find_holes(canvas, runs)
        found += len(holes)
        for index, mask in enumerate(stack):
            np.testing.assert_array_equal(drawn(canvas, holes, index), ndimage.binary_fill_holes(mask) & ~mask)
    assert found > 1000


def test_hollows_are_what_the_convex_hull_of_scipy_adds():
    random = np.random.default_rng(2)
    stack = np.zeros((6, 90, 70), bool)
    for mask in stack[:4]:
        mask[:] = ndimage.gaussian_filter(random.standard_normal((90, 70)), 6) > 0.08
    stack[5, 40, 3:60:7] = True  # one row; class 4 is empty
    canvas, runs = canvas_runs(pack_masks(stack), len(stack))
    hollows = find_hollows(canvas, runs)
    pixels = np.argwhere(np.ones(stack[0].shape, bool))
    for index, mask in enumerate(stack[:4]):
        sides = ConvexHull(np.argwhere(mask)).equations
        hull = (pixels @ sides[:, :2].T + sides[:, 2] < 1e-9).all(axis=1).reshape(mask.shape)
        assert (hull & ~mask).sum() > 100
        np.testing.assert_array_equal(drawn(canvas, hollows, index), hull & ~mask)
    assert not drawn(canvas, hollows, 4).any()
    np.testing.assert_array_equal(np.flatnonzero(drawn(canvas, hollows, 5)[40] | stack[5, 40]), np.arange(3, 60))


def test_large_masks_of_blobs_equal_scipy_too():
    random = np.random.default_rng(1)
    noise = ndimage.gaussian_filter(random.standard_normal((3, 300, 200)), (0, 4, 4))
    stack = np.abs(noise) > 0.08
    canvas, runs = canvas_runs(pack_masks(stack), 3)
    components, holes = find_components(canvas, runs), find_holes(canvas, runs)
    for index, mask in enumerate(stack):
        own = canvas.class_of(runs) == index
        assert len(np.unique(components.of_run[own])) == ndimage.label(mask, structure=EIGHT)[1] > 5
        np.testing.assert_array_equal(drawn(canvas, holes, index), ndimage.binary_fill_holes(mask) & ~mask)


@pytest.mark.parametrize("touching", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_what_touches_the_border_touches_nothing_beyond_it(touching):
    """The last pixel of a row is no neighbour of the next row's first, nor a class of the next class."""
    stack = np.zeros((3, 4, 5), bool)
    stack[:, *touching] = True
    canvas, runs = canvas_runs(pack_masks(stack), 3)
    assert find_components(canvas, runs).areas.tolist() == [1, 1, 1]
    stack = np.zeros((1, 4, 5), bool)
    stack[0, :-1, -1] = stack[0, 1:, 0] = True
    canvas, runs = canvas_runs(pack_masks(stack), 1)
    assert find_components(canvas, runs).areas.tolist() == [3, 3]


def test_only_background_without_a_way_out_is_a_hole():
    ring = np.ones((1, 7, 7), bool)
    ring[0, 2:5, 2:5] = False
    for open_at, holes in ((None, 9), ((1, 1), 9), ((0, 3), 9), (([0, 1], 3), 0), ((3, [0, 1]), 0), ((6, 6), 9)):
        opened = ring.copy()
        if open_at is not None:
            opened[0, *open_at] = False
        canvas, runs = canvas_runs(pack_masks(opened), 1)
        found = find_holes(canvas, runs)
        # A corner (1, 1) touches the hole's corner only: no path of 4 neighbours, but a hole of its own.
        assert canvas.area_by_class(found).tolist() == [holes + (open_at == (1, 1))]


def test_no_runs_have_no_components_and_no_holes():
    canvas, runs = canvas_runs(pack_masks(np.zeros((9, 3, 4), bool)), 9)
    assert len(runs) == len(find_holes(canvas, runs)) == 0
    assert len(find_components(canvas, runs).areas) == 0
    assert canvas.area_by_class(runs).tolist() == [0] * 9


def test_the_median_area_of_the_components_of_each_class():
    masks = np.zeros((3, 8, 9), bool)
    masks[0, 0, 0] = masks[0, 2:4, 2:4] = masks[0, 6:8, 6:9] = True  # 1, 4 and 6 pixels
    masks[2, 1, 1] = masks[2, 2, 2] = True  # one component of 8 neighbours
    assert median_areas(pack_masks(masks), 3).tolist() == [4.0, 0.0, 2.0]
