"""Maps on their grid have the values of whole maps, and each model's mean is that of a predictor of it alone."""

import numpy as np
import pytest
import torch
from torch import nn

from competition.data.boxes import Box
from competition.data.grid import GridReader
from competition.prediction import grid_maps as module
from competition.prediction import native_size
from competition.prediction.grid_maps import GridMap
from competition.prediction.native_size import to_native
from competition.prediction.predictor import (
    Predictor,
    predict_map,
    predict_model_scores,
    predict_on_grid,
    predict_scores,
)
from competition.prediction.probability_maps import quantise


class Blur(nn.Module):
    """Answers from the neighbourhood of a pixel, so that views differ."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Conv2d(1, 3, 5, padding=2)

    def forward(self, images):
        return 3 * self.layer(images)


def predictor_of(prepared, experiment, models, box=None, sample=""):
    boxes = None if box is None else {sample: box}
    reader = GridReader(prepared.workspace, prepared.track, experiment.data.size, budget_bytes=0, boxes=boxes)
    return Predictor(tuple(models), experiment, prepared.track, reader, torch.device("cpu"), None)


@pytest.mark.parametrize("at_once", [1, 2 * 61 * 47, 1 << 20])  # one class at a time, two, or all
@pytest.mark.parametrize("box", [None, Box(4, 10, 58, 40)], ids=str)
@pytest.mark.parametrize("views", [("identity",), ("identity", "hflip", "rotate90")], ids=len)
@pytest.mark.parametrize("models", [1, 3])
def test_grid_maps_are_whole_maps(shared_hands, tiny_experiment, monkeypatch, at_once, box, views, models):
    monkeypatch.setattr(module, "NATIVE_CHUNK_PIXELS", at_once)
    entry = shared_hands.manifest.entries[1]
    networks = [Blur(seed) for seed in range(models)]
    predictor = predictor_of(shared_hands, tiny_experiment(), networks, box, entry.sample)
    mean, own = predict_on_grid(predictor, entry, views)
    assert len(own) == models
    alone = [predictor_of(shared_hands, tiny_experiment(), [network], box, entry.sample) for network in networks]
    place = box or Box(0, 0, 61, 47)
    for probs, expected in zip((mean, *own), (predictor, *alone), strict=True):
        whole = predict_map(expected, entry, views)
        found = GridMap(probs, place, (61, 47), to_native)
        assert found.shape == whole.shape
        for index in (2, 0, 1, 0):
            np.testing.assert_array_equal(found[index, slice(None), slice(None)], whole[index])
            np.testing.assert_array_equal(found[index, slice(3, 20), slice(5, 46)], whole[index, 3:20, 5:46])


def test_a_map_at_another_size_is_that_of_an_image_of_that_size():
    probs = torch.rand(3, 8, 6, generator=torch.Generator().manual_seed(0))
    whole = GridMap(probs, Box(0, 0, 32, 24), (32, 24), to_native)
    assert whole.sharpest_hw == (8, 6)
    for size_hw in ((8, 6), (16, 12), (32, 24)):
        expected = to_native(probs, size_hw)
        found = whole.at_size(size_hw)
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found[1, slice(None), slice(None)], expected[1])


def test_the_box_of_a_map_moves_with_the_size_of_the_image():
    probs = torch.full((1, 8, 6), 0.9)
    part = GridMap(probs, Box(8, 5, 24, 11), (32, 24), to_native)
    assert part.sharpest_hw == (16, 24)  # half a pixel of the grid per row, one per column
    seen = part.at_size((16, 12))[0, slice(None), slice(None)] > 0
    expected = np.zeros((16, 12), bool)
    expected[4:12, 2:6] = True  # columns 2.5 to 5.5, grown to whole ones
    np.testing.assert_array_equal(seen, expected)
    edge = GridMap(probs, Box(31, 23, 32, 24), (32, 24), to_native).at_size((4, 3))
    assert np.argwhere(edge[0, slice(None), slice(None)]).tolist() == [[3, 2]]


def test_a_map_finer_than_the_image_is_no_sharper_than_it():
    assert GridMap(torch.zeros(1, 50, 40), Box(0, 0, 25, 20), (25, 20), to_native).sharpest_hw == (25, 20)


class Sum(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, images, present):
        total = self.factor * images.flatten(2).std(dim=2).sum(1) + images[:, 0, 0, 0, 0]
        return torch.stack([total, 0.5 * total, -total], dim=1)


def test_scores_of_each_model_beside_their_mean(shared_patients, tiny_experiment):
    experiment, entry = tiny_experiment(multiview=True), shared_patients.manifest.entries[0]
    models = [Sum(0.1), Sum(-0.2), Sum(0.3)]
    views = ["identity", "hflip"]
    mean, own = predict_model_scores(predictor_of(shared_patients, experiment, models), entry, views)
    alone = [predict_scores(predictor_of(shared_patients, experiment, [model]), entry, views) for model in models]
    np.testing.assert_array_equal(own, np.stack(alone))
    np.testing.assert_allclose(mean, np.mean(alone, axis=0), rtol=1e-12)
    np.testing.assert_array_equal(mean, predict_scores(predictor_of(shared_patients, experiment, models), entry, views))


@pytest.mark.parametrize("pixels", [1, 100, 700, 1 << 20])
def test_pieces_of_any_size_give_the_same_values(monkeypatch, pixels):
    probs = torch.rand(3, 8, 6, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(probs[None], size=(31, 23), mode="bilinear", align_corners=False)[0]
    monkeypatch.setattr(module, "NATIVE_CHUNK_PIXELS", pixels)
    monkeypatch.setattr(native_size, "NATIVE_CHUNK_PIXELS", pixels)
    np.testing.assert_array_equal(to_native(probs, (31, 23)), quantise(expected).numpy())
