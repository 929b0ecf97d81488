"""The overlay: the image stays as it is but for outlines and numbers, and the key lists what was found."""

import numpy as np
import pytest

from competition.drawing import class_key
from competition.drawing.class_key import PAPER
from competition.drawing.outlines import class_colours
from competition.drawing.overlay import draw_overlay
from competition.masks.bit_planes import pack_masks
from competition.masks.objects import instance_pixels, join_classes

CLASSES = ("femur", "tibia", "patella")


def squares(height, width, *boxes):
    """A mask (C, H, W) for each box of rows and columns."""
    masks = np.zeros((len(boxes), height, width), bool)
    for mask, (top, bottom, left, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return masks


def grey(height, width):
    return np.random.default_rng(0).integers(0, 90, (height, width), dtype=np.uint8)


@pytest.fixture
def texts(monkeypatch):
    """Every text of the key."""
    written = []
    original = class_key.draw_text

    def draw(picture, text, *rest, **options):
        written.append(text)
        original(picture, text, *rest, **options)

    monkeypatch.setattr(class_key, "draw_text", draw)
    return written


LARGE = pytest.mark.exhaustive


@pytest.mark.parametrize("colour", [False, True])
def test_only_outlines_and_numbers_cover_a_large_image(colour):
    masks = squares(700, 900, (100, 300, 200, 400), (350, 600, 100, 500), (0, 0, 0, 0))
    image = grey(700, 900)
    image = np.stack([image, image // 2, image // 3], axis=2) if colour else image
    overlay = draw_overlay(image, pack_masks(masks), CLASSES, None)
    rgb = image if colour else np.repeat(image[..., None], 3, axis=2)
    changed = (overlay[:700, :900] != rgb).any(axis=2)
    allowed = np.zeros_like(changed)
    for top, bottom, left, right in ((100, 300, 200, 400), (350, 600, 100, 500)):
        assert changed[top:bottom, left].all()
        assert changed[top, left:right].all()
        allowed[top - 3 : bottom + 3, left - 3 : right + 3] = True
        allowed[top + 3 : bottom - 3, left + 3 : right - 3] = False
        row, column = (top + bottom) // 2, (left + right) // 2
        number = slice(row - 12, row + 12), slice(column - 12, column + 12)
        assert changed[number].any()
        allowed[number] = True
    assert not changed[~allowed].any()


def test_the_key_has_number_name_and_size_of_what_is_there(texts):
    masks = squares(400, 300, (10, 50, 10, 60), (0, 0, 0, 0), (100, 300, 50, 250))
    overlay = draw_overlay(grey(400, 300), pack_masks(masks), CLASSES, None)
    assert texts == ["1", "femur", "2,000 px", "3", "patella", "40,000 px", "", "not found: 1 of 3", ""]
    key = overlay[:, 600:].reshape(-1, 3)
    shown = [(key == colour).all(axis=1).sum() > 50 for colour in class_colours(3)]
    assert shown == [True, False, True]


def test_sizes_are_areas_where_the_spacing_is_known(texts):
    masks = squares(400, 300, (10, 50, 10, 60), (0, 10, 0, 10), (100, 300, 50, 250))
    draw_overlay(grey(400, 300), pack_masks(masks), CLASSES, (0.5, 0.25))
    assert [text for text in texts if "mm2" in text] == ["250 mm2", "12.5 mm2", "5,000 mm2"]


def test_an_image_of_nothing_says_so(texts):
    draw_overlay(grey(40, 30), pack_masks(squares(40, 30, (0, 0, 0, 0))), ("femur",), None)
    assert texts == ["", "no class found", ""]


@pytest.mark.parametrize(("size_hw", "factor"), [((128, 128), 7), ((8, 9), 100), ((700, 900), 1), ((1100, 1500), 1)])
def test_a_small_image_is_enlarged_by_a_whole_number(size_hw, factor):
    image = np.full(size_hw, 60, np.uint8)
    overlay = draw_overlay(image, pack_masks(np.zeros((1, *size_hw), bool)), ("femur",), None)
    height, width = factor * size_hw[0], factor * size_hw[1]
    assert (overlay[:height, :width] == 60).all()
    assert max(height, width) >= 700


@pytest.mark.parametrize(
    "size_hw",
    [(128, 128), (64, 900), (900, 64), pytest.param((2048, 2048), marks=LARGE), pytest.param((300, 2048), marks=LARGE)],
    ids=str,
)
def test_the_key_of_29_classes_is_complete_and_not_cut_off(texts, monkeypatch, size_hw):
    height, width = size_hw
    names = [f"finger-{number}" for number in range(29)]
    masks = np.zeros((29, *size_hw), bool)
    for number, mask in enumerate(masks):
        row, column = divmod(number, 6)
        mask[row * height // 5 : (row + 1) * height // 5, column * width // 6 : (column + 1) * width // 6] = True
    overlay = draw_overlay(grey(*size_hw), pack_masks(masks), names, None)
    assert texts[1::3] == names
    factor = max(1, round(900 / max(size_hw)))
    beside = np.array(overlay)
    beside[: factor * height, : factor * width] = PAPER  # the key alone
    empty = (beside == PAPER).all(axis=2)
    assert not empty.all()
    assert empty[0].all()
    assert empty[-1].all()
    assert empty[:, -1].all()
    colours = {colour: (beside == colour).all(axis=2) for colour in class_colours(29)}
    assert all(swatch.any() for swatch in colours.values())


def test_touching_objects_have_an_outline_each():
    numbers = np.zeros((900, 900), np.int64)
    numbers[300:600, 200:450], numbers[300:600, 450:700] = 1, 2
    masks, objects = pack_masks(numbers[None] > 0), join_classes((900, 900), [instance_pixels(numbers)])
    whole, apart = (draw_overlay(grey(900, 900), masks, ("cell",), None, found) for found in (None, objects))
    between = np.s_[320:380, 445:455]
    assert np.ptp(whole[between], axis=2).max() == 0  # nothing but grey
    assert (np.ptp(apart[between], axis=2).max(axis=1) > 100).all()
