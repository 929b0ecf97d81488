"""Outlines and distances against loops over all pairs of pixels in float64, and cases computed by hand."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt, generate_binary_structure

from competition.metrics.surfaces import hausdorff_distance, hausdorff_score, outline, outline_distances, surface_dice


def brute_outline(mask):
    """Pixels with a neighbour of 4 outside the mask, one by one."""
    height, width = mask.shape
    found = []
    for row, column in np.argwhere(mask):
        near = [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
        if any(not (0 <= r < height and 0 <= c < width and mask[r, c]) for r, c in near):
            found.append((row, column))
    return found


def brute_distances(one, other, spacing):
    """The distance from every outline pixel of one mask to the nearest of the other, over all pairs."""
    first, second = brute_outline(one), brute_outline(other)
    return [
        min((math.hypot((r - s) * spacing[0], (c - d) * spacing[1]) for s, d in second), default=math.inf)
        for r, c in first
    ]


def some_masks():
    random = np.random.default_rng(5)
    for shape in ((7, 9), (1, 12), (11, 1), (6, 6)):
        for density in (0.05, 0.4, 0.9):
            yield random.random(shape) < density, random.random(shape) < density
    disc = np.hypot(*np.mgrid[-8:9, -8:9]) < 7
    yield disc, np.roll(disc, 3, axis=1)
    yield np.ones((5, 5), bool), np.pad(np.ones((1, 1), bool), 2)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 2.25)])
def test_distances_equal_those_over_all_pairs(spacing) -> None:
    for one, other in some_masks():
        there, back = outline_distances(one, other, spacing)
        np.testing.assert_allclose(there, brute_distances(one, other, spacing), rtol=0, atol=1e-12)
        np.testing.assert_allclose(back, brute_distances(other, one, spacing), rtol=0, atol=1e-12)


def test_outline_equals_scipys_erosion() -> None:
    cross = generate_binary_structure(2, 1)
    for one, other in some_masks():
        for mask in (one, other):
            expected = np.argwhere(mask & ~binary_erosion(mask, cross))
            np.testing.assert_array_equal(outline(mask), expected)


def test_distances_equal_scipys_transform() -> None:
    spacing = (0.7, 1.3)
    for one, other in some_masks():
        if one.any() and other.any():
            edge = np.ones(other.shape, bool)
            edge[tuple(outline(other).astype(int).T)] = False
            expected = distance_transform_edt(edge, sampling=spacing)[tuple(outline(one).astype(int).T)]
            np.testing.assert_allclose(outline_distances(one, other, spacing)[0], expected, rtol=0, atol=1e-12)


def test_percentiles_are_the_larger_of_both_directions() -> None:
    for (one, other), percentile in product(some_masks(), (50, 95, 100)):
        there, back = brute_distances(one, other, (1, 1)), brute_distances(other, one, (1, 1))
        if there and back:
            expected = max(np.percentile(there, percentile), np.percentile(back, percentile))
            assert hausdorff_distance(one, other, percentile) == pytest.approx(expected, abs=1e-12)


def grid(*rows: str):
    return np.array([[letter == "x" for letter in row] for row in rows])


def test_masks_of_3x3_by_hand() -> None:
    corner, opposite, empty = grid("x..", "...", "..."), grid("...", "...", "..x"), np.zeros((3, 3), bool)
    assert hausdorff_distance(corner, opposite) == pytest.approx(math.sqrt(8))
    assert hausdorff_score(corner, opposite) == pytest.approx(1 - math.sqrt(8) / math.sqrt(18))
    assert hausdorff_distance(corner, opposite, spacing=(3, 4)) == 10
    assert surface_dice(corner, opposite, 2.8) == 0
    assert surface_dice(corner, opposite, math.sqrt(8)) == 1
    # A full image and its centre: eight outline pixels, at distance 1 (4 of them) and sqrt(2).
    full, centre = np.ones((3, 3), bool), grid("...", ".x.", "...")
    assert hausdorff_distance(full, centre) == pytest.approx(math.sqrt(2))
    assert surface_dice(full, centre, 1) == (4 + 1) / (8 + 1)
    assert hausdorff_distance(full, full) == 0
    assert hausdorff_score(full, full) == 1
    assert hausdorff_distance(empty, empty) == 0
    assert hausdorff_distance(corner, empty) == math.inf
    assert (hausdorff_score(corner, empty), hausdorff_score(empty, corner)) == (0, 0)
    assert (surface_dice(corner, empty, 9), surface_dice(empty, corner, 9)) == (0, 0)
    assert math.isnan(hausdorff_score(empty, empty))
    assert math.isnan(surface_dice(empty, empty, 1))
