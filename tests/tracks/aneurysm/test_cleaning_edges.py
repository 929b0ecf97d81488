"""Cleaning of pictures that are hardly any: without grey, a speck, lines, a few pixels."""

import numpy as np
import pytest
from numpy.typing import NDArray

from competition.tracks.aneurysm.cleaning import clean_angiogram, margin_box

Image = NDArray[np.uint8]


@pytest.mark.parametrize("value", [0, 3, 255])
def test_image_without_grey_is_returned_whole(value: int) -> None:
    image = np.full((60, 80), value, dtype=np.uint8)
    assert margin_box(image) == (0, 60, 0, 80)
    np.testing.assert_array_equal(clean_angiogram(image), image)


def test_speck_of_grey_on_black_is_no_frame() -> None:
    image = np.zeros((400, 400), dtype=np.uint8)
    image[150:190, 180:220] = 190
    assert margin_box(image) == (0, 400, 0, 400)


@pytest.mark.parametrize("ground", [0, 255])
def test_thin_grey_lines_are_no_frame(ground: int) -> None:
    image = np.full((400, 300), ground, dtype=np.uint8)
    image[200], image[:, 80], image[:, 220] = 190, 190, 190
    assert margin_box(image) == (0, 400, 0, 300)
    assert margin_box(np.ascontiguousarray(image.T)) == (0, 300, 0, 400)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 3), (20, 31)])
def test_tiny_images_keep_their_size(shape: tuple[int, int]) -> None:
    assert clean_angiogram(np.full(shape, 180, dtype=np.uint8)).shape == shape


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), np.zeros((0, 4), np.uint8)]
)
def test_wrong_arrays_are_refused(image: Image) -> None:
    with pytest.raises(ValueError, match="grey uint8"):
        clean_angiogram(image)
