"""Boxes: the largest thing in a mask with a margin, however it lies; and what is read through them."""

import numpy as np
import pytest

from competition.data.boxes import Box, box_around, describe_boxes
from competition.data.datasets import TrainingSet
from competition.data.grid import GridReader, oversampling, resize_image
from competition.masks.bit_planes import unpack_planes

RAW = "raw"


def mask_of(*rectangles, size_hw=(40, 60)):
    """Rectangles of rows top..bottom and columns left..right, the ends excluded."""
    mask = np.zeros(size_hw, bool)
    for top, left, bottom, right in rectangles:
        mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "margin", "expected"),
    [
        (mask_of((10, 20, 15, 40)), 0, (10, 20, 15, 40)),
        (mask_of((10, 20, 20, 40)), 0.3, (7, 14, 23, 46)),
        (mask_of((10, 20, 20, 40)), 1, (0, 0, 30, 60)),
        (mask_of((10, 20, 20, 40)), 5, (0, 0, 40, 60)),  # cut off at all four borders
        (mask_of((0, 0, 40, 60)), 0.3, (0, 0, 40, 60)),
        (mask_of((39, 59, 40, 60)), 0, (39, 59, 40, 60)),  # the last pixel
        (mask_of((39, 59, 40, 60)), 0.3, (39, 59, 40, 60)),
        (mask_of((10, 20, 20, 40), (0, 0, 3, 3), (38, 50, 40, 60)), 0, (10, 20, 20, 40)),  # stray pixels
        (mask_of((10, 20, 20, 30), (20, 30, 25, 40)), 0, (10, 20, 25, 40)),  # they touch at a corner
    ],
)
def test_a_box_holds_the_largest_component_and_its_margin(mask, margin, expected):
    assert box_around(mask, margin) == Box(*expected)


def test_an_empty_mask_has_no_box():
    assert box_around(np.zeros((5, 7), bool), 0.3) is None


def test_a_box_knows_its_size_and_picks_itself():
    box = Box(top=2, left=5, bottom=6, right=12)
    assert box.size_hw == (4, 7)
    grid = np.arange(200).reshape(10, 20)
    np.testing.assert_array_equal(grid[box.window], grid[2:6, 5:12])


def test_the_smallest_box_is_named():
    boxes = {"a": Box(0, 0, 10, 20), "b": Box(5, 5, 9, 25), "c": Box(0, 0, 30, 30)}
    assert describe_boxes(boxes) == "looks at boxes of 10x20 (rows x columns; median of 3), the smallest 4x20 (b)"


@pytest.mark.parametrize("side", [16, 64])  # smaller and larger than the box
def test_a_reader_sees_what_a_cropped_image_would_show(shared_hands, side):
    entry = shared_hands.train()[1]
    box = Box(4, 10, 58, 40)
    root = shared_hands.workspace.root / RAW
    image, masks = (np.load(root / f"{name}1.npy") for name in ("hand", "mask"))
    rows, columns = box.size_hw
    size_hw = (side, round(columns * side / rows))
    sample = GridReader(shared_hands.workspace, shared_hands.track, side, boxes={entry.sample: box}).read(entry)
    np.testing.assert_array_equal(sample.images[0], resize_image(image[4:58, 10:40], size_hw))
    # The pixel under each centre of the grid.
    down, across = ((2 * np.arange(n) + 1) * have // (2 * n) for n, have in zip(size_hw, (rows, columns), strict=True))
    expected = masks[:, 4:58, 10:40][:, down][:, :, across]
    np.testing.assert_array_equal(unpack_planes(sample.planes, 3), expected)
    # Grey values are standardised as in the whole picture.
    assert sample.mean == pytest.approx((image.mean(),))
    assert sample.std == pytest.approx((image.std(),))


def test_a_reader_without_boxes_sees_all(shared_hands):
    entry = shared_hands.train()[1]
    assert GridReader(shared_hands.workspace, shared_hands.track, 32).box(entry) == Box(0, 0, 61, 47)


def test_augmentation_is_as_fine_as_the_largest_box(shared_hands, tiny_experiment):
    entries = shared_hands.train()
    settings = tiny_experiment(data={"size": 16, "oversample": 3}).data
    for size_hw, factor in (((5, 5), 1), ((16, 9), 1), ((20, 17), 2), ((33, 20), 3), ((60, 40), 3)):
        boxes = {entry.sample: Box(0, 0, 5, 5) for entry in entries} | {entries[-1].sample: Box(0, 0, *size_hw)}
        assert oversampling(entries, shared_hands.track, settings, boxes) == factor


def test_draws_are_made_from_the_boxes(shared_hands, tiny_experiment):
    entry = shared_hands.train()[0]
    experiment = tiny_experiment(data={"size": 32, "oversample": 1})
    boxes = {entry.sample: Box(0, 0, 32, 32)}
    whole = np.load(shared_hands.workspace.root / RAW / "hand0.npy")
    drawn = TrainingSet([entry], shared_hands.workspace, shared_hands.track, experiment, boxes=boxes)[0, 0]
    np.testing.assert_array_equal(drawn.images[0, 0], whole[:32, :32])
