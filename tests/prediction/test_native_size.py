"""What is counted on the device is what the stored map at threshold 0.5 gives, packed and counted as bits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from competition.data.boxes import Box
from competition.data.cache import read_label_planes
from competition.data.grid import GridReader
from competition.masks.bit_planes import class_areas, intersections, pack_masks
from competition.prediction import grid_maps
from competition.prediction.native_size import count_native, to_native
from competition.prediction.predictor import Predictor, predict_counts, predict_map
from competition.prediction.probability_maps import HALF_LEVEL, quantise

CLASSES = 11


def counts_of_map(levels, planes):
    """The counts of a whole map, packed into bits."""
    predicted, classes = pack_masks(levels > HALF_LEVEL), len(levels)
    overlap = intersections(predicted, planes, classes)
    return np.stack([overlap, class_areas(predicted, classes), class_areas(planes, classes)])


def blobs(grid_hw, seed):
    """Smooth probabilities (C, h, w): empty, full, exactly 0.5, lone pixels, a block, and roundings away from 0.5."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, CLASSES, 4, 5, generator=draw)
    probs = F.interpolate(coarse, size=grid_hw, mode="bicubic")[0].clamp(0, 1)
    probs[0], probs[1], probs[2] = 0.4, 0.9, 0.5
    probs[3], probs[4], probs[5] = 0.1, 0.2, 0.5
    probs[3, 0, -1] = probs[4, grid_hw[0] // 2, grid_hw[1] // 3] = 0.99
    probs[5, -1, 0] = 0.5 + 2**-24  # the next float32
    rows, columns = (slice(side // 8, 5 * side // 8) for side in grid_hw)
    probs[6:8] = 0.1
    probs[6, rows, columns] = 0.9
    probs[7, rows, columns] += 0.4 + torch.randint(-2, 3, probs[7, rows, columns].shape, generator=draw) * 2**-24
    return probs


def labels(size_hw, seed):
    return pack_masks(np.random.default_rng(seed).random((CLASSES, *size_hw)) < 0.4)


@pytest.mark.parametrize("piece", [1, grid_maps.NATIVE_CHUNK_PIXELS])  # a class at a time, as for large images; all
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("grid_hw", "size_hw"),
    [
        ((40, 30), (40, 30)),
        ((40, 30), (80, 60)),
        ((96, 70), (384, 280)),
        ((33, 150), (264, 1200)),
        ((20, 30), (80, 60)),
        ((40, 30), (120, 90)),  # three times
        ((40, 30), (80, 120)),  # other factors of the sides
        ((40, 30), (61, 47)),
        ((64, 48), (32, 24)),  # the grid is finer
        ((1, 1), (3, 700)),
    ],
)
def test_counts_are_those_of_the_whole_map(monkeypatch, grid_hw, size_hw, form, piece):
    monkeypatch.setattr(grid_maps, "NATIVE_CHUNK_PIXELS", piece)
    probs = blobs(grid_hw, seed=grid_hw[0])[None].contiguous(memory_format=form)[0]
    planes = labels(size_hw, seed=1)
    found = count_native(probs, Box(0, 0, *size_hw), planes)
    assert found.dtype == np.int64
    expected = counts_of_map(to_native(probs, size_hw), planes)
    assert expected[1, 1] == size_hw[0] * size_hw[1]
    assert not expected[1, 0]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("piece", [1, grid_maps.NATIVE_CHUNK_PIXELS])
def test_nothing_is_predicted_outside_of_a_box(monkeypatch, piece):
    monkeypatch.setattr(grid_maps, "NATIVE_CHUNK_PIXELS", piece)
    probs, planes, box = blobs((40, 30), seed=5), labels((200, 100), seed=2), Box(17, 9, 97, 69)
    pasted = np.zeros((CLASSES, 200, 100), np.uint8)
    pasted[:, *box.window] = to_native(probs, box.size_hw)
    np.testing.assert_array_equal(count_native(probs, box, planes), counts_of_map(pasted, planes))


def test_a_level_is_positive_exactly_where_a_probability_is_above_one_half():
    around = np.float32(0.5).view(np.int32) + np.arange(-100_000, 100_000, dtype=np.int32)
    probs = np.concatenate([around.view(np.float32), np.linspace(0, 1, 100_001, dtype=np.float32)])
    np.testing.assert_array_equal(quantise(torch.from_numpy(probs)).numpy() > HALF_LEVEL, probs > 0.5)


class Blur(nn.Module):
    """Answers from the neighbourhood of a pixel, so that views and tiles differ; out of memory at first."""

    def __init__(self, failures=0):
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 5, padding=2)
        torch.nn.init.normal_(self.layer.weight, generator=torch.Generator().manual_seed(3))
        torch.nn.init.zeros_(self.layer.bias)
        self.failures = failures

    def forward(self, images):
        self.failures -= 1
        if self.failures >= 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.layer(images)


@pytest.mark.parametrize("failures", [0, 1])
@pytest.mark.parametrize("box", [None, Box(4, 10, 58, 40)], ids=str)
@pytest.mark.parametrize("predict", [{}, {"tile": 16}, {"views": ["hflip", "identity", "rotate90"]}])
def test_a_predictor_counts_what_its_map_shows(shared_hands, tiny_experiment, predict, box, failures):
    entry, experiment = shared_hands.train()[1], tiny_experiment(data={"size": 32}, predict=predict)
    boxes = None if box is None else {entry.sample: box}
    reader = GridReader(shared_hands.workspace, shared_hands.track, 32, budget_bytes=0, boxes=boxes)
    predictor = Predictor((Blur(),), experiment, shared_hands.track, reader, torch.device("cpu"), None)
    views, truth = experiment.predict.views, read_label_planes(shared_hands.workspace, shared_hands.track, entry.sample)
    expected = counts_of_map(predict_map(predictor, entry, views), truth)
    assert expected[0].any()
    found = predict_counts(replace(predictor, models=(Blur(failures),)), entry, views, truth, reader.read(entry))
    np.testing.assert_array_equal(found, expected)
