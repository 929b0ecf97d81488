"""Sizes of masks, computed by hand."""

import math

import numpy as np
import pytest
from scipy import ndimage

from competition.inference.measures import MaskMeasures, mean_agreement, measure_mask
from competition.masks.bit_planes import pack_masks


def test_a_rectangle_by_hand():
    mask = np.zeros((20, 30), bool)
    mask[4:10, 7:9] = True
    found = measure_mask(mask, (0.5, 2.0))
    assert found == MaskMeasures(
        pixels=12,
        area_mm2=12.0,
        equivalent_diameter_mm=pytest.approx(2 * math.sqrt(12 / math.pi)),
        height_mm=3.0,
        width_mm=4.0,
        centroid_row=6.5,
        centroid_column=7.5,
    )


def test_a_disc_has_the_diameter_it_was_drawn_with():
    rows, columns = np.mgrid[:400, :400]
    mask = np.hypot(rows - 200, columns - 190) <= 150
    found = measure_mask(mask, (0.25, 0.25))
    assert found.equivalent_diameter_mm == pytest.approx(75, rel=2e-3)
    assert (found.centroid_row, found.centroid_column) == pytest.approx((200, 190))
    assert found.height_mm == pytest.approx(301 * 0.25)


def test_scattered_pixels_beside_scipy():
    mask = np.random.default_rng(0).random((50, 41)) < 0.05
    found = measure_mask(mask, None)
    assert (found.centroid_row, found.centroid_column) == pytest.approx(ndimage.center_of_mass(mask))
    assert found.pixels == mask.sum()
    assert (found.area_mm2, found.height_mm, found.width_mm, found.equivalent_diameter_mm) == (None,) * 4


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0)])
def test_an_empty_mask_has_no_size(spacing):
    assert measure_mask(np.zeros((5, 5), bool), spacing) == MaskMeasures(0)


def test_the_agreement_on_an_image_is_that_of_its_classes():
    masks = np.zeros((3, 4, 4), bool)
    masks[0, 0, 0] = masks[2, 1, 1] = True
    assert mean_agreement(pack_masks(masks), np.array([0.5, 0.1, 0.9])) == pytest.approx(0.7)
    assert mean_agreement(pack_masks(masks & False), np.array([np.nan, 0.5, np.nan])) is None
