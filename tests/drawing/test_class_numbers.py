"""A number lies on its mask, off other masks and numbers where there is room."""

import numpy as np
import pytest

from competition.drawing.class_numbers import draw_class_numbers, number_places
from competition.masks.bit_planes import pack_masks


def disc(shape, row, column, radius):
    rows, columns = np.indices(shape)
    return np.hypot(rows - row, columns - column) <= radius


def test_the_middle_of_a_disc():
    assert number_places(pack_masks(disc((90, 80), 40, 30, 20)[None]), 1, (8, 8)) == {0: (40, 30)}


def test_a_bent_mask_holds_its_number_though_its_centroid_is_outside():
    ring = disc((200, 200), 100, 100, 90) & ~disc((200, 200), 100, 100, 60)
    row, column = number_places(pack_masks(ring[None]), 1, (10, 12))[0]
    assert ring[round(row), round(column)]
    assert 70 < np.hypot(row - 100, column - 100) < 80


def test_a_mask_partly_behind_another_has_its_number_where_it_is_alone():
    masks = np.zeros((2, 100, 200), bool)
    masks[0, 20:80, 10:110] = masks[1, 20:80, 90:190] = True
    places = number_places(pack_masks(masks), 2, (10, 20))
    assert places[0][1] < 90
    assert places[1][1] > 110


def test_a_mask_inside_of_another_keeps_the_numbers_apart():
    outer, inner = disc((120, 120), 60, 60, 40), disc((120, 120), 60, 60, 25)
    places = number_places(pack_masks(np.stack([outer, inner])), 2, (10, 20))
    assert inner[round(places[1][0]), round(places[1][1])]
    (row, column), (other_row, other_column) = places[0], places[1]
    assert outer[round(row), round(column)]
    assert abs(row - other_row) > 10 or abs(column - other_column) > 20


def test_equal_masks_have_a_number_each():
    mask = disc((40, 40), 20, 20, 4)
    assert number_places(pack_masks(np.stack([mask, mask])), 2, (30, 30)).keys() == {0, 1}


def test_a_single_pixel_of_a_huge_image_is_found_and_an_empty_class_has_no_place():
    masks = np.zeros((2, 3001, 2999), bool)
    masks[1, 2000, 1501] = True
    assert number_places(pack_masks(masks), 2, (30, 30)) == {1: (2000, 1501)}


@pytest.mark.parametrize("scale", [1, 4])
def test_the_number_is_drawn_where_its_mask_is(scale):
    masks = np.stack([disc((100, 150), 50, 40, 25), disc((100, 150), 30, 110, 25)])
    picture = np.zeros((100 * scale, 150 * scale, 3), np.uint8)
    draw_class_numbers(picture, pack_masks(masks), [(255, 0, 0), (0, 0, 255)], 12 * scale)
    drawn = picture.any(axis=2)
    assert drawn.any()
    large = masks.any(axis=0).repeat(scale, axis=0).repeat(scale, axis=1)
    assert not drawn[~large].any()
    left, right = picture[:, : 75 * scale].reshape(-1, 3), picture[:, 75 * scale :].reshape(-1, 3)
    assert min(left[:, 0].max(), right[:, 2].max()) > 240
    assert (left[:, 0] >= left[:, 2]).all()
    assert (right[:, 2] >= right[:, 0]).all()


def test_numbers_at_the_border_are_whole():
    masks = np.zeros((1, 60, 80), bool)
    masks[0, :2] = masks[0, :, :2] = True  # narrower than a digit
    inside, border = (np.zeros((60, 80, 3), np.uint8) for _ in range(2))
    draw_class_numbers(border, pack_masks(masks), [(255, 0, 0)], 14)
    draw_class_numbers(inside, pack_masks(np.pad(masks[:, :40, :60], ((0, 0), (20, 0), (20, 0)))), [(255, 0, 0)], 14)
    assert border.any(axis=2).sum() == inside.any(axis=2).sum()
