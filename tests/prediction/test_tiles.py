from itertools import pairwise

import numpy as np
import pytest
import torch

from competition.prediction.tile_grid import tile_starts
from competition.prediction.tiles import gaussian_weight, predict_tiles

SIZES = [(32, 32), (33, 32), (64, 40), (50, 127), (95, 96)]


@pytest.mark.parametrize("length", [*range(16, 90), 513])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
def test_tiles_cover_every_pixel_overlap_enough_and_end_at_the_border(length, overlap):
    starts = tile_starts(length, 16, overlap)
    covered = np.zeros(length, int)
    for start in starts:
        assert 0 <= start <= length - 16
        covered[start : start + 16] += 1
    assert covered.min() > 0
    assert starts[0] == 0
    assert starts[-1] + 16 == length
    assert starts == sorted(set(starts))
    assert all(start + 16 - following >= 16 * overlap for start, following in pairwise(starts))


def test_no_more_tiles_than_needed():
    assert tile_starts(16, 16, 0.5) == [0]
    assert tile_starts(10, 16, 0.5) == [0]
    assert tile_starts(32, 16, 0.0) == [0, 16]
    assert tile_starts(32, 16, 0.5) == [0, 8, 16]
    assert tile_starts(17, 16, 0.0) == [0, 1]


def test_the_weight_is_a_gaussian_with_a_floor():
    weight = gaussian_weight(16, 16).numpy()
    expected = np.empty((16, 16))
    for row in range(16):
        for column in range(16):
            square = (row - 7.5) ** 2 + (column - 7.5) ** 2
            expected[row, column] = max(1e-3, np.exp(-square / (2 * 2.0**2)))
    np.testing.assert_allclose(weight, expected, rtol=1e-5)


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.7])
def test_a_pointwise_model_gives_what_it_gives_for_the_whole_image(size_hw, overlap):
    image = torch.randn(1, 2, *size_hw, generator=torch.Generator().manual_seed(0))

    def predict(pixels):
        return torch.cat([pixels.sigmoid(), (pixels[:, :1] - pixels[:, 1:]).sigmoid()], dim=1)

    torch.testing.assert_close(predict_tiles(predict, image, 32, overlap), predict(image), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size_hw", SIZES)
def test_a_constant_answer_stays_constant(size_hw):
    result = predict_tiles(lambda pixels: torch.full((1, 3, 32, 32), 0.3), torch.zeros(1, 1, *size_hw), 32, 0.5)
    torch.testing.assert_close(result, torch.full((1, 3, *size_hw), 0.3))


def test_overlapping_tiles_are_blended_by_their_weights_pixel_by_pixel():
    answers = iter([0.1, 0.9, 0.4, 0.7, 0.2, 0.5])
    size_hw, tile = (20, 27), 16
    given = []

    def predict(pixels):
        given.append(next(answers))
        return torch.full((1, 1, tile, tile), given[-1])

    result = predict_tiles(predict, torch.zeros(1, 1, *size_hw), tile, 0.4)[0, 0].numpy()
    tops, lefts = tile_starts(20, tile, 0.4), tile_starts(27, tile, 0.4)
    assert (tops, lefts) == ([0, 4], [0, 6, 11])
    bell = gaussian_weight(tile, tile).double().numpy()
    for row in range(20):
        for column in range(27):
            total = weights = 0.0
            for number, (top, left) in enumerate((top, left) for top in tops for left in lefts):
                if top <= row < top + tile and left <= column < left + tile:
                    total += given[number] * bell[row - top, column - left]
                    weights += bell[row - top, column - left]
            assert result[row, column] == pytest.approx(total / weights, rel=1e-5)


@pytest.mark.parametrize("finer", [2, 4])
@pytest.mark.parametrize("size_hw", SIZES)
def test_a_finer_answer_is_put_back_on_the_finer_grid(size_hw, finer):
    rows, columns = torch.meshgrid(torch.arange(size_hw[0]).float(), torch.arange(size_hw[1]).float(), indexing="ij")
    image = torch.stack([rows, columns])[None]

    def enlarge(pixels):  # and say where within its pixel each one is
        large = pixels.repeat_interleave(finer, 2).repeat_interleave(finer, 3)
        place = torch.arange(finer).repeat(large.shape[-1] // finer)
        return torch.cat([large, place.expand(1, 1, large.shape[-2], -1)], dim=1)

    torch.testing.assert_close(predict_tiles(enlarge, image, 32, 0.5), enlarge(image))


def test_finer_tiles_are_blended_by_a_gaussian_of_their_own_size():
    answers = iter([0.2, 0.8])
    found = predict_tiles(lambda _: torch.full((1, 1, 32, 32), next(answers)), torch.zeros(1, 1, 16, 24), 16, 0.4)
    bell = np.exp(-0.5 * ((np.arange(32) - 15.5) / 4) ** 2)
    for column in (15, 16, 23, 24, 31, 32):
        first = bell[column] if column < 32 else 0.0
        second = bell[column - 16] if column >= 16 else 0.0
        share = [max(1e-3, weight * bell[15]) if weight else 0.0 for weight in (first, second)]
        expected = (0.2 * share[0] + 0.8 * share[1]) / sum(share)
        assert found[0, 0, 15, column].item() == pytest.approx(expected, rel=1e-4)


def test_every_tile_is_cut_where_it_is_put_back():
    # A model that answers the position it was shown would show any shift.
    rows, columns = torch.meshgrid(torch.arange(45.0), torch.arange(39.0), indexing="ij")
    image = torch.stack([rows, columns])[None]
    torch.testing.assert_close(predict_tiles(lambda pixels: pixels.clone(), image, 32, 0.5), image)


def test_equals_monai_where_its_tiles_are_the_same():
    inferers = pytest.importorskip("monai.inferers")
    image = torch.randn(1, 1, 64, 96, generator=torch.Generator().manual_seed(2))

    def predict(pixels):  # depends on the place within the tile, so that the blending shows
        ramp = torch.linspace(0, 1, 32)
        return (pixels + ramp + ramp[:, None]).sigmoid()

    options = {"overlap": 0.5, "mode": "gaussian", "sigma_scale": 0.125}
    expected = inferers.sliding_window_inference(image, (32, 32), 1, predict, **options)
    torch.testing.assert_close(predict_tiles(predict, image, 32, 0.5), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("at_once", [2, 4, 100])
def test_several_tiles_at_once_give_the_same_sums(at_once):
    image = torch.randn(1, 2, 70, 90, generator=torch.Generator().manual_seed(0))
    shown = []

    def predict(pixels):  # every tile has its own answer
        shown.append(len(pixels))
        return pixels.sigmoid().cumsum(dim=-1) / pixels.shape[-1]

    expected = predict_tiles(predict, image, 32, 0.5)
    count = len(shown)
    assert shown == [1] * count
    shown.clear()
    torch.testing.assert_close(predict_tiles(predict, image, 32, 0.5, None, at_once), expected, rtol=0, atol=0)
    assert shown == [min(at_once, count - first) for first in range(0, count, at_once)]
