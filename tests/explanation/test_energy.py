"""Shares of energy, counted by hand, and the regions that they are of."""

import cv2
import numpy as np
import pytest

from competition.explanation.energy import energy_share, energy_shares, margin_region, text_region
from competition.tracks.aneurysm.cleaning import clean_angiogram


def test_a_share_is_the_part_of_the_positive_sum_over_all_views():
    maps = [np.array([[3.0, 1.0], [-5.0, 0.0]]), np.array([[4.0, 2.0]])]
    regions = [np.array([[True, False], [True, False]]), np.array([[False, True]])]
    share = energy_share(maps, regions)
    assert share.energy == pytest.approx((3 + 2) / 10)
    assert share.area == pytest.approx(3 / 6)
    assert share.ratio == pytest.approx(1)


def test_a_uniform_map_has_the_share_of_the_area_and_an_empty_one_none():
    region = np.zeros((10, 10), bool)
    region[:3, :3] = True
    assert energy_share([np.ones((10, 10))], [region]).ratio == pytest.approx(1)
    assert np.isnan(energy_share([np.zeros((10, 10))], [region]).energy)
    assert np.isnan(energy_share([np.ones((10, 10))], [np.zeros((10, 10), bool)]).ratio)


def test_the_margin_is_a_twentieth_of_each_side_and_black_borders():
    image = np.full((100, 200), 90, np.uint8)
    margin = margin_region(image)
    assert not margin[5:95, 10:190].any()
    assert margin.sum() == 100 * 200 - 90 * 180
    image[:20], image[:, 150:] = 0, 20  # a black bar above, and one on the right as JPEG leaves it
    margin = margin_region(image)
    assert not margin[20:95, 10:150].any()
    assert margin.sum() == 100 * 200 - 75 * 140


def test_a_dark_background_with_a_bright_object_is_no_border():
    image = np.zeros((200, 200), np.uint8)
    image[20:180, 98:102] = 150  # a finger, four of two hundred pixels wide
    assert margin_region(image).sum() == 200 * 200 - 180 * 180
    assert margin_region(np.zeros((40, 40), np.uint8)).sum() == 40 * 40 - 36 * 36  # black everywhere is not bordered


def angiogram_with_text():
    still = np.clip(np.random.default_rng(0).normal(190, 3, (400, 400)), 0, 255).astype(np.uint8)
    for row in range(4):
        cv2.putText(still, "FOV: 20 cm", (10, 320 + 16 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1)
    return still


def test_burned_in_text_is_marked_until_it_is_cleaned_away():
    still = angiogram_with_text()
    text = text_region(still)
    assert text[still == 255].mean() > 0.95
    assert not text[:264].any()
    assert not text[:, 200:].any()
    assert not text_region(clean_angiogram(still)).any()
    assert not text_region(np.full((20, 20), 255, np.uint8)).any()


def test_colour_images_and_targets_are_counted_in_the_same_way():
    still = angiogram_with_text()
    where = still == 255
    shares = energy_shares([where.astype(float)], [np.repeat(still[..., None], 3, axis=2)], [where])
    assert list(shares) == ["target", "text", "margin"]
    assert shares["target"].energy == 1
    assert shares["target"].area == pytest.approx(where.mean())
    assert shares["text"].energy > 0.95
    assert list(energy_shares([where.astype(float)], [still])) == ["text", "margin"]
