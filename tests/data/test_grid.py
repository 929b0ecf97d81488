from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from competition.data.grid import (
    GridReader,
    GridSample,
    grid_size,
    oversampling,
    pad_to,
    picture_on_grid,
    resize_image,
    standardise,
)
from competition.data.manifest import Entry
from competition.data.preprocessing import preprocess
from competition.masks.bit_planes import pack_masks, unpack_planes
from competition.masks.stored_arrays import write_array
from competition.settings import DataSettings
from competition.tracks import get_track
from competition.workspace import Workspace

HAND, VESSELS, KNEE = get_track("hand_bone"), get_track("aneurysm"), get_track("knee")
ENTRY = Entry("a", "a.png", "train", "g", "", (True,), 48, 64, (0.0,), (1.0,), (1,), "x", "", "")


@pytest.mark.parametrize(
    ("native_hw", "long_side", "expected"),
    [
        ((2048, 2048), 512, (512, 512)),
        ((100, 200), 50, (25, 50)),
        ((200, 100), 50, (50, 25)),
        ((3, 1000), 100, (1, 100)),
        ((1, 1), 7, (7, 7)),
        ((240, 181), 120, (120, 90)),
        ((7, 10), 20, (14, 20)),
    ],
)
def test_the_long_side_is_as_asked_and_the_aspect_is_kept(
    native_hw: tuple[int, int], long_side: int, expected: tuple[int, int]
) -> None:
    assert grid_size(native_hw, long_side) == expected


@pytest.mark.parametrize(
    ("sizes_hw", "size", "oversample", "factor"),
    [
        ([(2048, 2048)], 512, 2, 2),
        ([(2048, 2048)], 512, 8, 4),
        ([(2048, 2048)], 512, 1, 1),
        ([(2048, 2048)], 1536, 4, 2),  # no whole number of times: as fine as the image and a little finer
        ([(2048, 2048)], 1536, 1, 1),
        ([(2048, 2048)], 2047, 4, 2),
        ([(2048, 2048)], 2048, 2, 1),
        ([(2048, 2048)], 4096, 2, 1),
        ([(600, 1024), (2048, 1000)], 512, 8, 4),
        ([(600, 1024), (500, 500)], 512, 8, 2),
    ],
)
def test_augmentation_is_as_fine_as_the_largest_image_up_to_what_is_asked(
    sizes_hw: list[tuple[int, int]], size: int, oversample: int, factor: int
) -> None:
    entries = [replace(ENTRY, height=height, width=width) for height, width in sizes_hw]
    settings = DataSettings(size=size, oversample=oversample)
    assert oversampling(entries, HAND, settings) == factor
    assert oversampling(entries, VESSELS, settings) == 1  # no label to average


def test_a_512_experiment_of_2048_pictures_keeps_every_pixel_of_its_labels() -> None:
    entry = replace(ENTRY, height=2048, width=2048)
    assert oversampling([entry], HAND, DataSettings()) * DataSettings().size == 2048


@pytest.mark.parametrize("native_hw", [(64, 64), (61, 47), (40, 90), (31, 17)])
@pytest.mark.parametrize("finer", [1, 2, 3])
@pytest.mark.parametrize("filters", [(), ("sharpness",), ("sharpness", "gamma")])
def test_a_picture_on_the_finer_grid_averages_to_the_one_prediction_sees(
    native_hw: tuple[int, int], finer: int, filters: tuple[str, ...]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, native_hw, dtype=np.uint8)
    size_hw = grid_size(native_hw, 32)
    asked = preprocess(resize_image(image, size_hw), filters)
    np.testing.assert_array_equal(picture_on_grid(image, 32, 1, filters), asked)
    fine = picture_on_grid(image, 32, finer, filters)
    assert fine.shape == (finer * size_hw[0], finer * size_hw[1])
    blocks = fine.reshape(size_hw[0], finer, size_hw[1], finer)
    repeated = (blocks == blocks[:, :1, :, :1]).all()
    assert repeated == (finer == 1 or bool(filters) or finer * 32 > max(native_hw))
    # Nothing is lost by it; without filters the picture keeps its detail and differs by the rounding of bytes.
    np.testing.assert_allclose(blocks.mean(axis=(1, 3)), asked, atol=0 if repeated else 1.01)


def test_shrinking_averages_over_the_area() -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 36), dtype=np.uint8)
    blocks = image.reshape(6, 4, 9, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(resize_image(image, (6, 9)), blocks, atol=0.51)
    colour = np.stack([image, image[::-1], 255 - image], axis=2)
    np.testing.assert_array_equal(resize_image(colour, (6, 9))[..., 0], resize_image(image, (6, 9)))


def test_a_pattern_finer_than_the_grid_becomes_grey_and_not_moire() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    assert np.ptp(resize_image(stripes, (16, 16)).astype(int)) <= 1


def test_growing_interpolates_between_the_pixels() -> None:
    grown = resize_image(np.array([[0, 100]], np.uint8), (1, 4))
    assert grown.shape == (1, 4)
    tall = resize_image(np.array([[0], [100]], np.uint8), (4, 1))
    np.testing.assert_array_equal(tall[:, 0], [0, 25, 75, 100])  # centres at -0.25, 0.25, 0.75, 1.25


def test_an_image_of_the_right_size_is_left_alone() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(resize_image(image, (3, 4)), image)


def store(workspace: Workspace, key: str, image: np.ndarray, masks: np.ndarray | None) -> None:
    write_array(workspace.image_file(key, "image"), image)
    if masks is not None:
        write_array(workspace.label_file(key), pack_masks(masks))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, "knee")
    random = np.random.default_rng(1)
    for key in ("a", "b"):
        image = random.integers(0, 256, (48, 64), dtype=np.uint8)
        store(workspace, key, image, image[None] > 99)
    return workspace


def test_a_sample_comes_with_image_and_planes_on_the_same_grid(workspace: Workspace) -> None:
    sample = GridReader(workspace, KNEE, 64).read(ENTRY)
    assert sample.planes is not None
    np.testing.assert_array_equal(unpack_planes(sample.planes, 1)[0], sample.images[0] > 99)
    half = GridReader(workspace, KNEE, 32).read(ENTRY)
    assert half.planes is not None
    assert (half.images[0].shape, half.planes.shape) == ((24, 32), (24, 32, 1))
    np.testing.assert_array_equal(half.planes, sample.planes[1::2, 1::2])  # the pixel under each centre


def test_image_and_planes_of_a_finer_grid_have_one_form(workspace: Workspace) -> None:
    for long_side, finer in ((32, 2), (20, 3), (7, 4), (50, 2)):
        sample = GridReader(workspace, KNEE, long_side, finer=finer).read(ENTRY)
        height, width = grid_size((48, 64), long_side)
        assert sample.planes is not None
        assert sample.images[0].shape == sample.planes.shape[:2] == (finer * height, finer * width)


def test_a_test_sample_has_no_planes(workspace: Workspace) -> None:
    assert GridReader(workspace, KNEE, 32).read(replace(ENTRY, split="test")).planes is None


def test_what_fits_in_memory_is_read_once_and_the_rest_again(workspace: Workspace) -> None:
    other = replace(ENTRY, sample="b")
    size = 24 * 32 * 2
    assert GridReader(workspace, KNEE, 32).read(ENTRY).nbytes() == size
    for budget, kept in ((0, 0), (size - 1, 0), (size, 1), (2 * size - 1, 1), (2 * size, 2)):
        reader = GridReader(workspace, KNEE, 32, budget)
        first = [reader.read(ENTRY), reader.read(other)]
        second = [reader.read(ENTRY), reader.read(other)]
        assert sum(a is b for a, b in zip(first, second, strict=True)) == kept
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a.images[0], b.images[0])


def test_memory_is_counted_over_all_views_and_planes() -> None:
    image = np.zeros((4, 5), np.uint8)
    assert GridSample((image, image), None, (0.0, 0.0), (1.0, 1.0)).nbytes() == 40
    assert GridSample((image,), np.zeros((4, 5, 4), np.uint8), (0.0,), (1.0,)).nbytes() == 100


@pytest.mark.parametrize("shape", [(3, 5), (5, 2), (5, 5), (1, 1), (3, 5, 4), (5, 3, 1)])
def test_padding_is_black_at_the_bottom_and_right(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(1, 256, shape, dtype=np.uint8)
    padded = pad_to(image, (5, 5))
    expected = np.zeros((5, 5, *shape[2:]), np.uint8)
    expected[: shape[0], : shape[1]] = image
    np.testing.assert_array_equal(padded, expected)


@pytest.mark.parametrize("shape", [(3, 5), (5, 2), (5, 5), (3, 5, 4)])
def test_grey_padding_is_the_pictures_own_median(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(1, 256, shape, dtype=np.uint8)
    padded = pad_to(image, (5, 5), grey=True)
    np.testing.assert_array_equal(padded[: shape[0], : shape[1]], image)
    outside = np.ones((5, 5), bool)
    outside[: shape[0], : shape[1]] = False
    for channel in np.ndindex(*shape[2:]):
        values = sorted(image[(..., *channel)].ravel().tolist())
        assert set(padded[(..., *channel)][outside].tolist()) <= {
            (values[(len(values) - 1) // 2] + values[len(values) // 2]) // 2
        }


def test_standardising_uses_each_views_own_statistics_and_survives_an_empty_image():
    images = torch.tensor([[10.0, 30.0], [3.0, 4.0], [7.0, 7.0], [0.0, 9.0]]).reshape(2, 2, 1, 1, 2)
    result = standardise(images, torch.tensor([[20.0, 2.0], [7.0, 0.0]]), torch.tensor([[5.0, 2.0], [0.0, 3.0]]))
    assert result.flatten().tolist() == [-2, 2, 0.5, 1, 0, 0, 0, 3]
