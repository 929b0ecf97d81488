"""Masks in a CSV: every form of run lengths, and what is told where rows and images don't fit."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.masks.run_lengths import Order
from competition.tracks.declared.run_length_table import (
    RunLengthTable,
    find_problems,
    find_rows,
    is_torn,
    read_run_lengths,
    read_table,
)

SIZE_HW = (3, 4)
PLAIN = RunLengthTable.model_validate({"csv": "train.csv", "image": "id", "rle": "rle"})
CLASSES = RunLengthTable.model_validate({"csv": "train.csv", "image": "id", "class": "kind", "rle": "rle"})
COLUMNS = RunLengthTable.model_validate({"csv": "train.csv", "image": "id"})


def write(folder: Path, *lines: str) -> Path:
    path = folder / "train.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path: Path, image: str, form: RunLengthTable, *classes: str) -> NDArray[np.bool_]:
    return unpack_planes(read_run_lengths(Path(f"{path}#{image}"), SIZE_HW, form, classes), len(classes))


def pixels(*positions: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE_HW, np.bool_)
    for row, column in positions:
        mask[row, column] = True
    return mask


@pytest.mark.parametrize(
    ("keys", "rle"),
    [
        # Three rows of four: (0, 3), (1, 0) and (2, 2), (2, 3).
        ({}, "4 2 11 2"),
        ({"start": 0}, "3 2 10 2"),
        ({"relative": True, "start": 0}, "3 2 5 2"),
        ({"relative": True}, "4 2 5 2"),
        # Four columns of three: (1, 0) is pixel 2, (2, 2) pixel 9, (0, 3) pixel 10, (2, 3) pixel 12.
        ({"order": "column"}, "2 1 9 2 12 1"),
        ({"order": "column", "start": 0}, "1 1 8 2 11 1"),
        ({"order": "column", "start": 0, "relative": True}, "1 1 6 2 1 1"),
    ],
)
def test_one_mask_in_every_form_by_hand(tmp_path: Path, keys: dict[str, object], rle: str) -> None:
    path = write(tmp_path, "id,rle", f"x.png,{rle}")
    expected = pixels((0, 3), (1, 0), (2, 2), (2, 3))
    np.testing.assert_array_equal(read(path, "x.png", PLAIN.model_copy(update=keys), "disc"), [expected])


@pytest.mark.parametrize("none", ["", "-1", " -1", "nan", "NaN", '""', '" "'])
def test_no_mask_is_written_in_several_ways(tmp_path: Path, none: str) -> None:
    path = write(tmp_path, "id,rle", f"x.png,{none}")
    assert not read(path, "x.png", PLAIN, "disc").any()
    assert find_problems(read_table(path, PLAIN, ("disc",)), {"x.png": "x"}, PLAIN, ["disc"]) == []


def test_several_rows_of_an_image_and_class_are_joined(tmp_path: Path) -> None:
    path = write(tmp_path, "id,rle,kind", "x,1 2,a", "y,12 1,a", "x,2 3,a", "x,,b", "x,5 1,a", "y,1 1,b")
    masks = read(path, "x", CLASSES, "a", "b")
    np.testing.assert_array_equal(masks, [pixels((0, 0), (0, 1), (0, 2), (0, 3), (1, 0)), pixels()])
    np.testing.assert_array_equal(read(path, "y", CLASSES, "a", "b"), [pixels((2, 3)), pixels((0, 0))])
    problems = find_problems(read_table(path, CLASSES, ("a", "b")), {"x": "x", "y": "y"}, CLASSES, "ab")
    assert problems == []


def test_each_class_may_have_a_column_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, "height,b,id, a ", "3,1 1,x,-1", "3,,y,12 1")
    np.testing.assert_array_equal(read(path, "x", COLUMNS, "a", "b"), [pixels(), pixels((0, 0))])
    np.testing.assert_array_equal(read(path, "y", COLUMNS, "a", "b"), [pixels((2, 3)), pixels()])


def test_a_class_column_may_stand_beside_a_single_class(tmp_path: Path) -> None:
    path = write(tmp_path, "id,rle,kind", "x,1 2,a")
    assert read(path, "x", CLASSES, "a").sum() == 2


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ("1 3 2 2", r"run 2 \('2 2'\) starts before the one ahead of it has ended"),
        ("11 3", "a run ends at pixel 13, but the image has 12"),
        ("0 3", "starts at 0, but pixels are counted from 1"),
        ("1 2 3", "the last start has no length"),
        ("one", "'one' in run lengths is no pixel number"),
    ],
)
def test_run_lengths_that_overlap_or_leave_the_image_are_named_with_row_and_image(
    tmp_path: Path, rle: str, message: str
) -> None:
    path = write(tmp_path, "id,rle", "w.png,1 1", f"x.png,{rle}")
    with pytest.raises(CompetitionError, match=rf"{message}: .*train\.csv, row 3, image x\.png, class disc\."):
        read(path, "x.png", PLAIN, "disc")
    assert read(path, "w.png", PLAIN, "disc").sum() == 1


def test_names_with_and_without_ending_are_found(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "id,rle", "a,1 1", "b.png,1 1", "c,1 1", "c.png,2 1", "d.e,1 1"), PLAIN, ("x",))
    assert [table.written(f"{name}.png") for name in ("a", "b", "c", "d.e", "f")] == [
        "a",
        "b.png",
        "c.png",
        "d.e",
        "f.png",
    ]


def test_rows_and_images_that_do_not_fit_are_problems(tmp_path: Path) -> None:
    path = write(tmp_path, "id,kind,rle", "1,a,1 1", "1,b,", "9,a,1 1", "9,b,", "2.png,b,1 1", "1,a,1 1", "2.png,b,1 1")
    table = read_table(path, CLASSES, ("a", "b"))
    keys = {table.written(f"{number}.png"): str(number) for number in (1, 2, 3)}
    problems = find_problems(table, keys, CLASSES, ["a", "b"])
    assert {(p.key, p.reason) for p in problems} == {
        ("3", "annotation missing: no row of image '3.png'"),
        ("1", "row 7 repeats row 2"),
        ("9", "row 4: there is no training image '9'"),
        ("2", "annotation missing: no row of class 'a' (write -1 where there is no mask)"),
        ("2", "row 8 repeats row 6"),
    }
    assert {(p.split, p.path, p.note) for p in problems} == {("train", "train.csv", False)}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["id,rl", "x,1 1"], r"there is no column 'rle', did you mean 'rl'\? \(.*train\.csv"),
        (["image,rle", "x,1 1"], r"there is no column 'id'; known are image, rle: .*train\.csv"),
        (["id,rle,rle", "x,1 1,"], "twice 'rle'"),
        (["id,rle", "x"], r"row 2 has 1 fields, not 2: .*train\.csv"),
    ],
)
def test_a_table_without_its_columns_is_named(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(CompetitionError, match=message):
        read_table(write(tmp_path, *lines), PLAIN, ("x",))


def test_an_unknown_class_is_named_with_its_row(tmp_path: Path) -> None:
    path = write(tmp_path, "id,kind,rle", "1,disc,1 1", "1,disk,1 1")
    with pytest.raises(CompetitionError, match=r"unknown class 'disk', did you mean 'disc'\? \(.*train\.csv, row 3\)"):
        read_table(path, CLASSES, ("disc", "bar"))


def test_a_missing_table_or_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(CompetitionError, match=r"can't read the file \(No such file.*train\.csv"):
        read_table(tmp_path / "train.csv", PLAIN, ("x",))
    path = write(tmp_path, "id,rle", "1,1 1")
    with pytest.raises(CompetitionError, match=r"no row of image '2': .*train\.csv"):
        read(path, "2", PLAIN, "x")


def test_a_changed_table_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path, "id,rle", "1,1 1")
    assert read(path, "1", PLAIN, "x").sum() == 1
    write(tmp_path, "id,rle", "1,1 3")
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1000))
    assert read(path, "1", PLAIN, "x").sum() == 3


def test_a_row_longer_than_the_csv_module_allows_by_itself_is_read(tmp_path: Path) -> None:
    size_hw = (400, 400)
    rle = " ".join(f"{start} 1" for start in range(1, 160_000, 2))
    assert len(rle) > 131_072
    path = write(tmp_path, "id,rle", f"1,{rle}")
    planes = read_run_lengths(Path(f"{path}#1"), size_hw, PLAIN, ("x",))
    assert planes.sum() == 80_000


def test_rows_of_every_fitting_table_below_a_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    path = write(tmp_path / "truth", "id,rle", "7.png,1 1", "8,1 1", "9.5,1 1")
    (tmp_path / "other.csv").write_text("image,rle\n1,1 1\n")
    found = find_rows(tmp_path, PLAIN, ("x",), {".png"})
    assert found == {"7": [Path(f"{path}#7.png")], "8": [Path(f"{path}#8")], "9.5": [Path(f"{path}#9.5")]}
    assert read_run_lengths(found["9.5"][0], SIZE_HW, PLAIN, ("x",)).sum() == 1


@pytest.mark.parametrize("order", ["row", "column"])
def test_masks_that_are_whole_only_in_the_other_order_are_torn(tmp_path: Path, order: Order) -> None:
    disc = np.hypot(*np.mgrid[-20:20, -15:45]) < 9
    counted = disc.ravel(order="C" if order == "row" else "F")
    edges = np.flatnonzero(np.diff(counted.astype(int), prepend=0, append=0))
    rle = " ".join(f"{start + 1} {end - start}" for start, end in edges.reshape(-1, 2))
    path = Path(f"{write(tmp_path, 'id,rle', f'x,{rle}', 'y,-1')}#x")
    other: Order = "column" if order == "row" else "row"
    declared, wrong = (PLAIN.model_copy(update={"order": each}) for each in (order, other))
    np.testing.assert_array_equal(unpack_planes(read_run_lengths(path, disc.shape, declared, ("disc",)), 1)[0], disc)
    assert not is_torn(path, disc.shape, declared, ("disc",))
    assert is_torn(path, disc.shape, wrong, ("disc",))
    assert not is_torn(path, (60, 60), wrong, ("disc",))  # of a square image the masks would only be transposed
    assert not is_torn(path.with_name("train.csv#y"), disc.shape, wrong, ("disc",))
