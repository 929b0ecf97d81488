"""The arithmetic without torch is that of prediction with torch: views, sizes, tiles, levels."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from competition.data import grid
from competition.export import arrays
from competition.models.probabilities import to_probabilities
from competition.prediction import native_size, predictor, probability_maps, tiles, tta_views
from competition.prediction.scaled_views import SCALES
from competition.prediction.tile_grid import blend_tiles
from competition.prediction.tta_views import VIEWS


def probabilities(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def test_all_views_are_known():
    assert list(arrays.TURNS) == list(VIEWS)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("size_hw", [(5, 7), (4, 4)])
def test_a_view_is_that_of_ttach_and_is_undone(view, size_hw):
    image = probabilities(1, 2, *size_hw)
    seen = arrays.see(image, view)
    np.testing.assert_array_equal(seen, VIEWS[view].augment_image(torch.from_numpy(image)).numpy())
    np.testing.assert_array_equal(arrays.see_back(seen[0], view, seen, image), image[0])
    answer = probabilities(1, 3, *seen.shape[-2:], seed=1)
    expected = VIEWS[view].deaugment_mask(torch.from_numpy(answer)).numpy()
    np.testing.assert_array_equal(arrays.see_back(answer[0], view, seen, image), expected[0])


@pytest.mark.parametrize("view", SCALES)
@pytest.mark.parametrize("finer", [1, 4])
@pytest.mark.parametrize("size_hw", [(32, 20), (7, 9), (1, 1)])
def test_a_scaled_view_is_that_of_torch(view, size_hw, finer):
    image = probabilities(1, 2, *size_hw)
    seen = arrays.see(image, view)
    expected = tta_views.see(torch.from_numpy(image), view)
    np.testing.assert_allclose(seen, expected.numpy(), atol=1e-5)
    answer = probabilities(1, 3, finer * seen.shape[-2], finer * seen.shape[-1], seed=1)
    back = tta_views.scale_back(torch.from_numpy(answer), view, expected, torch.from_numpy(image)).numpy()
    assert back.shape == (1, 3, finer * size_hw[0], finer * size_hw[1])
    np.testing.assert_allclose(arrays.see_back(answer[0], view, seen, image), back[0], atol=1e-5)


def test_views_are_standardised_alike_and_an_empty_one_is_not_divided_by_zero():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, 4, 5), dtype=np.uint8)
    mean, std = [100.5, 0.0, 7.25], [31.7, 0.0, 0.4]
    expected = grid.standardise(torch.from_numpy(pixels).float()[None], torch.tensor([mean]), torch.tensor([std]))[0]
    np.testing.assert_allclose(arrays.standardise(pixels, mean, std), expected.numpy(), rtol=1e-6, atol=1e-6)


def test_probabilities_are_those_of_torch_at_the_ends_too():
    logits = np.array([-1000, -90, -3.5, 0, 1e-3, 30, 1000], np.float32)
    np.testing.assert_allclose(
        arrays.sigmoid(logits), torch.from_numpy(logits).sigmoid().numpy(), rtol=1e-6, atol=1e-38
    )
    assert arrays.sigmoid(logits).dtype == np.float32
    assert arrays.sigmoid(logits.astype(np.float64)).dtype == np.float64


@pytest.mark.parametrize(
    ("grid_hw", "size_hw"),
    [
        ((8, 8), (31, 17)),
        ((20, 13), (20, 13)),
        ((29, 37), (4, 5)),
        ((1, 1), (3, 5)),
        ((7, 1), (1, 9)),
        ((13, 40), (41, 7)),
    ],
)
def test_sizes_change_as_in_torch(grid_hw, size_hw):
    probs = probabilities(3, *grid_hw)
    tensor = torch.from_numpy(probs)[None]
    expected = F.interpolate(tensor, size=size_hw, mode="bilinear", align_corners=False)[0].numpy()
    np.testing.assert_allclose(arrays.enlarge(probs, size_hw), expected, atol=1e-6)
    area = F.interpolate(tensor, size=size_hw, mode="area")[0].numpy()
    np.testing.assert_allclose(arrays.average(probs, size_hw), area, atol=1e-6)


@pytest.mark.parametrize("answer_hw", [(8, 12), (32, 48), (4, 6), (19, 27), (16, 24)])
@pytest.mark.parametrize("finest", [1, 2, 8])
def test_answers_come_to_the_same_whole_multiple(answer_hw, finest):
    probs = probabilities(2, *answer_hw)
    expected = predictor.to_whole_multiple(torch.from_numpy(probs)[None], (16, 24), finest)[0].numpy()
    found = arrays.to_whole_multiple(probs, (16, 24), finest)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_every_level_is_that_of_torch():
    probs = np.concatenate([(np.arange(256) + 0.5) / 255, np.arange(256) / 255, np.linspace(0, 1, 999)])
    probs = probs.clip(0, 1).astype(np.float32)
    expected = probability_maps.quantise(torch.from_numpy(probs)).numpy()
    np.testing.assert_array_equal(arrays.quantise(probs), expected)
    assert arrays.quantise(np.array([0.5], np.float32)) == probability_maps.HALF_LEVEL


@pytest.mark.parametrize("size_hw", [(31, 17), (9, 40), (1500, 900)])
def test_maps_at_native_size_are_those_of_torch_but_for_roundings(size_hw):
    probs = probabilities(3, 12, 16)
    expected = native_size.to_native(torch.from_numpy(probs), size_hw)
    found = arrays.to_native(probs, size_hw)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 4  # a level that is pulled to 0 or 255
    assert np.count_nonzero(found != expected) <= max(1, 1e-4 * found.size)


@pytest.mark.parametrize("finer", [1, 2])
@pytest.mark.parametrize("size_hw", [(40, 24), (16, 16), (33, 70)])
def test_tiles_are_blended_as_with_torch(size_hw, finer):
    image = probabilities(1, 2, *size_hw)

    def answer(pixels):
        big = pixels.repeat(finer, axis=-2).repeat(finer, axis=-1)
        return big * np.linspace(0.5, 1, big.shape[-1], dtype=np.float32)

    expected = tiles.predict_tiles(lambda x: torch.from_numpy(answer(x.numpy())), torch.from_numpy(image), 16, 0.4)
    one_by_one, zeros = partial(map, answer), partial(np.zeros, dtype=np.float32)
    found = blend_tiles(one_by_one, image, 16, 0.4, arrays.gaussian_weight, zeros)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sides", [(16, 16), (1, 30), (512, 96)])
def test_tiles_weigh_as_with_torch(sides):
    expected = tiles.gaussian_weight(*sides).numpy()
    np.testing.assert_allclose(arrays.gaussian_weight(*sides), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", [{}, {"exclusive": True}, {"task": "classification", "targets": "ordinal"}])
def test_probabilities_of_classes_that_exclude_each_other_are_those_of_torch(shared_hands, kind):
    track = replace(shared_hands.track, **kind)
    shape = (2, 3) if kind.get("task") else (2, 3, 4, 5)
    logits = np.random.default_rng(0).normal(0, 20, shape).astype(np.float32)
    expected = to_probabilities(torch.from_numpy(logits), track).numpy()
    found = arrays.to_probabilities(logits, track)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-30)
