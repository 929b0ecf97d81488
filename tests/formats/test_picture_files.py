"""What a file's metadata does to its pixels, against 2x3 pixels turned by hand; and files that are traps."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from competition.data.checks.grey_range import is_narrow
from competition.errors import CompetitionError
from competition.formats.pictures import (
    exif_orientation,
    read_grey,
    read_ordered_values,
    read_rgb,
    read_values,
    stretch,
)
from competition.formats.tfrecords import build_example, write_records
from competition.tracks.cardiac.records import read_record_image

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


def test_one_bright_pixel_makes_the_range_narrow_only_where_it_is_stretched(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1000, 2000, (40, 50)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "good.png")
    values[3, 4] = 65_535
    Image.fromarray(values).save(tmp_path / "one.png")
    good, one = read_grey(tmp_path / "good.png"), read_grey(tmp_path / "one.png")
    Image.fromarray(one).save(tmp_path / "eight_bits.png")
    assert not is_narrow(tmp_path / "good.png", good)
    assert is_narrow(tmp_path / "one.png", one)
    assert not is_narrow(tmp_path / "eight_bits.png", one)


def test_the_range_of_a_record_is_narrow_where_wide_pixels_were_stretched(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1000, 2000, (40, 50)).astype("<i2")
    values[3, 4] = 32_767
    stored, grey = values.tobytes(), (values // 100).astype(np.uint8).tobytes()
    for name, pixels in (("wide", stored), ("bytes", grey)):
        features = {"height": 40, "width": 50, "img_raw": pixels}
        write_records(tmp_path / f"{name}.tfrecord", [build_example(features)])
    wide, flat = (read_record_image(tmp_path / f"{name}.tfrecord", 0) for name in ("wide", "bytes"))
    assert is_narrow(tmp_path / "wide.tfrecord#0", wide)
    assert not is_narrow(tmp_path / "bytes.tfrecord#0", flat)
