from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.masks.run_length_text import parse, parse_image
from competition.masks.run_lengths import (
    Order,
    decode_planes,
    encode_mask,
    encode_planes,
    overlaps,
    runs_to_mask,
)

SIZES = [(1, 1), (1, 7), (7, 1), (3, 5), (64, 48)]
ORDERS: list[Order] = ["row", "column"]


def organisers_encoder(mask: NDArray[np.bool_]) -> str:
    """What the competition's baseline writes."""
    pixels = np.concatenate([[0], mask.flatten(), [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(map(str, runs))


def expected_rle(mask: NDArray[np.bool_], order: Order) -> str:
    return organisers_encoder(mask if order == "row" else mask.T)


def masks_of(size_hw: tuple[int, int]) -> Iterator[NDArray[np.bool_]]:
    """Empty, full, first pixel, last pixel, a run across a row's end, a chessboard, and noise of every density."""
    height, width = size_hw
    yield np.zeros(size_hw, np.bool_)
    yield np.ones(size_hw, np.bool_)
    for flat in (0, height * width - 1, height * width // 2):
        mask = np.zeros(size_hw, np.bool_)
        mask.flat[flat] = True
        yield mask
    wrapping = np.zeros(size_hw, np.bool_)
    wrapping.flat[max(0, width - 2) : width + 2] = True
    yield wrapping
    yield np.indices(size_hw).sum(axis=0) % 2 == 0
    rng = np.random.default_rng(height * 100 + width)
    for density in (0.05, 0.3, 0.5, 0.7, 0.95):
        yield rng.random(size_hw) < density


def random_masks(classes: int, size_hw: tuple[int, int], seed: int = 0) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    return rng.random((classes, *size_hw)) < rng.random((classes, 1, 1))


def test_worked_by_hand() -> None:
    mask = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1]], np.bool_)
    assert encode_mask(mask) == "2 3 9 1"  # the run of row 1 goes on into row 2; the last pixel is the ninth
    assert encode_mask(mask, "column") == "2 1 4 1 7 1 9 1"
    assert parse("2 3 9 1", "here", 9).tolist() == [[1, 4], [8, 9]]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size_hw", SIZES)
def test_strings_are_the_organisers(size_hw: tuple[int, int], order: Order) -> None:
    for mask in masks_of(size_hw):
        assert encode_mask(mask, order) == expected_rle(mask, order)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("classes", [1, 2, 8, 9, 17, 29, 33, 64, 65, 130])
def test_all_classes_at_once_are_the_organisers(classes: int, order: Order) -> None:
    for size_hw in [*SIZES, (2, 31)]:
        masks = random_masks(classes, size_hw, seed=classes)
        planes = pack_masks(masks)
        rles = encode_planes(planes, classes, order)
        assert rles == [expected_rle(mask, order) for mask in masks]
        decoded = decode_planes(rles, size_hw, order)
        assert decoded.dtype == np.uint8
        assert decoded.flags.c_contiguous
        np.testing.assert_array_equal(decoded, planes)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size_hw", SIZES)
def test_every_mask_comes_back(size_hw: tuple[int, int], order: Order) -> None:
    pixels = size_hw[0] * size_hw[1]
    for mask in masks_of(size_hw):
        runs = parse(expected_rle(mask, order), "here", pixels)
        assert runs.dtype == np.int64
        assert runs.shape == (len(runs), 2)
        drawn = runs_to_mask(runs, size_hw, order)
        assert drawn.dtype == np.bool_
        np.testing.assert_array_equal(drawn, mask)
    masks = np.stack(list(masks_of(size_hw)))
    rles = [expected_rle(mask, order) for mask in masks]
    np.testing.assert_array_equal(decode_planes(rles, size_hw, order), pack_masks(masks))


@pytest.mark.parametrize("size_hw", SIZES)
def test_column_order_is_that_of_coco(size_hw: tuple[int, int]) -> None:
    for mask in masks_of(size_hw):
        runs = parse(encode_mask(mask, "column"), "here", mask.size)
        # COCO's counts go background, object, background, ... down the columns; a last background of 0 pixels is left
        # out.
        counts = np.diff(runs.ravel(), prepend=0, append=mask.size).tolist()
        uncompressed = {"size": list(size_hw), "counts": counts if counts[-1] else counts[:-1]}
        ours = coco.frPyObjects(uncompressed, *size_hw)
        theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert ours["counts"] == theirs["counts"]


def read(rles: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return parse_image(rles, ["here"] * len(rles), None)


@pytest.mark.parametrize("size_hw", SIZES)
def test_overlaps_are_those_of_dense_masks(size_hw: tuple[int, int]) -> None:
    masks = np.stack(list(masks_of(size_hw)))
    first, second = np.repeat(masks, len(masks), axis=0), np.tile(masks, (len(masks), 1, 1))  # every pair of them
    counted = overlaps(*(read([organisers_encoder(mask) for mask in side]) for side in (first, second)))
    assert counted.dtype == np.int64
    np.testing.assert_array_equal(counted, [side.sum(axis=(1, 2)) for side in (first & second, first, second)])


def test_overlaps_by_hand() -> None:
    # 4 5 6 and 6 7 share pixel 6; the whole of the second class; nothing on one side; nothing on both.
    assert overlaps(read(["4 3", "1 9", "", ""]), read(["6 2", "1 9", "2 5", ""])).tolist() == [
        [1, 9, 0, 0],
        [3, 9, 0, 0],
        [2, 9, 5, 0],
    ]
    assert overlaps(read([""]), read([""])).tolist() == [[0], [0], [0]]


def test_touching_runs_are_read_as_they_stand() -> None:
    runs = parse("1 2 3 4", "here", 6)
    assert runs.tolist() == [[0, 2], [2, 6]]
    assert overlaps(read(["1 2 3 4"]), read(["2 3"])).ravel().tolist() == [3, 6, 3]
    assert runs_to_mask(runs, (2, 3)).all()
    assert decode_planes(["1 2 3 4", ""], (2, 3)).ravel().tolist() == [1] * 6


def test_blanks_of_any_kind_separate() -> None:
    assert parse("  1 2\t4   1\n", "here").tolist() == [[0, 2], [3, 4]]
    assert parse("", "here", 9).shape == (0, 2)
    assert parse("  ", "here", 9).shape == (0, 2)


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ("1 2 3", "run lengths of 3 numbers, the last start has no length"),
        ("7", "run lengths of 1 number, the last start has no length"),
        ("1 x", "'x' in run lengths is no pixel number"),
        ("1 2.0", "'2.0' in run lengths is no pixel number"),
        ("1 1e3", "'1e3' in run lengths is no pixel number"),
        ("1_0 2", "'1_0' in run lengths is no pixel number"),
        ("-3 2", "'-3' in run lengths is no pixel number"),
        ("+3 2", "'+3' in run lengths is no pixel number"),
        ("1,2", "'1,2' in run lengths is no pixel number"),
        ("nan", "'nan' in run lengths is no pixel number"),
        ("٣ 2", "'٣' in run lengths is no pixel number"),
        ("1\u00a02", r"'1\xa02' in run lengths is no pixel number"),
        ("1 9223372036854775807", "'9223372036854775807' in run lengths is no pixel number"),
        ("99999999999999999999999 1", "'99999999999999999999999' in run lengths is no pixel number"),
        ("0 2", "run 1 ('0 2') starts at 0, but pixels are counted from 1"),
        ("1 2 5 0", "run 2 ('5 0') has length 0"),
        ("1 3 3 2", "run 2 ('3 2') starts before the one ahead of it has ended"),
        ("1 1 6 1 3 1", "run 3 ('3 1') starts before the one ahead of it has ended"),
        ("2 1 2 1", "run 2 ('2 1') starts before the one ahead of it has ended"),
        ("12 2", "a run ends at pixel 13, but the image has 12"),
        ("1 999999999999999999", "a run ends at pixel 999999999999999999, but the image has 12"),
        ("14 1", "a run ends at pixel 14, but the image has 12"),
    ],
)
def test_malformed_strings_are_named(rle: str, message: str) -> None:
    with pytest.raises(CompetitionError) as caught:
        parse(rle, "submission.csv row 4", 12)
    sentence = str(caught.value)
    assert sentence.startswith(f"{message}: submission.csv row 4.")
    assert "'start length' pairs" in sentence


def test_the_last_pixel_is_still_inside() -> None:
    assert parse("12 1", "here", 12).tolist() == [[11, 12]]
    assert parse("13 1", "here").tolist() == [[12, 13]]  # the size isn't known


def test_decoding_names_image_and_class() -> None:
    with pytest.raises(CompetitionError, match=r"has 12: a\.csv image 7, class index 1\."):
        decode_planes(["1 2", "12 2"], (3, 4), where="a.csv image 7")
    with pytest.raises(CompetitionError, match=r"has 12: class index 0\."):
        decode_planes(["12 2"], (3, 4))


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="label planes of 9 classes"):
        encode_planes(np.zeros((2, 2, 1), np.uint8), 9)
    with pytest.raises(ValueError, match="a mask is"):
        encode_mask(np.full((2, 2), 255, np.uint8))
    with pytest.raises(ValueError, match="no classes"):
        decode_planes([], (2, 2))
    for runs in ([[0, 5]], [[2, 3], [0, 1]], [[-1, 2]]):
        with pytest.raises(ValueError, match="negative"):
            runs_to_mask(np.array(runs, np.int64), (2, 2))


def relative_encoder(mask: NDArray[np.bool_], order: Order) -> str:
    """Gap and length of each run, pixel by pixel, as the pneumothorax competition hands them out."""
    numbers, count, inside = [], 0, False
    for pixel in mask.ravel() if order == "row" else mask.T.ravel():
        if pixel != inside:
            numbers.append(count)
            count, inside = 0, bool(pixel)
        count += 1
    return " ".join(map(str, [*numbers, count] if inside else numbers))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size_hw", SIZES)
def test_gaps_instead_of_starts_are_read(size_hw: tuple[int, int], order: Order) -> None:
    for mask in masks_of(size_hw):
        runs = parse(relative_encoder(mask, order), "here", mask.size, first=0, relative=True)
        np.testing.assert_array_equal(runs_to_mask(runs, size_hw, order), mask)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size_hw", SIZES)
def test_pixels_counted_from_zero_are_read(size_hw: tuple[int, int], order: Order) -> None:
    for mask in masks_of(size_hw):
        numbers = [int(word) for word in expected_rle(mask, order).split()]
        shifted = " ".join(str(number - (at % 2 == 0)) for at, number in enumerate(numbers))
        np.testing.assert_array_equal(runs_to_mask(parse(shifted, "here", mask.size, first=0), size_hw, order), mask)


def test_gaps_by_hand() -> None:
    # Two pixels off, three on, none off, one on, four off, two on: 12 pixels.
    assert parse("2 3 0 1 4 2", "here", 12, first=0, relative=True).tolist() == [[2, 5], [5, 6], [10, 12]]
    assert parse("3 3 0 1 4 2", "here", 12, first=1, relative=True).tolist() == [[2, 5], [5, 6], [10, 12]]
    assert parse("", "here", 12, first=0, relative=True).shape == (0, 2)


@pytest.mark.parametrize(
    ("rle", "first", "relative", "message"),
    [
        ("0 2 1 1", 0, False, "run 2 ('1 1') starts before the one ahead of it has ended"),
        ("0 13", 0, False, "a run ends at pixel 12, but the image has 12"),
        ("11 2", 0, False, "a run ends at pixel 12, but the image has 12"),
        ("0 3", 1, True, "run 1 ('0 3') starts at 0, but pixels are counted from 1"),
        ("3 0", 0, True, "run 1 ('3 0') has length 0"),
        ("2 3 5 3", 0, True, "a run ends at pixel 12, but the image has 12"),
        ("2 3 5", 0, True, "run lengths of 3 numbers, the last start has no length"),
        ("-1", 0, True, "'-1' in run lengths is no pixel number"),
        (" ".join(["999999999999999999"] * 20), 0, True, "the run lengths add up to more than any image has"),
    ],
)
def test_malformed_strings_of_other_forms_are_named(rle: str, first: int, relative: bool, message: str) -> None:
    with pytest.raises(CompetitionError) as caught:
        parse(rle, "train.csv, row 4", 12, first, relative)
    sentence = str(caught.value)
    assert sentence.startswith(f"{message}: train.csv, row 4.")
    assert f"'{'gap' if relative else 'start'} length' pairs of whole numbers, counted from {first}" in sentence


def test_the_last_pixel_is_still_inside_in_other_forms() -> None:
    assert parse("11 1", "here", 12, first=0).tolist() == [[11, 12]]
    assert parse("2 3 5 2", "here", 12, first=0, relative=True).tolist() == [[2, 5], [10, 12]]
