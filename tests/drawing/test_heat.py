"""Heat over pictures, by matplotlib's own colours."""

import matplotlib
import numpy as np

from competition.drawing.heat import STRONGEST, heat_bar, heat_overlay


def inferno(value):
    return np.array(matplotlib.colormaps["inferno"](value)[:3]) * 255


def test_the_hotter_a_place_the_more_of_its_colour_shows():
    picture = np.full((2, 3, 3), 100, np.uint8)
    values = np.array([[0.0, 1.0, 2.0], [-1.0, 4.0, 9.0]])
    drawn = heat_overlay(picture, values, hottest=4.0)
    for place, strength in (((0, 0), 0), ((0, 1), 0.25), ((0, 2), 0.5), ((1, 0), 0), ((1, 1), 1), ((1, 2), 1)):
        opacity = STRONGEST * strength
        expected = 100 * (1 - opacity) + inferno(float(strength)) * opacity
        np.testing.assert_allclose(drawn[place], expected, atol=3)
    assert (picture == 100).all()


def test_an_empty_map_leaves_the_picture_as_it_is_and_any_size_fits():
    picture = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(heat_overlay(picture, np.zeros((40, 30)), 0.0), picture)
    hot = heat_overlay(picture, np.ones((2, 2), np.float32), 1.0)
    np.testing.assert_allclose(hot, picture * (1 - STRONGEST) + inferno(1.0) * STRONGEST, atol=2)


def test_the_bar_runs_from_hot_at_the_top_to_cold():
    bar = heat_bar(50, 4)
    assert bar.shape == (50, 4, 3)
    np.testing.assert_allclose(bar[0, 0], inferno(1.0), atol=2)
    np.testing.assert_allclose(bar[-1, 3], inferno(0.0), atol=2)
