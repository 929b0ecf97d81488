"""The submission of arrays: written, checked and scored; truth is counted densely, and zips are built by zipfile."""

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import scipy.io

from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.submission.array_zip.files import (
    list_plane_files,
    open_plane_files,
    packed,
    plane_file_name,
    with_background,
    write_plane_files,
)
from competition.submission.array_zip.scoring import score_planes
from competition.submission.array_zip.validator import check_planes_submission
from competition.tracks.lumbar.track import LUMBAR

CLASSES = LUMBAR.classes
SIZES = {"7.dcm": (11, 9), "12.DCM": (8, 13)}


def random_masks(seed, size_hw):
    """Six masks that overlap; the second is empty."""
    masks = np.random.default_rng(seed).random((6, *size_hw)) < 0.3
    masks[1] = False
    return masks


def array_of(masks):
    """(H, W, 7) uint8 with the background, pixel by pixel."""
    array = np.zeros((*masks.shape[1:], 7), np.uint8)
    for row, column in np.ndindex(masks.shape[1:]):
        values = masks[:, row, column]
        array[row, column, :6] = values
        array[row, column, 6] = not any(values)
    return array


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def zip_of(path, **arrays):
    """A submission as somebody else might write it; keys are stems, values arrays or bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for stem, value in arrays.items():
            archive.writestr(f"{stem.lstrip('_')}.npy", value if isinstance(value, bytes) else npy(value))
    return path


@pytest.fixture
def good(tmp_path):
    arrays = {f"_{name.split('.')[0]}": array_of(random_masks(0, size)) for name, size in SIZES.items()}
    return zip_of(tmp_path / "good.zip", **arrays)


def errors(path, expected=tuple(SIZES), sizes=SIZES, size_hw=None):
    return check_planes_submission(path, CLASSES, size_hw, expected, sizes).errors


def test_an_image_keeps_its_name():
    assert [plane_file_name(name) for name in ("7.dcm", "a.b.DCM")] == ["7.npy", "a.b.npy"]


def test_the_background_is_what_no_class_covers():
    masks = random_masks(1, (5, 6))
    array = with_background(pack_masks(masks), 6)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, array_of(masks))
    np.testing.assert_array_equal(packed(array), pack_masks(masks))


def test_files_and_zip_hold_the_same_arrays_in_the_given_order(tmp_path):
    images = {name: array_of(random_masks(2, size)) for name, size in SIZES.items()}
    path = tmp_path / "out" / "submission.zip"
    write_plane_files(path, tmp_path / "out" / "planes", images.items())
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["7.npy", "12.npy"]
        for name, array in images.items():
            np.testing.assert_array_equal(np.load(io.BytesIO(archive.read(plane_file_name(name)))), array)
            np.testing.assert_array_equal(np.load(tmp_path / "out" / "planes" / plane_file_name(name)), array)
    assert list_plane_files(path) == ["7.npy", "12.npy"]
    assert list_plane_files(tmp_path / "out" / "planes") == ["12.npy", "7.npy"]
    assert errors(path) == errors(tmp_path / "out" / "planes") == []


def test_the_same_masks_give_the_same_bytes_on_another_day(tmp_path, monkeypatch):
    images = [("7.dcm", array_of(random_masks(2, (30, 20))))]
    write_plane_files(tmp_path / "a.zip", tmp_path / "a", images)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    write_plane_files(tmp_path / "b.zip", tmp_path / "b", images)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert zipfile.ZipFile(tmp_path / "a.zip").infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_a_failure_half_way_leaves_what_was_there(tmp_path):
    path, folder = tmp_path / "submission.zip", tmp_path / "planes"
    write_plane_files(path, folder, [("1.dcm", array_of(random_masks(0, (4, 4))))])
    before = path.read_bytes()

    def broken():
        yield "2.dcm", array_of(random_masks(0, (4, 4)))
        raise CompetitionError("a map is missing")

    with pytest.raises(CompetitionError, match="a map is missing"):
        write_plane_files(path, folder, broken())
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["1.npy", "planes", "submission.zip"]


def test_a_good_submission_has_no_error(good):
    result = check_planes_submission(good, CLASSES, None, tuple(SIZES), SIZES)
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


def test_a_member_that_differs_from_its_checksum_is_damaged(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("7.npy", npy(array_of(random_masks(0, (60, 50)))))
        checksum = archive.getinfo("7.npy").CRC.to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(checksum, b"wxyz"))
    with open_plane_files(path) as files, pytest.raises(CompetitionError, match=r"7\.npy can't be read"):
        files.read("7.npy", 6)


def test_the_table_of_contents_of_a_zip_is_read_once(tmp_path, monkeypatch):
    arrays = {f"_{number}": array_of(random_masks(number, (5, 4))) for number in range(40)}
    path = zip_of(tmp_path / "a.zip", **arrays)
    sizes = {f"{number}.dcm": (5, 4) for number in range(40)}
    opened = []

    class Counted(zipfile.ZipFile):
        def __init__(self, *arguments):
            opened.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(zipfile, "ZipFile", Counted)
    assert check_planes_submission(path, CLASSES, None, tuple(sizes), sizes).ok
    assert len(opened) == 1
    assert score_planes(LUMBAR, path, path, sizes).score == 1.0
    assert len(opened) == 3


def dense_dice(a, b):
    total = a.sum() + b.sum()
    return 2 * (a & b).sum() / total if total else 1.0


@pytest.fixture
def pair(tmp_path):
    """A submission and different truth, in memory and as files of both kinds."""
    ours = {"7": random_masks(0, (11, 9)), "12": random_masks(1, (8, 13))}
    theirs = {"7": random_masks(5, (11, 9)), "12": random_masks(6, (8, 13))}
    ours["12"][5], theirs["12"][5] = True, False
    zip_of(tmp_path / "ours.zip", **{f"_{stem}": array_of(masks) for stem, masks in ours.items()})
    zip_of(tmp_path / "theirs.zip", **{f"_{stem}": array_of(masks) for stem, masks in theirs.items()})
    (tmp_path / "label").mkdir()
    scipy.io.savemat(tmp_path / "label/007.mat", {"label_separated": array_of(theirs["7"])})
    turned = array_of(theirs["12"]).transpose(1, 0, 2)
    scipy.io.savemat(tmp_path / "label/012.mat", {"label_separated": turned})
    return ours, theirs


@pytest.mark.parametrize("truth", ["theirs.zip", "label"])
def test_the_score_is_the_mean_of_dense_dice(tmp_path, pair, truth):
    ours, theirs = pair
    result = score_planes(LUMBAR, tmp_path / "ours.zip", tmp_path / truth, SIZES)
    table = np.array([[dense_dice(a, b) for a, b in zip(ours[stem], theirs[stem], strict=True)] for stem in ours])
    assert table[0, 1] == 1.0  # empty against empty
    assert table[1, 5] == 0.0
    assert (result.metric, result.rows, result.score) == ("dice", 12, pytest.approx(table.mean(), abs=1e-12))
    assert list(result.per_class) == list(CLASSES)
    assert list(result.per_class.values()) == pytest.approx(table.mean(axis=0).tolist())
    assert result.per_image == pytest.approx({"7.npy": table[0].mean(), "12.npy": table[1].mean()})
    equal = [(array_of(ours[stem]) == array_of(theirs[stem])).mean() for stem in ours]
    nothing = [(array_of(np.zeros_like(theirs[stem])) == array_of(theirs[stem])).mean() for stem in ours]
    assert result.beside == pytest.approx(
        {"plane_accuracy": np.mean(equal), "all_background_accuracy": np.mean(nothing)}, abs=1e-12
    )
    assert set(result.figures()) >= {"metric", "score", "per_class", "rows", "plane_accuracy"}


def test_truth_against_itself_is_one(tmp_path, pair):
    result = score_planes(LUMBAR, tmp_path / "theirs.zip", tmp_path / "label", SIZES)
    assert (result.score, result.beside["plane_accuracy"]) == (1.0, 1.0)


def test_a_transposed_submission_does_not_score_against_a_label_that_fits_either_way(tmp_path, pair):
    _, theirs = pair
    zip_of(tmp_path / "turned.zip", **{f"_{stem}": array_of(m).transpose(1, 0, 2) for stem, m in theirs.items()})
    with pytest.raises(CompetitionError, match="its image has 11 rows and 9 columns"):
        score_planes(LUMBAR, tmp_path / "turned.zip", tmp_path / "label", SIZES)


def test_images_on_one_side_only_are_an_error(tmp_path, pair):
    one = zip_of(tmp_path / "one.zip", _7=array_of(pair[0]["7"]))
    with pytest.raises(CompetitionError, match=r"1 files are missing in the submission \(12\.npy\)"):
        score_planes(LUMBAR, one, tmp_path / "theirs.zip")
    with pytest.raises(CompetitionError, match=r"1 files are missing in the truth \(12\.npy\)"):
        score_planes(LUMBAR, tmp_path / "theirs.zip", one)
    (tmp_path / "label/012.mat").unlink()
    with pytest.raises(CompetitionError, match="1 of 2 images have no label"):
        score_planes(LUMBAR, tmp_path / "ours.zip", tmp_path / "label")


def test_two_images_may_not_share_a_label_nor_two_labels_an_image(tmp_path, pair):
    array = array_of(pair[0]["7"])
    both = zip_of(tmp_path / "both.zip", _7=array, a_7=array)
    with pytest.raises(CompetitionError, match="would have the same label"):
        score_planes(LUMBAR, both, tmp_path / "label")
    (tmp_path / "label/7.mat").write_bytes((tmp_path / "label/007.mat").read_bytes())
    with pytest.raises(CompetitionError, match=r"2 files could be the label of '7\.npy'"):
        score_planes(LUMBAR, tmp_path / "ours.zip", tmp_path / "label")


def test_a_wrong_array_can_not_be_scored(tmp_path, pair):
    bad = zip_of(tmp_path / "bad.zip", _7=array_of(pair[0]["7"]) * np.uint8(255), _12=array_of(pair[0]["12"]))
    for submission, truth in (("bad.zip", "theirs.zip"), ("theirs.zip", "bad.zip")):
        with pytest.raises(CompetitionError, match=r"7\.npy holds values other than 0 and 1"):
            score_planes(LUMBAR, tmp_path / submission, tmp_path / truth)
    assert bad.exists()


def test_nothing_to_score_is_an_error(tmp_path, pair):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CompetitionError, match="nothing to score"):
        score_planes(LUMBAR, tmp_path / "empty", tmp_path / "label")
    with pytest.raises(CompetitionError, match="has no label files"):
        score_planes(replace(LUMBAR, read_label=None), tmp_path / "ours.zip", tmp_path / "label")
