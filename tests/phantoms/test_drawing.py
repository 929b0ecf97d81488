import cv2
import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.phantoms import drawing


def test_smooth_outline_goes_through_a_circle():
    around = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(around), np.sin(around)], axis=1) * 10
    curve = drawing.smooth_outline(circle, 200)
    assert curve.shape == (200, 2)
    np.testing.assert_allclose(curve[0], circle[0])
    np.testing.assert_allclose(np.hypot(*curve.T), 10, atol=0.02)
    steps = np.hypot(*(curve - np.roll(curve, 1, axis=0)).T)
    np.testing.assert_allclose(steps, 2 * np.pi * 10 / 200, rtol=0.02)


def test_fill_polygon_includes_the_boundary_and_the_last_pixel():
    mask = drawing.fill_polygon(np.array([[2, 2], [4, 2], [4, 4], [2, 4]], np.int32), (5, 5))
    expected = np.zeros((5, 5), np.uint8)
    expected[2:5, 2:5] = 1
    np.testing.assert_array_equal(mask, expected)


def test_inner_distance_of_a_bar():
    mask = np.zeros((9, 40), np.uint8)
    mask[2:7] = 1
    distance = drawing.inner_distance(mask, 2.0)
    np.testing.assert_allclose(distance[:, 20], [0, 0, 1, 3, 5, 3, 1, 0, 0], atol=0.2)


def test_a_rods_edges_are_brighter_than_its_middle_and_solid_bone_is_its_chord():
    edge = np.linspace(0.01, 10, 100, dtype=np.float32)[None]
    radius, none = np.full_like(edge, 10), np.zeros_like(edge)
    solid = drawing.shell_path(edge, radius, np.full_like(edge, 10), none)
    np.testing.assert_allclose(solid, 2 * np.sqrt(100 - (10 - edge) ** 2), rtol=1e-4)
    tube = drawing.shell_path(edge, radius, np.full_like(edge, 2), none)[0]
    assert abs(edge[0, tube.argmax()] - 2.0) < 0.2
    assert tube[-1] == pytest.approx(4.0, abs=1e-3)
    full = drawing.shell_path(edge, radius, np.full_like(edge, 2), np.ones_like(edge))
    np.testing.assert_allclose(full, solid, rtol=1e-4)
    assert drawing.shell_path(none, radius, none + 2, none).max() == 0


def test_grain_has_unit_deviation_whatever_the_blur():
    for sigma in (0.0, 2.5):
        noise = drawing.grain(np.random.default_rng(1), (200, 300), sigma)
        assert noise.shape == (200, 300)
        assert noise.std() == pytest.approx(1.0, abs=0.01)
        assert noise.mean() == pytest.approx(0.0, abs=0.01)


def test_to_grey_cuts_off_and_rounds():
    np.testing.assert_array_equal(
        drawing.to_grey(np.array([[-1.0, 0.0, 0.5, 1.0, 7.0]], np.float32)), [[0, 0, 128, 255, 255]]
    )


def test_png_comes_back_as_written(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (7, 11), dtype=np.uint8)
    drawing.write_png(tmp_path / "a" / "grey.png", grey, channels=1)
    drawing.write_png(tmp_path / "a" / "three.png", grey, channels=3)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a" / "grey.png"), cv2.IMREAD_UNCHANGED), grey)
    three = cv2.imread(str(tmp_path / "a" / "three.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(three, np.repeat(grey[:, :, None], 3, axis=2))


def test_a_png_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(CompetitionError, match=r"a\.png"):
        drawing.write_png(tmp_path / "a.png", np.zeros((4, 4), np.uint8), channels=1)
