from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from competition.data.boxes import Box
from competition.data.grid import GridReader
from competition.errors import CompetitionError
from competition.prediction import grid_maps
from competition.prediction.native_size import to_native
from competition.prediction.predictor import Predictor, predict_map, predict_on_grid, to_whole_multiple
from competition.tracks.track import Mirror

SLOPES = (1.0, -0.5, 2.0)


class Pointwise(nn.Module):
    """Logits of a pixel follow from that pixel alone."""

    def forward(self, images):
        return torch.cat([slope * images - 0.3 for slope in SLOPES], dim=1)


class Answer(nn.Module):
    """The same logits whatever is shown: (C, columns), for every row."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, images):
        return self.logits[None, :, None, :].expand(len(images), -1, images.shape[-2], -1)


class Recorder(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.append((images, torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
        return torch.zeros(len(images), 3, *images.shape[-2:])


def predictor_of(prepared, experiment, *models, track=None, autocast=None):
    track = track or prepared.track
    reader = GridReader(prepared.workspace, track, experiment.data.size, budget_bytes=0)
    return Predictor(models, experiment, track, reader, torch.device("cpu"), autocast)


def bilinear(values, size_hw):
    """Half-pixel centres, clamped at the border, in float64."""
    positions = []
    for have, want in zip(values.shape[-2:], size_hw, strict=True):
        place = np.clip((np.arange(want) + 0.5) * have / want - 0.5, 0, have - 1)
        low = np.minimum(place.astype(int), have - 1)
        positions.append((low, np.minimum(low + 1, have - 1), place - low))
    (top, bottom, down), (left, right, across) = positions
    rows = values[:, top] * (1 - down)[:, None] + values[:, bottom] * down[:, None]
    return rows[:, :, left] * (1 - across) + rows[:, :, right] * across


def shown_probabilities(prepared, entry, size):
    """What ``Pointwise`` says of each pixel of the training grid, (3, h, w), and the size it is asked for."""
    raw = np.load(prepared.workspace.root / "raw" / f"{entry.sample}.npy")
    scale = size / max(raw.shape)
    size_hw = round(raw.shape[0] * scale), round(raw.shape[1] * scale)
    small = cv2.resize(raw, size_hw[::-1], interpolation=cv2.INTER_AREA).astype(np.float64)
    standardised = (small - raw.mean()) / raw.std()
    return np.stack([1 / (1 + np.exp(0.3 - slope * standardised)) for slope in SLOPES]), raw.shape


def expected_map(prepared, entry, size):
    """What ``Pointwise`` says, computed from the raw picture."""
    probs, native_hw = shown_probabilities(prepared, entry, size)
    return 255 * bilinear(probs, native_hw)


def assert_levels(levels, expected):
    assert levels.dtype == np.uint8
    assert levels.shape == expected.shape
    alive = (expected > 5) & (expected < 250)
    assert alive.mean() > 0.5
    assert np.abs(levels - expected)[alive].max() < 0.501


@pytest.mark.parametrize("index", [0, 1, 11])
@pytest.mark.parametrize("predict", [{}, {"tile": 32, "overlap": 0.3}, {"views": ["identity", "hflip", "rotate90"]}])
def test_a_map_is_the_networks_probability_brought_to_native_size(shared_hands, tiny_experiment, index, predict):
    entry = shared_hands.manifest.entries[index]
    size = 40 if predict.get("tile") else 32
    experiment = tiny_experiment(predict=predict, data={"size": size})
    levels = predict_map(predictor_of(shared_hands, experiment, Pointwise()), entry, experiment.predict.views)
    assert levels.shape == (3, *((64, 64) if index == 0 else (61, 47)))
    # Moving whole pixels and cutting tiles must not change the answer of a network that sees single pixels.
    assert_levels(levels, expected_map(shared_hands, entry, size))


@pytest.mark.parametrize("views", [["identity"], ["identity", "hflip", "rotate90"]])
@pytest.mark.parametrize("box", [Box(4, 10, 58, 40), Box(0, 0, 20, 47), Box(60, 46, 61, 47)], ids=str)
def test_a_box_is_predicted_as_an_image_and_pasted_back_where_it_was(shared_hands, tiny_experiment, box, views):
    entry = shared_hands.manifest.entries[1]
    raw = np.load(shared_hands.workspace.root / "raw" / f"{entry.sample}.npy")
    crop = raw[box.top : box.bottom, box.left : box.right]
    size_hw = tuple(round(side * 32 / max(crop.shape)) for side in crop.shape)
    shrunk = crop.shape[0] >= size_hw[0]
    grid = cv2.resize(crop, size_hw[::-1], interpolation=cv2.INTER_AREA if shrunk else cv2.INTER_LINEAR)
    standardised = (grid.astype(np.float64).reshape(size_hw) - raw.mean()) / raw.std()
    probs = np.stack([1 / (1 + np.exp(0.3 - slope * standardised)) for slope in SLOPES])
    reader = GridReader(shared_hands.workspace, shared_hands.track, 32, budget_bytes=0, boxes={entry.sample: box})
    predictor = replace(predictor_of(shared_hands, tiny_experiment(), Pointwise()), reader=reader)
    levels = predict_map(predictor, entry, views)
    assert levels.shape == (3, 61, 47)
    assert_levels(levels[:, box.top : box.bottom, box.left : box.right], 255 * bilinear(probs, crop.shape))
    levels[:, box.top : box.bottom, box.left : box.right] = 0
    assert not levels.any()


def test_the_edge_is_filled_with_black_to_whole_strides(shared_hands, tiny_experiment):
    entry = shared_hands.manifest.entries[1]  # 61x47 becomes 40x31
    network = Recorder()
    predict_map(predictor_of(shared_hands, tiny_experiment(data={"size": 40}), network), entry, ["identity"])
    seen = network.seen[0][0][0, 0]
    assert seen.shape == (64, 32)
    raw = np.load(shared_hands.workspace.root / "raw" / f"{entry.sample}.npy")
    black = torch.tensor(-raw.mean() / raw.std(), dtype=torch.float32)
    torch.testing.assert_close(seen[40:], black.expand(24, 32))
    torch.testing.assert_close(seen[:, 31], black.expand(64))
    assert not torch.isclose(seen[:40, :31], black).any()


def test_probabilities_are_averaged_over_views_and_not_logits(shared_hands, tiny_experiment):
    entry = shared_hands.manifest.entries[0]
    network = Answer([[6.0] * 32 + [-2.0] * 32] * 3)
    experiment = tiny_experiment(data={"size": 64})
    levels = predict_map(predictor_of(shared_hands, experiment, network), entry, ["identity", "hflip"])
    # (sigmoid(6) + sigmoid(-2)) / 2 = 0.558; the mean of the logits would be sigmoid(2) = 0.881.
    assert (levels == round(255 * (0.997527 + 0.119203) / 2)).all()


def test_probabilities_are_averaged_over_models(shared_hands, tiny_experiment):
    entry = shared_hands.manifest.entries[0]
    networks = [Answer([[float(np.log(p / (1 - p)))] * 64] * 3) for p in (0.2, 0.9, 0.4)]
    experiment = tiny_experiment(data={"size": 64})
    levels = predict_map(predictor_of(shared_hands, experiment, *networks), entry, ["identity", "rotate180"])
    assert (levels == round(255 * 0.5 - 0.01)).all()


@pytest.mark.parametrize("view", ["hflip", "hflip_rotate180"])
def test_classes_of_left_and_right_change_back_after_a_mirrored_view(shared_hands, tiny_experiment, view):
    # This network calls "disc" what is on the left of the picture it sees, and "square" what is on the right.
    left = [4.0] * 32 + [-4.0] * 32
    network = Answer([left, left[::-1], [1.0] * 64])
    track = replace(shared_hands.track, mirror=Mirror(classes=(1, 0, 2)))
    predictor = predictor_of(shared_hands, tiny_experiment(data={"size": 64}), network, track=track)
    levels = predict_map(predictor, shared_hands.manifest.entries[0], [view])
    plain = predict_map(predictor, shared_hands.manifest.entries[0], ["identity"])
    # Half a turn brings the left to the right, a mirror image and a swap of names bring it back.
    assert np.array_equal(levels, plain if view == "hflip" else plain[:, :, ::-1])


def test_a_rotation_does_not_swap_classes(shared_hands, tiny_experiment):
    network = Answer([[4.0] * 64, [-4.0] * 64, [0.5] * 64])
    track = replace(shared_hands.track, mirror=Mirror(classes=(1, 0, 2)))
    predictor = predictor_of(shared_hands, tiny_experiment(data={"size": 64}), network, track=track)
    entry = shared_hands.manifest.entries[0]
    assert np.array_equal(predict_map(predictor, entry, ["rotate90"]), predict_map(predictor, entry, ["identity"]))


class Finer(nn.Module):
    """``Pointwise``, every answer repeated for the finer pixels of a pixel, or averaged over coarser ones."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, images):
        logits = Pointwise()(images)
        if self.scale < 1:
            return F.avg_pool2d(logits, round(1 / self.scale))
        return logits.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)


@pytest.mark.parametrize(("index", "size"), [(0, 16), (1, 15)])  # a quarter of 64x64 and of 61x47 pixels
@pytest.mark.parametrize(
    "predict", [{}, {"tile": 8, "overlap": 0.3}, {"views": ["identity", "hflip", "rotate90", "hflip_rotate180"]}]
)
def test_an_answer_four_times_finer_than_the_image_keeps_its_detail(
    shared_hands, tiny_experiment, index, size, predict
):
    entry = shared_hands.manifest.entries[index]
    experiment = tiny_experiment(predict=predict, data={"size": size})
    found = predict_map(predictor_of(shared_hands, experiment, Finer(4)), entry, experiment.predict.views)
    probs, native_hw = shown_probabilities(shared_hands, entry, size)
    assert_levels(found, 255 * bilinear(probs.repeat(4, 1).repeat(4, 2), native_hw))


def test_a_coarser_answer_is_enlarged_before_the_padding_is_cut_off(shared_hands, tiny_experiment):
    entry = shared_hands.manifest.entries[1]  # 61x47 becomes 40x31, padded to 64x32
    probs, native_hw = shown_probabilities(shared_hands, entry, 40)
    raw = np.load(shared_hands.workspace.root / "raw" / f"{entry.sample}.npy")
    logits = np.stack([np.full((64, 32), -slope * raw.mean() / raw.std() - 0.3) for slope in SLOPES])
    logits[:, :40, :31] = np.log(probs / (1 - probs))
    coarse = 1 / (1 + np.exp(-logits.reshape(3, 16, 4, 8, 4).mean(axis=(2, 4))))
    found = predict_map(
        predictor_of(shared_hands, tiny_experiment(data={"size": 40}), Finer(0.25)), entry, ["identity"]
    )
    assert_levels(found, 255 * bilinear(bilinear(coarse, (64, 32))[:, :40, :31], native_hw))


@pytest.mark.parametrize("size", [32, 64])
def test_an_answer_finer_than_the_image_itself_is_averaged_to_its_size(shared_hands, tiny_experiment, size):
    seen = []

    class Checkered(nn.Module):
        """Four times finer; of each pixel's sixteen answers three are 0.9 and the rest 0.1."""

        def forward(self, images):
            height, width = images.shape[-2:]
            cell = torch.full((4, 4), 0.1)
            cell[0, 0] = cell[2, 1] = cell[3, 3] = 0.9
            seen.append((height, width))
            return cell.logit().repeat(height, width).expand(1, 3, -1, -1)

    entry = shared_hands.manifest.entries[0]
    experiment = tiny_experiment(data={"size": size})
    found = predict_map(predictor_of(shared_hands, experiment, Checkered()), entry, ["identity"])
    assert seen == [(size, size)]
    if size == 64:
        assert (found == round(255 * (3 * 0.9 + 13 * 0.1) / 16)).all()
    else:  # four answers of two by two to each pixel of the image
        blocks = np.array([[1, 0], [1, 1]]) * 0.2 + 0.1
        expected = np.tile(blocks, (32, 32)) * 255
        assert np.abs(found - expected).max() <= 0.501


@pytest.mark.parametrize(("stride", "padded_hw"), [(16, (48, 32)), (48, (48, 48)), (256, (256, 256))])
def test_a_network_says_itself_what_its_sides_must_be_multiples_of(shared_hands, tiny_experiment, stride, padded_hw):
    network = Recorder()
    network.stride = stride
    entry = shared_hands.manifest.entries[1]  # 61x47 becomes 40x31
    predict_map(predictor_of(shared_hands, tiny_experiment(data={"size": 40}), network), entry, ["identity"])
    assert network.seen[0][0].shape[-2:] == padded_hw


@pytest.mark.parametrize(
    ("have", "image", "finest", "wanted"),
    [
        (64, 16, 4, 64),
        (64, 16, 3, 48),
        (64, 16, 1, 16),
        (4, 16, 4, 16),
        (16, 16, 4, 16),
        (44, 16, 4, 48),
        (24, 16, 1, 16),
    ],
)
def test_answers_are_brought_to_a_whole_multiple_of_the_image(have, image, finest, wanted):
    probs = torch.rand(1, 2, have, 2 * have, generator=torch.Generator().manual_seed(0))
    result = to_whole_multiple(probs, (image, 2 * image), finest)
    assert result.shape == (1, 2, wanted, 2 * wanted)
    if have == wanted:
        assert result is probs
    if have % wanted == 0:
        block = have // wanted
        blocks = probs[0].numpy().reshape(2, wanted, block, 2 * wanted, block).mean(axis=(2, 4))
        np.testing.assert_allclose(result[0].numpy(), blocks, rtol=1e-5)
    if have < wanted:
        np.testing.assert_allclose(
            result[0].numpy(), bilinear(probs[0].double().numpy(), (wanted, 2 * wanted)), atol=1e-5
        )


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
def test_the_network_computes_in_the_precision_it_was_trained_in(shared_hands, tiny_experiment, autocast):
    network = Recorder()
    predictor = predictor_of(shared_hands, tiny_experiment(), network, autocast=autocast)
    predict_map(predictor, shared_hands.manifest.entries[0], ["identity"])
    _, enabled, dtype = network.seen[0]
    assert enabled == (autocast is not None)
    assert autocast is None or dtype == autocast


@pytest.mark.parametrize(
    ("grid_hw", "size_hw"), [((8, 8), (31, 17)), ((20, 13), (20, 13)), ((9, 7), (4, 5)), ((1, 1), (3, 5))]
)
def test_native_size_equals_dense_interpolation(grid_hw, size_hw):
    probs = torch.rand(5, *grid_hw, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    levels = to_native(probs, size_hw)
    exact = 255 * bilinear(probs.double().numpy(), size_hw)
    assert np.abs(levels - exact).max() <= 0.5 + 1e-3
    dense = F.interpolate(probs[None], size=size_hw, mode="bilinear", align_corners=False)[0]
    assert np.array_equal(levels, torch.round(dense * 255).to(torch.uint8).numpy())


@pytest.mark.parametrize("pixels", [1, 31 * 17 * 2, 31 * 17 * 5])
def test_pieces_do_not_change_the_map(monkeypatch, pixels):
    # Other numbers each time, or a piece that is never written might show the right ones of an earlier map.
    probs = torch.rand(5, 8, 9, generator=torch.Generator().manual_seed(pixels))
    with monkeypatch.context() as patch:
        patch.setattr(grid_maps, "NATIVE_CHUNK_PIXELS", pixels)
        pieces = to_native(probs, (31, 17))
    assert np.array_equal(pieces, to_native(probs, (31, 17)))


class Short(nn.Module):
    """A network on a device whose memory is too small for the first ``failures`` calls."""

    def __init__(self, inner, failures):
        super().__init__()
        self.inner, self.failures = inner, failures

    def forward(self, images):
        self.failures -= 1
        if self.failures >= 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inner(images)


@pytest.mark.parametrize("tile", [None, 16])
def test_where_memory_is_short_the_sums_are_kept_elsewhere_with_the_same_result(shared_hands, tiny_experiment, tile):
    experiment = tiny_experiment(data={"size": 32}, predict={"tile": tile})
    entry, views = shared_hands.train()[0], ("identity", "hflip")
    expected = predict_map(predictor_of(shared_hands, experiment, Pointwise()), entry, views)
    for predict, of in ((predict_map, lambda found: found), (predict_on_grid, lambda found: found[0])):
        plain = of(predict(predictor_of(shared_hands, experiment, Pointwise()), entry, views))
        found = of(predict(predictor_of(shared_hands, experiment, Short(Pointwise(), 1)), entry, views))
        np.testing.assert_array_equal(found, plain)
    assert expected.any()
    with pytest.raises(CompetitionError, match=rf"does not hold a prediction of {tile or 32} pixels.*CUDA_VISIBLE"):
        predict_map(predictor_of(shared_hands, experiment, Short(Pointwise(), 2)), entry, views)
    broken = Short(Pointwise(), 0)
    broken.inner = nn.Conv2d(7, 3, 1)
    with pytest.raises(RuntimeError, match="channels"):
        predict_map(predictor_of(shared_hands, experiment, broken), entry, views)
