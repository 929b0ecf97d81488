"""Labels of vertebrae in every form they come in, the right way round, or refused with a sentence."""

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.tracks.lumbar.labels import TURNED, read_vertebrae
from competition.tracks.lumbar.track import LUMBAR

SIZE_HW = (40, 30)
CLASSES = 6


def boxes(size_hw=SIZE_HW):
    """Six boxes (6, H, W) from the top down; the third is empty, and two share a row of pixels."""
    masks = np.zeros((CLASSES, *size_hw), bool)
    for index in range(CLASSES):
        masks[index, 6 * index : 6 * index + 4 + (index == 4) * 3, 8 + index : 20] = index != 2
    return masks


def planes_of(masks, background=1, kind=np.uint8):
    """(rows, columns, 7) as the organisers store them."""
    stored = np.zeros((*masks.shape[1:], 7), kind)
    for index, mask in enumerate(masks):
        stored[..., index][mask] = 1
    stored[..., 6][~masks.any(axis=0)] = background
    return stored


def write_mat(path, stored, key="label_separated"):
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {key: stored}, do_compression=True)
    return path


def write_mat_73(path, stored):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["label_separated"] = np.transpose(stored, (2, 1, 0))
    return path


def masks_in(path, size_hw=SIZE_HW):
    planes = read_vertebrae(path, size_hw)
    assert (planes.shape, planes.dtype) == ((*size_hw, 1), np.uint8)
    return unpack_planes(planes, CLASSES)


def failure(path, size_hw=SIZE_HW):
    with pytest.raises(CompetitionError) as caught:
        read_vertebrae(path, size_hw)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("background", [1, 255, 0])
@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_the_background_plane_may_hold_anything(tmp_path, background, kind) -> None:
    path = write_mat(tmp_path / "1.mat", planes_of(boxes(), background, kind))
    np.testing.assert_array_equal(masks_in(path), boxes())


def test_vertebrae_of_255_and_of_logical_values_are_the_same(tmp_path) -> None:
    stored = planes_of(boxes())
    np.testing.assert_array_equal(masks_in(write_mat(tmp_path / "1.mat", stored * np.uint8(255))), boxes())
    np.testing.assert_array_equal(masks_in(write_mat(tmp_path / "2.mat", stored.astype(bool))), boxes())


def test_version_73_is_the_same_label(tmp_path) -> None:
    np.testing.assert_array_equal(masks_in(write_mat_73(tmp_path / "1.mat", planes_of(boxes()))), boxes())


@pytest.mark.parametrize("write", [write_mat, write_mat_73])
def test_a_label_is_transposed_where_only_that_fits(tmp_path, write) -> None:
    path = write(tmp_path / "1.mat", planes_of(boxes()).transpose(1, 0, 2))
    np.testing.assert_array_equal(masks_in(path), boxes())


SQUARE = (40, 40)


@pytest.mark.parametrize("write", [write_mat, write_mat_73])
def test_a_square_label_is_turned_until_its_vertebrae_descend(tmp_path, write) -> None:
    square = boxes(SQUARE)  # they move to the right too, by less
    upright = write(tmp_path / "1.mat", planes_of(square))
    turned = write(tmp_path / "2.mat", planes_of(square).transpose(1, 0, 2))
    np.testing.assert_array_equal(masks_in(upright, SQUARE), square)
    np.testing.assert_array_equal(masks_in(turned, SQUARE), square)
    assert LUMBAR.inspect_label is not None
    assert LUMBAR.inspect_label(upright, SQUARE) == []
    assert LUMBAR.inspect_label(turned, SQUARE) == [TURNED]


def dots(rows, columns):
    """A pixel for each vertebra; none where the row is None."""
    masks = np.zeros((CLASSES, *SQUARE), bool)
    for mask, row, column in zip(masks, rows, columns, strict=True):
        if row is not None:
            mask[row, column] = True
    return masks


@pytest.mark.parametrize(
    ("rows", "columns", "turned"),
    [
        ([1, 5, 9, 14, 20, 27], [9, 8, 7, 7, 9, 14], False),
        ([1, 5, 9, 14, 20, 27], [0, 1, 2, 3, 4, 5], False),  # slanted to the right
        ([0, 1, 2, 3, 4, 5], [1, 5, 9, 14, 20, 27], True),  # the same, turned
        ([9, 8, 7, 7, 9, 14], [1, 5, 9, 14, 20, 27], True),
        ([None, 5, 9, None, 20, None], [0, 8, 7, 0, 9, 0], False),
        ([None, 8, 7, None, 9, None], [0, 5, 9, 0, 20, 0], True),
        ([None, None, None, 7, None, None], [0, 0, 0, 39, 0, 0], False),
        ([None] * 6, [0] * 6, False),
    ],
)
def test_which_way_round_a_square_label_is(tmp_path, rows, columns, turned) -> None:
    masks = dots(rows, columns)
    path = write_mat(tmp_path / "1.mat", planes_of(masks))
    np.testing.assert_array_equal(masks_in(path, SQUARE), masks.transpose(0, 2, 1) if turned else masks)
    assert LUMBAR.inspect_label is not None
    assert LUMBAR.inspect_label(path, SQUARE) == [TURNED] * turned


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ([27, 20, 14, 9, 5, 1], [9, 8, 7, 7, 9, 14]),  # from the bottom up
        ([27, 20, 14, 9, 5, 1], [1, 2, 3, 4, 5, 6]),  # the same, slanted
        ([1, 5, 14, 9, 20, 27], [9, 8, 7, 7, 9, 14]),  # two exchanged
        ([1, 5, 9, 9, 20, 27], [9, 8, 7, 7, 9, 14]),  # two beside each other
    ],
)
def test_square_labels_that_are_no_spine_either_way_are_refused(tmp_path, rows, columns) -> None:
    for number, masks in enumerate((dots(rows, columns), dots(columns, rows))):
        path = write_mat(tmp_path / f"{number}.mat", planes_of(masks))
        assert "not six vertebrae from the top down, neither way round" in failure(path, SQUARE)


def test_where_the_size_tells_the_vertebrae_are_not_asked(tmp_path) -> None:
    upside_down = boxes()[:, ::-1]
    for stored in (planes_of(upside_down), planes_of(upside_down).transpose(1, 0, 2)):
        path = write_mat(tmp_path / "1.mat", stored)
        np.testing.assert_array_equal(masks_in(path), upside_down)
        assert LUMBAR.inspect_label is not None
        assert LUMBAR.inspect_label(path, SIZE_HW) == []


def test_turned_squares_are_said_once_and_impossible_ones_are_listed(tmp_path, write_dicom, stage) -> None:
    random = np.random.default_rng(0)
    for number in range(1, 7):
        picture = random.integers(0, 4096, SQUARE).astype(np.uint16)
        write_dicom(tmp_path / f"raw/train/img/{number}.dcm", picture, PatientID=f"P{number}")
        masks = np.roll(boxes(SQUARE), number, axis=2)
        stored = planes_of(masks[:, ::-1] if number == 6 else masks)
        write_mat(tmp_path / f"raw/train/label/{number}.mat", stored.transpose(1, 0, 2) if number in (2, 5) else stored)
    words = ("prepare", "--track", "lumbar", "--data", tmp_path / "raw", "--folds", 2, "--skip-bad")
    figures, said = stage(*words)
    remark = "labels: 2 square labels have rows and columns swapped and were transposed (2.dcm, 5.dcm)"
    assert figures["remarks"] == [remark]
    assert said.count("rows and columns swapped") == 1
    (problem,) = figures["problems"]
    assert (problem["key"], problem["path"]) == ("train_6", "train/label/6.mat")
    assert "not six vertebrae from the top down" in problem["reason"]
    assert figures["samples"]["train"] == 5
    assert stage(*words)[0]["remarks"] == [remark]  # also where nothing is read again


def test_a_label_of_another_size_is_refused(tmp_path) -> None:
    path = write_mat(tmp_path / "1.mat", planes_of(boxes()))
    assert "label is 40x30, which fits its image of 40x31 (rows x columns) neither way round" in failure(path, (40, 31))
    assert "neither way round" in failure(path, (39, 30))


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 6), (40, 30, 8), (7, 40, 30), (40, 30, 7, 2)])
def test_a_label_of_another_depth_is_refused(tmp_path, shape) -> None:
    path = write_mat(tmp_path / "1.mat", np.ones(shape, np.uint8))
    assert f"label is {'x'.join(map(str, shape))}, not rows x columns x 7 planes" in failure(path)


def test_a_missing_key_nan_and_cut_files_are_refused(tmp_path) -> None:
    assert "no key 'label_separated' (it has label)" in failure(write_mat(tmp_path / "1.mat", boxes(), "label"))
    stored = planes_of(boxes(), kind=np.float64)
    stored[3, 3, 6] = np.nan
    assert "NaN" in failure(write_mat(tmp_path / "2.mat", stored))
    whole = write_mat(tmp_path / "3.mat", planes_of(boxes())).read_bytes()
    (tmp_path / "3.mat").write_bytes(whole[:-30])
    assert "can't be read" in failure(tmp_path / "3.mat")


@pytest.mark.parametrize("odd", [128, -1, 0.5])
def test_a_smoothly_resized_plane_is_refused(tmp_path, odd) -> None:
    stored = planes_of(boxes(), kind=np.float64)
    stored[1, 10, 0] = odd
    path = write_mat(tmp_path / "1.mat", stored)
    assert "plane 0 (vertebra_1) holds more values than 0 and" in failure(path)


def test_a_plane_of_one_negative_value_is_refused(tmp_path) -> None:
    stored = planes_of(boxes(), kind=np.float64)
    stored[..., 5] = -1
    assert "plane 5 (vertebra_6)" in failure(write_mat(tmp_path / "1.mat", stored))


@pytest.mark.parametrize("palette", [False, True])
def test_a_png_holds_the_vertebrae_by_value(tmp_path, palette) -> None:
    masks = boxes()
    masks[5] &= ~masks[4]  # one picture can't hold two at a pixel
    values = sum(np.where(mask, number, 0) for number, mask in enumerate(masks, start=1)).astype(np.uint8)
    picture = Image.fromarray(values)
    if palette:
        picture.putpalette([n for value in range(256) for n in (value, 255 - value, 7)])
    picture.save(tmp_path / "1.png")
    np.testing.assert_array_equal(masks_in(tmp_path / "1.png"), masks)
    assert "label is 40x30, its image 30x40" in failure(tmp_path / "1.png", (30, 40))
    values[0, 0] = 7
    Image.fromarray(values).save(tmp_path / "2.png")
    assert "value 7 is no vertebra" in failure(tmp_path / "2.png")
