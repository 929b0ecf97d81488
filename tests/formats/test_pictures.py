"""Pictures come back as they are meant: orientation, colours and depth; and files that are traps."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from competition.errors import CompetitionError
from competition.formats.pictures import (
    exif_orientation,
    read_grey,
    read_ordered_values,
    read_rgb,
    read_values,
    stretch,
)

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


def write_tiff(path: Path, values: NDArray[np.generic], photometric: int) -> Path:
    """A TIFF of one strip by the specification: eight entries of type SHORT or LONG, then the values."""
    order, code = ("MM", ">") if values.dtype.byteorder == ">" else ("II", "<")
    rows, columns = values.shape
    entries = {256: columns, 257: rows, 258: 8 * values.itemsize, 259: 1, 262: photometric}
    entries |= {273: 8 + 2 + 12 * 8 + 4, 279: values.nbytes, 339: 3 if values.dtype.kind == "f" else 1}
    head = order.encode() + struct.pack(f"{code}HIH", 42, 8, len(entries))
    fields = b"".join(struct.pack(f"{code}HHII", tag, 4, 1, value) for tag, value in entries.items())
    path.write_bytes(head + fields + bytes(4) + values.tobytes())
    return path


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f4", ">f4"])
def test_tiffs_in_which_zero_is_white_are_shown_so_and_keep_their_labels(tmp_path: Path, dtype: str) -> None:
    values = np.array([[0, 50], [100, 255]], dtype)
    white, black = (write_tiff(tmp_path / f"{number}.tif", values, number) for number in (0, 1))
    np.testing.assert_array_equal(read_grey(black), [[0, 50], [100, 255]])
    np.testing.assert_array_equal(read_grey(white), [[255, 205], [155, 0]])
    np.testing.assert_array_equal(read_rgb(white), np.repeat(read_grey(white)[..., None], 3, axis=2))
    if dtype != "u1":  # of which Pillow gives what is shown
        np.testing.assert_array_equal(read_values(white), values)
    constant = write_tiff(tmp_path / "c.tif", np.full((2, 3), 60000, "<u2"), 0)
    assert not read_grey(constant).any()


@pytest.mark.parametrize("dtype", [">u2", "<u4"])
def test_a_tiff_that_pillow_does_not_show_is_refused(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(CompetitionError, match=r"image can't be read.*a\.tif"):
        read_grey(write_tiff(tmp_path / "a.tif", np.array([[0, 1], [2, 3]], dtype), 0))


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


@pytest.mark.slow
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


STORED = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)
UPRIGHT = {
    1: [[10, 20, 30], [40, 50, 60]],
    2: [[30, 20, 10], [60, 50, 40]],
    3: [[60, 50, 40], [30, 20, 10]],
    4: [[40, 50, 60], [10, 20, 30]],
    5: [[10, 40], [20, 50], [30, 60]],
    6: [[40, 10], [50, 20], [60, 30]],
    7: [[60, 30], [50, 20], [40, 10]],
    8: [[30, 60], [20, 50], [10, 40]],
}
"""EXIF 2.3, table of tag 0x0112: which stored row and column are the top and the left."""


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_every_reader_turns_by_the_exif_orientation(tmp_path: Path, orientation: int, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(STORED).save(path, exif=exif)
    for read in (read_grey, read_values, read_ordered_values):
        np.testing.assert_array_equal(read(path), UPRIGHT[orientation])
    np.testing.assert_array_equal(read_rgb(path)[..., 1], UPRIGHT[orientation])
    assert exif_orientation(path) == orientation


def test_a_jpeg_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = np.zeros((16, 32), np.uint8)
    picture[:8, :8] = 255  # stored at the top left, so upright at the top right
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif)
    image = read_grey(tmp_path / "a.jpg")
    assert image.shape == (32, 16)
    assert image[:8, 8:].min() > 250
    assert image[8:].max() < 5


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.png", "a.webp"])
def test_pages_and_frames_are_rejected_with_their_number(tmp_path: Path, name: str) -> None:
    pages = [Image.fromarray(np.full((8, 9, 3), 60 * number, np.uint8)) for number in range(3)]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    for read in (read_grey, read_rgb, read_values):
        with pytest.raises(CompetitionError, match=f"picture has 3 pages or frames, one is expected: .*{name}"):
            read(tmp_path / name)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted(tmp_path: Path, bad: float) -> None:
    values = np.ones((4, 5), np.float32)
    values[1, 2] = values[3, 3] = bad
    Image.fromarray(values).save(tmp_path / "a.tif")
    for read in (read_grey, read_values):
        with pytest.raises(CompetitionError, match=r"2 of 20 values that are not finite.*a\.tif"):
            read(tmp_path / "a.tif")


def test_a_label_of_floats_must_hold_whole_numbers(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, 1]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_values(tmp_path / "a.tif"), values)
    Image.fromarray(values / 2).save(tmp_path / "a.tif")
    with pytest.raises(CompetitionError, match="fractions"):
        read_values(tmp_path / "a.tif")


@pytest.mark.parametrize("size", [100_000, 28_000, 19_900])
def test_a_huge_declared_size_is_a_sentence_with_the_numbers(tmp_path: Path, size: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))
    (tmp_path / "a.png").write_bytes(content + chunk(b"IEND", b""))
    with pytest.raises(CompetitionError, match=r"more than the 268,435,456 .*that are read.*a\.png"):
        read_grey(tmp_path / "a.png")


def test_a_tiff_that_declares_more_rows_than_it_stores_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.full((24, 20), 7, np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    rows = content.index(struct.pack("<HH", 257, 4)) + 8  # of ImageLength, a 32-bit number
    content[rows : rows + 4] = struct.pack("<I", 30)
    path.write_bytes(content)
    with pytest.raises(CompetitionError, match=r"declares more pixels than it stores.*a\.tif"):
        read_grey(path)  # Pillow alone leaves the six rows black


def test_a_named_pipe_is_rejected_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(CompetitionError, match=r"it is a named pipe, not a file.*a\.png"):
        read_grey(tmp_path / "a.png")


def test_only_the_formats_that_are_meant_are_opened(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(CompetitionError, match="can't be read"):
        read_grey(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_colours_that_are_neither_grey_nor_rgb_are_named(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 5)).save(tmp_path / "a.tif")
    with pytest.raises(CompetitionError, match=f"colours {mode}, grey or RGB is expected"):
        read_rgb(tmp_path / "a.tif")


def test_stretching_by_blocks_is_stretching(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 60_000, (3000, 1000)).astype(np.uint16)
    low, high = float(values.min()), float(values.max())
    expected = np.round((values.astype(np.float64) - low) * (255 / (high - low))).astype(np.uint8)
    np.testing.assert_array_equal(stretch(values), expected)
