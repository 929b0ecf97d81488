"""Outlines: where their lines run, also where a picture shows only a part of a mask."""

import numpy as np
import pytest

from competition.drawing.outlines import outline, outline_mask
from competition.masks.bit_planes import pack_masks

WHITE = (255, 255, 255)


def lines(picture):
    return picture[..., 0] > 127


def square(size, top, left, bottom, right):
    mask = np.zeros((size, size), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def test_a_line_runs_on_the_outermost_pixels_of_a_mask():
    picture = np.zeros((20, 20, 3), np.uint8)
    mask = square(20, 5, 6, 15, 16)
    outline_mask(picture, mask, WHITE)
    assert (lines(picture) == (mask & ~square(20, 6, 7, 14, 15))).all()


@pytest.mark.parametrize("enlarged", [1, 3, 6])
def test_a_mask_that_goes_on_beyond_the_window_has_no_line_on_its_border(enlarged):
    mask = square(40, 0, 10, 40, 30)
    window = (slice(8, 24), slice(4, 20))  # the mask's left edge, at column 10, is column 6 of the window
    picture = np.zeros((16 * enlarged, 16 * enlarged, 3), np.uint8)
    outline_mask(picture, mask, WHITE, window=window)
    columns = np.flatnonzero(lines(picture).all(axis=0))
    assert set(columns) <= set(range(6 * enlarged, 7 * enlarged))
    assert len(columns) >= 1
    assert not np.delete(lines(picture), range(6 * enlarged - 1, 7 * enlarged + 1), axis=1).any()


def test_a_mask_that_ends_at_the_border_of_the_image_has_its_line_there():
    picture = np.zeros((16, 16, 3), np.uint8)
    outline_mask(picture, square(40, 0, 0, 10, 10), WHITE, window=(slice(0, 16), slice(0, 16)))
    assert lines(picture)[0, :10].all()
    assert lines(picture)[:10, 0].all()


def test_label_planes_in_a_window_are_drawn_as_their_masks():
    masks = np.stack([square(40, 3, 3, 30, 30), square(40, 12, 12, 20, 38)])
    window = (slice(10, 30), slice(5, 25))
    drawn, expected = np.zeros((60, 60, 3), np.uint8), np.zeros((60, 60, 3), np.uint8)
    outline(drawn, pack_masks(masks), 2, colour_of_all=WHITE, window=window)
    for mask in masks:
        outline_mask(expected, mask, WHITE, window=window)
    assert (drawn == expected).all()
    assert drawn.any()
