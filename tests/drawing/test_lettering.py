"""Text lies where its anchor says, within its width, and is cut off at the border of a picture."""

import numpy as np
import pytest

from competition.drawing.lettering import draw_text, drawable, text_width


def columns_of(picture):
    return np.flatnonzero(picture.any(axis=(0, 2)))


@pytest.mark.parametrize("size", [15, 40])
@pytest.mark.parametrize(("anchor", "begins", "ends"), [("lm", 0, 1), ("mm", -0.5, 0.5), ("rm", -1, 0)])
def test_a_text_lies_at_its_anchor(size, anchor, begins, ends):
    picture = np.zeros((100, 600, 3), np.uint8)
    draw_text(picture, "finger-12", (300, 50), size, (255, 200, 100), anchor=anchor)
    found, width = columns_of(picture), text_width("finger-12", size)
    assert found[0] == pytest.approx(300 + begins * width, abs=2 + size / 12)
    assert found[-1] == pytest.approx(300 + ends * width, abs=2 + size / 12)
    rows = np.flatnonzero(picture.any(axis=(1, 2)))
    assert abs(rows.mean() - 50) < size / 3
    assert picture.reshape(-1, 3).max(axis=0).tolist() == [255, 200, 100]


def test_a_halo_darkens_what_is_around_the_letters():
    plain, framed = (np.full((60, 60, 3), 120, np.uint8) for _ in range(2))
    draw_text(plain, "8", (30, 30), 30, (255, 255, 255), anchor="mm")
    draw_text(framed, "8", (30, 30), 30, (255, 255, 255), anchor="mm", halo=3)
    assert plain.min() >= 120
    assert framed.min() == 0


def test_what_is_outside_of_a_picture_is_cut_off():
    whole = np.zeros((80, 80, 3), np.uint8)
    draw_text(whole, "88", (40, 40), 40, (255, 255, 255), anchor="mm")
    part = np.zeros((40, 40, 3), np.uint8)
    draw_text(part, "88", (40, 40), 40, (255, 255, 255), anchor="mm")
    np.testing.assert_array_equal(part, whole[:40, :40])
    draw_text(part, "88", (400, 400), 40, (255, 255, 255))
    np.testing.assert_array_equal(part, whole[:40, :40])


@pytest.mark.parametrize(
    ("text", "shown"), [("f\u00e9mur", "femur"), ("\u811b\u9aa8", "??"), ("Trapezium (R)", "Trapezium (R)"), ("", "")]
)
def test_other_writing_systems_become_question_marks(text, shown):
    assert drawable(text) == shown
    assert (text_width(text, 20) > 0) == bool(text)
