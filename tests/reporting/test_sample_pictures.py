"""Captions and close-ups of samples in the report."""

from dataclasses import replace

import numpy as np
import pytest

from competition.reporting.sample_pictures import surroundings, titled


def test_a_caption_gives_the_group_only_where_the_name_does_not(shared_hands):
    entry = shared_hands.train()[0]
    assert titled(replace(entry, name="1661.png", group="ID001")) == "1661.png, group ID001"
    assert titled(replace(entry, name="ID001_left.png", group="ID001")) == "ID001_left.png"
    long = titled(replace(entry, name="0123456789" * 7, group="another"))
    assert long == "01234567890123...67890123456789, group another"


@pytest.mark.parametrize(
    ("box", "window"),
    [
        ((40, 40, 60, 50), (slice(30, 70), slice(25, 65))),  # 20 rows: a square of 40 around its middle
        ((0, 0, 4, 4), (slice(0, 30), slice(0, 30))),  # in a corner: a quarter of the longer side, moved inside
        ((10, 100, 14, 120), (slice(0, 40), slice(80, 120))),
    ],
)
def test_a_close_up_is_a_square_around_the_mask(box, window):
    top, left, bottom, right = box
    mask = np.zeros((80, 120), np.bool_)
    mask[top:bottom, left:right] = True
    assert surroundings([mask]) == window


def test_a_close_up_of_masks_far_apart_holds_both_and_of_none_the_whole_image():
    mask = np.zeros((80, 120), np.bool_)
    assert surroundings([mask]) == (slice(None), slice(None))
    mask[2, 3] = mask[79, 110] = True
    rows, columns = surroundings([mask])
    assert (rows, columns) == (slice(0, 80), slice(0, 120))
