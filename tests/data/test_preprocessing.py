from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from competition.data.datasets import TrainingSet
from competition.data.grid import GridReader, resize_image
from competition.data.loader import collate
from competition.data.preprocessing import PREPROCESSINGS, by_grid, check_preprocessing, preprocess
from competition.errors import CompetitionError
from competition.prediction.predictor import make_predictor, predict_map, predict_scores
from competition.training.losses import bce
from competition.training.steps import batch_loss


def picture(height: int = 23, width: int = 17) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width), dtype=np.uint8)


def test_sharpness_is_twice_the_picture_minus_its_smoothed_self() -> None:
    image = picture()
    values = image.astype(np.float64)
    expected = image.copy()  # the outermost pixels have no full neighbourhood and stay
    for row in range(1, 22):
        for column in range(1, 16):
            window = values[row - 1 : row + 2, column - 1 : column + 2]
            smooth = np.floor((window.sum() + 4 * values[row, column]) / 13 + 0.5)
            expected[row, column] = np.clip(2 * values[row, column] - smooth, 0, 255)
    np.testing.assert_array_equal(preprocess(image, ["sharpness"]), expected)


def test_contrast_doubles_the_distance_from_the_mean() -> None:
    image = picture()
    mean = int(image.mean() + 0.5)
    expected = np.clip(2 * image.astype(int) - mean, 0, 255)
    np.testing.assert_array_equal(preprocess(image, ["contrast"]), expected)


def test_saturation_doubles_the_distance_from_a_pixels_own_grey() -> None:
    colour = np.array([[[200, 100, 40], [90, 90, 90], [0, 0, 255]]], np.uint8)
    grey = np.rint(colour @ [0.299, 0.587, 0.114])[..., None]
    np.testing.assert_array_equal(preprocess(colour, ["saturation"]), np.clip(2.0 * colour - grey, 0, 255))
    np.testing.assert_array_equal(preprocess(picture(), ["saturation"]), picture())


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("brightness", {0: 0, 1: 2, 127: 254, 128: 255, 255: 255}),
        ("gamma", {0: 0, 1: 0, 16: 1, 128: 64, 200: 157, 255: 255}),
        ("invert", {0: 255, 1: 254, 128: 127, 255: 0}),
        ("invert_bright", {0: 255, 255: 0, 130: 125, 128: 127}),  # the mean is 128.25
        ("invert_bright", {0: 0, 255: 255, 126: 126, 129: 129}),  # the mean is 127.5
    ],
)
def test_single_values_by_hand(name: str, pairs: dict[int, int]) -> None:
    image = np.array([list(pairs)], np.uint8)
    assert preprocess(image, [name]).tolist() == [list(pairs.values())]


def test_the_median_of_every_window() -> None:
    image = picture()
    result = preprocess(image, ["median"])
    padded = np.pad(image, 1, mode="edge")
    for row in range(23):
        for column in range(17):
            assert result[row, column] == np.median(padded[row : row + 3, column : column + 3])


def test_clahe_stretches_a_flat_corner_and_leaves_a_colour_its_hue() -> None:
    flat = (100 + 8 * np.random.default_rng(0).random((128, 128))).astype(np.uint8)
    assert preprocess(flat, ["clahe"]).std() > 2 * flat.std()
    colour = np.dstack([flat, flat // 2, flat // 4])
    hue = cv2.cvtColor(preprocess(colour, ["clahe"]), cv2.COLOR_RGB2HSV)[..., 0]
    assert np.abs(hue.astype(int) - cv2.cvtColor(colour, cv2.COLOR_RGB2HSV)[..., 0]).max() <= 2


@pytest.mark.parametrize("name", sorted(PREPROCESSINGS))
@pytest.mark.parametrize("shape", [(1, 1), (9, 70), (40, 30, 3)])
def test_shape_and_type_are_kept_and_the_source_is_untouched(name: str, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    kept = image.copy()
    result = preprocess(image, [name])
    assert (result.shape, result.dtype) == (shape, np.uint8)
    np.testing.assert_array_equal(image, kept)


def test_they_are_applied_in_the_order_they_are_named() -> None:
    image = picture()
    first = preprocess(image, ["invert", "gamma"])
    np.testing.assert_array_equal(first, preprocess(preprocess(image, ["invert"]), ["gamma"]))
    assert not np.array_equal(first, preprocess(image, ["gamma", "invert"]))
    np.testing.assert_array_equal(preprocess(image, []), image)


def test_an_unknown_name_is_an_error_that_names_the_nearest(shared_hands, tiny_experiment) -> None:
    with pytest.raises(CompetitionError, match="unknown preprocessing 'sharpnes', did you mean 'sharpness'"):
        check_preprocessing(["invert", "sharpnes"])
    experiment = tiny_experiment(data={"preprocess": ["sharpnes"]})
    with pytest.raises(CompetitionError, match="sharpnes"):
        TrainingSet(shared_hands.train(), shared_hands.workspace, shared_hands.track, experiment)


class Recorder(nn.Module):
    """Keeps what it is shown."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(classes))
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
        self.seen.append(images.clone())
        if images.ndim == 5:
            return self.bias.expand(len(images), -1)
        return self.bias[None, :, None, None].expand(len(images), -1, *images.shape[-2:])


@pytest.mark.parametrize("names", [*([name] for name in sorted(PREPROCESSINGS)), ["invert", "median", "sharpness"]])
def test_a_network_is_shown_the_same_picture_in_training_and_at_inference(shared_hands, tiny_experiment, names) -> None:
    # 64 pixels are trained on at 32 through a grid of 64, which is where the two ways could part.
    experiment = tiny_experiment(data={"size": 32, "oversample": 2, "preprocess": names})
    entry = next(entry for entry in shared_hands.train() if (entry.height, entry.width) == (64, 64))
    recorder = Recorder(3)
    dataset = TrainingSet([entry], shared_hands.workspace, shared_hands.track, experiment)
    assert dataset.factor == 2
    batch_loss(recorder, collate([dataset[(0, 0)]]), 2, 3, bce, None)
    predictor = make_predictor([recorder], experiment, shared_hands.track, shared_hands.workspace, None)
    predict_map(predictor, entry, ["identity"])
    trained, asked = recorder.seen
    raw = np.load(shared_hands.workspace.root / "raw" / f"{entry.sample}.npy")
    native, filters = by_grid(names)
    processed = preprocess(raw, native).astype(np.float64)
    blocks = processed.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    if filters:
        processed = blocks = preprocess(np.floor(blocks + 0.5).astype(np.uint8), filters).astype(np.float64)
        assert names[-1] == "sharpness"
    expected = (blocks - processed.mean()) / processed.std()
    # Prediction shrinks in bytes, training averages in floats: they differ by half a grey value at most, and where
    # filters have seen the training grid by nothing.
    half = 1e-4 if filters else 0.501 / processed.std()
    np.testing.assert_allclose(trained[0, 0].numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(asked[0, 0].numpy(), expected, atol=half)
    assert trained.std().item() == pytest.approx(1, abs=0.3)


def test_crops_and_tiles_show_the_whole_picture_sharpened(shared_hands, tiny_experiment) -> None:
    names = ["invert", "sharpness", "contrast"]
    entry = next(entry for entry in shared_hands.train() if (entry.height, entry.width) == (64, 64))
    raw = np.load(shared_hands.workspace.root / "raw" / f"{entry.sample}.npy")
    whole = preprocess(resize_image(255 - raw, (32, 32)), ["sharpness", "contrast"]).astype(np.float64)
    whole = (whole - whole.mean()) / whole.std()
    windows = np.lib.stride_tricks.sliding_window_view(whole, (16, 16)).reshape(-1, 16, 16)
    settings = {"size": 32, "crop": 16, "preprocess": names}
    experiment = tiny_experiment(data=settings, predict={"tile": 16, "overlap": 0.5})
    recorder = Recorder(3)
    dataset = TrainingSet([entry], shared_hands.workspace, shared_hands.track, experiment)
    for seed in range(5):
        batch_loss(recorder, collate([dataset[(0, seed)]]), dataset.factor, 3, bce, None)
        # A crop begins anywhere on the finer grid; those on the training grid are windows of the whole picture.
    predictor = make_predictor([recorder], experiment, shared_hands.track, shared_hands.workspace, None)
    predict_map(predictor, entry, ["identity"])
    crops, tiles = recorder.seen[:5], recorder.seen[5:]
    tiles = [tile for batch in tiles for tile in batch]
    assert len(tiles) == 9
    for shown in tiles:
        assert np.abs(windows - shown[0].double().numpy()).max(axis=(1, 2)).min() < 1e-4
    finer = np.lib.stride_tricks.sliding_window_view(whole.repeat(2, 0).repeat(2, 1), (32, 32)).reshape(-1, 32, 32)
    between = finer.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4))
    for shown in crops:
        assert np.abs(between - shown[0, 0].double().numpy()).max(axis=(1, 2)).min() < 1e-4


@pytest.mark.parametrize(
    ("names", "native", "filters"),
    [
        ((), (), ()),
        (("clahe", "gamma"), ("clahe", "gamma"), ()),
        (("sharpness",), (), ("sharpness",)),
        (("median", "sharpness", "gamma"), ("median",), ("sharpness", "gamma")),
        (("sharpness", "clahe"), (), ("sharpness", "clahe")),
    ],
)
def test_what_comes_after_a_filter_of_the_training_grid_is_done_there(names, native, filters) -> None:
    assert by_grid(names) == (native, filters)


def test_patients_too_and_an_absent_view_stays_black(shared_patients, tiny_experiment) -> None:
    experiment = tiny_experiment(multiview=True, data={"size": 64, "preprocess": ["invert", "gamma"]})
    entry = shared_patients.manifest.by_sample()["3"]
    assert entry.present == (False, True, False, True)
    recorder = Recorder(3)
    dataset = TrainingSet([entry], shared_patients.workspace, shared_patients.track, experiment)
    batch_loss(recorder, collate([dataset[(0, 0)]]), 1, 3, bce, None)
    predictor = make_predictor([recorder], experiment, shared_patients.track, shared_patients.workspace, None)
    predict_scores(predictor, entry, ["identity"])
    trained, asked = recorder.seen
    torch.testing.assert_close(trained, asked, rtol=0, atol=0)
    assert not trained[0, [0, 2]].any()
    for view in (1, 3):
        assert trained[0, view].mean().item() == pytest.approx(0, abs=1e-3)
        assert trained[0, view].std().item() == pytest.approx(1, abs=1e-2)


def test_an_absent_view_is_not_sharpened_either(shared_patients, tiny_experiment) -> None:
    entry = shared_patients.manifest.by_sample()["3"]
    reader = GridReader(shared_patients.workspace, shared_patients.track, 32, preprocessing=("sharpness", "invert"))
    sample = reader.read(entry)
    assert [bool(image.any()) for image in sample.images] == list(entry.present)
    assert (sample.mean[0], sample.std[0]) == (entry.mean[0], entry.std[0])


def test_without_preprocessing_the_statistics_are_those_of_the_manifest(shared_hands) -> None:
    entry = replace(shared_hands.train()[0], mean=(7.0,), std=(3.0,))
    reader = GridReader(shared_hands.workspace, shared_hands.track, 32)
    assert (reader.read(entry).mean, reader.read(entry).std) == ((7.0,), (3.0,))
    inverted = GridReader(shared_hands.workspace, shared_hands.track, 32, preprocessing=("invert",)).read(entry)
    raw = np.load(Path(shared_hands.workspace.root) / "raw" / f"{entry.sample}.npy")
    assert inverted.mean == (pytest.approx(255 - raw.mean()),)
    assert inverted.std == (pytest.approx(raw.std()),)
