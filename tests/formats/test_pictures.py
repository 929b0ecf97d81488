from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from competition.errors import CompetitionError
from competition.formats.pictures import read_grey, read_rgb, read_values

Read = Callable[[Path], NDArray[np.uint8]]
READERS = (read_grey, read_rgb, read_values)


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, values: NDArray[np.generic], mode: str | None = None) -> Path:
    picture = Image.fromarray(values)
    (picture if mode is None else picture.convert(mode)).save(path)
    return path


def test_a_grey_png_is_read_as_it_is(tmp_path: Path) -> None:
    image = noise(7, 5)
    path = save(tmp_path / "a.png", image)
    for read in (read_grey, read_values):
        np.testing.assert_array_equal(read(path), image)
    rgb = read_rgb(path)
    assert rgb.shape == (7, 5, 3)
    np.testing.assert_array_equal(rgb, np.stack([image] * 3, axis=2))


def test_colour_becomes_luminance(tmp_path: Path) -> None:
    image = noise(9, 4, 3)
    path = save(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_rgb(path), image)
    luminance = image.astype(np.float64) @ [0.299, 0.587, 0.114]  # ITU-R 601
    np.testing.assert_allclose(read_grey(path), luminance, atol=0.51)


def test_opacity_is_not_part_of_the_picture(tmp_path: Path) -> None:
    image = noise(6, 6)
    grey = save(tmp_path / "la.png", np.stack([image, noise(6, 6)[::-1]], axis=2))
    rgba = save(tmp_path / "rgba.png", np.stack([image, image, image, noise(6, 6)[::-1]], axis=2))
    for path in (grey, rgba):
        for read in (read_grey, read_values):
            np.testing.assert_array_equal(read(path), image)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("read", [read_grey, read_rgb])
def test_a_picture_that_lies_in_its_opacity_is_refused(tmp_path: Path, mode: str, read: Read) -> None:
    picture = Image.new(mode, (7, 5), (20,) * (len(mode) - 1) + (255,))
    picture.save(tmp_path / "opaque.png")
    assert np.unique(read(tmp_path / "opaque.png")).tolist() == [20]
    picture.putalpha(Image.fromarray(noise(5, 7)))
    picture.save(tmp_path / "a.png")
    with pytest.raises(CompetitionError, match=r"only its opacity \(alpha\) varies: .*a\.png"):
        read(tmp_path / "a.png")


def test_sixteen_bits_are_stretched_from_their_own_minimum_to_their_own_maximum(tmp_path: Path) -> None:
    values = np.array([[1000, 1051], [1102, 2020]], np.uint16)
    path = save(tmp_path / "a.png", values)
    # By hand: 1020 steps become 255, so 51 become 12.75 and 102 become 25.5.
    np.testing.assert_array_equal(read_grey(path), [[0, 13], [26, 255]])
    np.testing.assert_array_equal(read_rgb(path)[..., 2], [[0, 13], [26, 255]])
    np.testing.assert_array_equal(read_values(path), values)


def test_sixteen_bits_of_one_value_are_black(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((3, 3), 40_000, np.uint16))
    np.testing.assert_array_equal(read_grey(path), np.zeros((3, 3)))


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bits_per_colour_are_an_error(tmp_path: Path, channels: int, read) -> None:  # type: ignore[no-untyped-def]
    """Pillow would keep the upper bytes: a label of 0 and 1 would be empty."""
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.ones((4, 5, channels), np.uint16))
    with pytest.raises(CompetitionError, match=r"16 bits per colour.*a\.png\. Save it as 16-bit grey"):
        read(path)


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 7), (3, 200)])
def test_stored_label_values_are_not_stretched(tmp_path: Path, values: tuple[int, int]) -> None:
    label = np.where(noise(8, 8) > 127, values[1], values[0]).astype(np.uint8)
    for name, stored in (("grey.png", label), ("rgb.png", np.stack([label] * 3, axis=2))):
        np.testing.assert_array_equal(read_values(save(tmp_path / name, stored)), label)


def test_palette_indices_stay_indices(tmp_path: Path) -> None:
    label = noise(8, 8) % 3
    picture = Image.fromarray(label, mode="P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_values(tmp_path / "a.png"), label)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png")[..., 0], np.where(label == 1, 255, 0))


def test_one_bit_per_pixel_is_zero_and_one_as_label_and_black_and_white_as_image(tmp_path: Path) -> None:
    mask = noise(5, 9) > 127
    path = save(tmp_path / "a.png", mask)
    assert Image.open(path).mode == "1"
    np.testing.assert_array_equal(read_values(path), mask.astype(np.uint8))
    np.testing.assert_array_equal(read_grey(path), np.where(mask, 255, 0))


def test_a_label_in_colour_names_no_class(tmp_path: Path) -> None:
    label = np.zeros((4, 4, 3), np.uint8)
    label[3, 3, 1] = 1
    with pytest.raises(CompetitionError, match=r"in colour.*a\.png"):
        read_values(save(tmp_path / "a.png", label))


@pytest.mark.parametrize("read", READERS)
def test_a_missing_picture_is_an_error_that_names_it(tmp_path: Path, read) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CompetitionError, match=r"image not found: .*absent\.png"):
        read(tmp_path / "absent.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("read", READERS)
def test_a_truncated_picture_is_an_error_that_names_it(tmp_path: Path, name: str, read) -> None:  # type: ignore[no-untyped-def]
    """At whatever byte it was cut; only bytes that hold no pixel may be missing (the end mark of a PNG)."""
    path = save(tmp_path / name, noise(24, 25))
    content, whole = path.read_bytes(), read(path)
    for length in [*range(0, len(content) - 20, 7), *range(len(content) - 20, len(content))]:
        path.write_bytes(content[:length])
        if len(content) - length <= 20 and name == "a.png":
            np.testing.assert_array_equal(read(path), whole)
        else:
            with pytest.raises(CompetitionError, match=rf"can't be read .*{name}"):
                read(path)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"x" * 99])
def test_what_is_no_picture_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "a.png", tmp_path / "folder.png"):
        with pytest.raises(CompetitionError, match=rf"can't be read .*{path.name}"):
            read_grey(path)


def test_a_damaged_png_never_escapes_as_another_kind_of_error(tmp_path: Path) -> None:
    """Flips one bit at a time; Pillow has several error types for it."""
    path = save(tmp_path / "a.png", noise(6, 6))
    content, whole = path.read_bytes(), read_grey(path)
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 16
        path.write_bytes(damaged)
        try:
            image = read_grey(path)
        except CompetitionError:
            continue
        assert position > len(content) - 20 or np.array_equal(image, whole)
