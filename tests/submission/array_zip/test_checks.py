"""The check of a submission of arrays."""

import zipfile

import numpy as np
import pytest
from array_submissions import CLASSES, SIZES, array_of, npy, random_masks, zip_of

from competition.submission.array_zip.checks import check_planes_submission
from competition.submission.known_images import KnownImages


@pytest.fixture
def good(tmp_path):
    arrays = {f"_{name.split('.')[0]}": array_of(random_masks(0, size)) for name, size in SIZES.items()}
    return zip_of(tmp_path / "good.zip", **arrays)


def errors(path, expected=tuple(SIZES), sizes=SIZES, size_hw=None):
    return check_planes_submission(path, CLASSES, KnownImages(expected, sizes, size_hw)).errors


def test_a_good_submission_has_no_error(good):
    result = check_planes_submission(good, CLASSES, KnownImages(tuple(SIZES), SIZES))
    assert (result.ok, result.rows, result.images) == (True, 2, 2)
    assert result.size_bytes == good.stat().st_size
    assert list(result.positive_share.values()) == [1, 0, 1, 1, 1, 1]
    assert result.warnings == ["class 'vertebra_2' is empty in every image"]


def changed(array, value, at):
    array = array.copy()
    array[at] = value
    return array


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda a: a.astype(np.int64), "7.npy is int64, not uint8"),
        (lambda a: a.astype(bool), "7.npy is bool, not uint8"),
        (lambda a: a[..., :6], "7.npy is 11x9x6, not rows x columns x 7"),
        (lambda a: a[..., 0], "7.npy is 11x9, not rows x columns x 7"),
        (lambda a: a.transpose(1, 0, 2), "7.npy is 9x11x7, its image has 11 rows and 9 columns"),
        (lambda a: a * np.uint8(255), "7.npy holds values other than 0 and 1, up to 255"),
        (lambda a: changed(a, 0, (10, 8)), "7.npy has 1 pixels where the last plane is not the complement"),
        (lambda a: changed(a, 1, (0, 0)), "7.npy has 1 pixels where the last plane is not the complement"),
        (lambda a: changed(a, 1, (..., 6)), "pixels where the last plane is not the complement"),
        (lambda a: npy(a)[:-1], "7.npy can't be read as a .npy of numbers"),
        (lambda a: b"no array", "7.npy can't be read as a .npy of numbers"),
        (lambda a: np.array([None, "x"]), "7.npy can't be read as a .npy of numbers"),
    ],
)
def test_a_wrong_array_is_named(tmp_path, change, expected):
    array, other = array_of(random_masks(0, (11, 9))), array_of(random_masks(0, (8, 13)))
    wrong = change(array)
    found = errors(zip_of(tmp_path / "a.zip", _7=wrong, _12=other))
    assert len(found) == 1
    assert expected in found[0]
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in (("7.npy", wrong), ("12.npy", other)):
        (folder / name).write_bytes(content if isinstance(content, bytes) else npy(content))
    assert [expected in error for error in errors(folder)] == [True]


def test_the_set_of_files_is_compared(tmp_path, good):
    more = {**SIZES, "15.dcm": (4, 4)}
    assert errors(good, tuple(more), more) == ["1 of 3 files missing: 15.npy"]
    assert errors(good, ("7.dcm",)) == ["1 of 2 files not in the test set: 12.npy"]
    assert errors(good, None) == []
    with zipfile.ZipFile(good, "a") as archive:
        archive.writestr("sub/7.npy", archive.read("7.npy"))
        archive.writestr("readme.txt", "hello")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("7.npy", archive.read("7.npy"))
    found = errors(good)
    assert "2 of 5 files not in the test set: sub/7.npy, readme.txt" in found
    assert "7.npy appears twice" in found
    assert any("readme.txt can't be read" in error for error in found)


def test_a_size_for_all_counts_where_none_is_known(good):
    assert errors(good, None, {}) == []
    assert len(errors(good, None, {}, (11, 9))) == 1


def test_what_is_no_zip_is_one_error(tmp_path, good):
    (tmp_path / "a.zip").write_text("image_name,class,rle\n")
    (tmp_path / "cut.zip").write_bytes(good.read_bytes()[:-40])
    (tmp_path / "empty").mkdir()
    for name, reason in (("a.zip", "no zip"), ("cut.zip", "no zip"), ("none.zip", "no such file")):
        found = errors(tmp_path / name)
        assert len(found) == 1
        assert reason in found[0]
    assert errors(tmp_path / "empty", None) == ["there is no file in it"]
