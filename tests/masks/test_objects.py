"""Objects against dense masks, run lengths and scipy's labels."""

import numpy as np
import pytest
from scipy.ndimage import label

from competition.masks.bit_planes import pack_masks, unpack_planes
from competition.masks.objects import (
    component_pixels,
    components,
    instance_picture,
    instance_pixels,
    join_classes,
    pixels_of_runs,
    planes_of,
    runs_of_pixels,
    separated_planes,
)
from competition.masks.run_lengths import runs_to_mask

SHAPES = [(1, 1), (1, 9), (8, 1), (6, 7)]


@pytest.mark.parametrize("order", ["row", "column"])
@pytest.mark.parametrize("shape", SHAPES)
def test_runs_become_the_pixels_that_their_mask_has_and_back(shape, order) -> None:
    random = np.random.default_rng(2)
    for _ in range(20):
        mask = random.random(shape) < 0.5
        mask[-1, -1] = True
        pixels = np.flatnonzero(mask)
        runs = runs_of_pixels(pixels, shape, order)
        np.testing.assert_array_equal(runs_to_mask(runs, shape, order), mask)
        np.testing.assert_array_equal(pixels_of_runs(runs, shape, order), pixels)
        assert (runs[1:, 0] > runs[:-1, 1]).all()  # runs that touch are one


@pytest.mark.parametrize("shape", SHAPES)
def test_components_equal_scipys(shape) -> None:
    random = np.random.default_rng(4)
    for density in (0, 0.2, 0.5, 1):
        masks = random.random((3, *shape)) < density
        found = components(pack_masks(masks), 3)
        for index, mask in enumerate(masks):
            labels, count = label(mask, np.ones((3, 3)))
            expected = {tuple(np.flatnonzero(labels == number + 1)) for number in range(count)}
            assert {tuple(one) for one in found.of_class(index)} == expected
        np.testing.assert_array_equal(unpack_planes(planes_of(found, 3), 3), masks)


def test_overlapping_objects_make_up_one_mask() -> None:
    objects = join_classes((2, 3), [[np.array([0, 1]), np.array([1, 2])], [np.array([5])]])
    assert objects.class_of.tolist() == [0, 0, 1]
    assert unpack_planes(planes_of(objects, 2), 2)[0].tolist() == [[True] * 3, [False] * 3]
    assert instance_picture(objects, 0).tolist() == [[1, 2, 2], [0, 0, 0]]
    assert instance_picture(objects, 1).tolist() == [[0, 0, 0], [0, 0, 1]]


def test_touching_objects_are_drawn_apart_and_others_as_they_are() -> None:
    numbers = np.array([[1, 1, 2, 2, 0, 3], [1, 1, 2, 2, 0, 3], [0, 0, 0, 0, 4, 0]])
    objects = join_classes((3, 6), [instance_pixels(numbers), []])
    drawn = unpack_planes(separated_planes(objects, 2), 2)
    # Of two neighbours the one with the lower number keeps away: 1 from 2, 2 and 3 from 4 (diagonally).
    expected = [[1, 0, 1, 1, 0, 1], [1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0]]
    assert drawn[0].astype(int).tolist() == expected
    assert not drawn[1].any()


def test_an_empty_mask_has_no_components() -> None:
    assert component_pixels(np.zeros((3, 4), bool)) == []
