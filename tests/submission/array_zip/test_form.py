"""Zips of arrays: checks of broken ones, votes and differences against dense arrays."""

import zipfile
from contextlib import ExitStack
from fractions import Fraction

import numpy as np
import pytest
from array_submissions import CLASSES, SIZES, array_of, npy, random_masks, zip_of

from competition.errors import CompetitionError
from competition.masks.run_length_votes import quorum
from competition.submission.array_zip.files import open_plane_files, packed
from competition.submission.array_zip.form import ArrayZipForm, open_alike, vote_on_arrays
from competition.submission.known_images import NOTHING_KNOWN, KnownImages
from competition.submission.run_lengths.files import read_rle_csv
from competition.submission.run_lengths.form import RunLengthForm


@pytest.fixture
def good(tmp_path):
    arrays = {f"_{name.split('.')[0]}": array_of(random_masks(0, size)) for name, size in SIZES.items()}
    return zip_of(tmp_path / "good.zip", **arrays)


def errors(path, expected=tuple(SIZES), sizes=SIZES, size_hw=None):
    return ArrayZipForm().check(path, CLASSES, KnownImages(expected, sizes, size_hw)).errors


def test_a_good_submission_has_no_error(good):
    result = ArrayZipForm().check(good, CLASSES, KnownImages(tuple(SIZES), SIZES))
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
    for name, reason in (("a.zip", "not a zip"), ("cut.zip", "not a zip"), ("none.zip", "no such file")):
        found = errors(tmp_path / name)
        assert len(found) == 1
        assert reason in found[0]
    assert errors(tmp_path / "empty", None) == ["there is no file in it"]


KNOWN = KnownImages(sizes=SIZES)


@pytest.fixture
def members(tmp_path):
    """Four submissions, in memory and as zips; the files of the third come in another order."""
    stems = {name.split(".")[0]: size for name, size in SIZES.items()}
    masks = [{stem: random_masks(member, size) for stem, size in stems.items()} for member in range(4)]
    paths = []
    for number, one in enumerate(masks):
        names = sorted(one, reverse=number == 2)
        paths.append(zip_of(tmp_path / f"{number}.zip", **{f"_{stem}": array_of(one[stem]) for stem in names}))
    return masks, paths


@pytest.mark.parametrize(
    ("weights", "threshold"),
    [
        (["1", "1", "1", "1"], "1/2"),  # two of four are no majority
        (["2", "1", "1", "0"], "1/2"),
        (["0.3", "0.3", "0.3", "0.1"], "0.6"),
        (["1", "1", "1", "1"], "0"),
        (["123456789", "987654321", "5", "1"], "0.25"),
    ],
)
def test_the_vote_is_that_of_dense_masks(members, tmp_path, weights, threshold):
    masks, paths = members
    weights, threshold = [Fraction(weight) for weight in weights], Fraction(threshold)
    written = ArrayZipForm().vote(paths, quorum(weights, threshold), CLASSES, KNOWN, tmp_path / "out" / "V.zip")
    assert written == 2
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["V.zip"]
    with open_plane_files(tmp_path / "out" / "V.zip") as files:
        assert files.names == ["12.npy", "7.npy"]  # the order of the first
        for stem in masks[0]:
            shares = sum(one[stem].astype(object) * weight for one, weight in zip(masks, weights, strict=True))
            np.testing.assert_array_equal(files.read(f"{stem}.npy", 6), array_of(shares > threshold * sum(weights)))


def test_the_vote_is_that_of_run_lengths(members, tmp_path):
    _, paths = members
    election = quorum([Fraction(3), Fraction(2), Fraction(2), Fraction(1)], Fraction(1, 2))
    ArrayZipForm().vote(paths, election, CLASSES, KNOWN, tmp_path / "V.zip")
    tables = []
    for path in [*paths, tmp_path / "V.zip"]:
        with open_plane_files(path) as files:
            planes = [(name, packed(files.read(name, 6))) for name in sorted(files.names)]
        RunLengthForm().write(path.with_suffix(".csv"), CLASSES, planes)
        tables.append(path.with_suffix(".csv"))
    RunLengthForm().vote(tables[:4], election, CLASSES, KnownImages(), tmp_path / "W.csv")
    assert read_rle_csv(tmp_path / "W.csv") == read_rle_csv(tables[4])


def test_a_folder_of_arrays_votes_as_its_zip(members, tmp_path):
    masks, paths = members
    (tmp_path / "folder").mkdir()
    for stem, one in masks[0].items():
        np.save(tmp_path / "folder" / f"{stem}.npy", array_of(one))
    with ExitStack() as opened:
        files = open_alike([tmp_path / "folder", *paths[1:]], opened)
        voted = dict(vote_on_arrays(files, 6, quorum([Fraction(1)] * 4, Fraction(1, 2)), KnownImages()))
    assert voted["7.npy"].dtype == np.uint8
    np.testing.assert_array_equal(voted["7.npy"], array_of(sum(one["7"].astype(int) for one in masks) > 2))


def joined(*paths):
    with ExitStack() as opened:
        files = open_alike(paths, opened)
        return list(vote_on_arrays(files, 6, quorum([Fraction(1)] * len(paths), Fraction(1, 2)), KnownImages()))


def test_what_can_not_be_joined_is_named(members, tmp_path):
    masks, paths = members
    array = array_of(masks[0]["7"])
    one, other = zip_of(tmp_path / "one.zip", _7=array), zip_of(tmp_path / "o.zip", _7=array, _012=array)
    with pytest.raises(CompetitionError, match=r"1 files are missing, which .*0\.zip has \(12\.npy\): .*one\.zip"):
        joined(paths[0], one)
    with pytest.raises(
        CompetitionError, match=r"has \(012\.npy\), did you mean '012\.npy' instead of '12\.npy'\?.*0\.zip"
    ):
        joined(paths[0], other)
    turned = zip_of(tmp_path / "turned.zip", _7=array.transpose(1, 0, 2))
    with pytest.raises(CompetitionError, match=r"7\.npy is 9x11x7, its image has 11 rows and 9 columns: .*turned"):
        joined(one, turned)
    with pytest.raises(CompetitionError, match=r"1 files are not named like 7\.npy \(sub/7\.npy\): .*nested"):
        joined(one, zip_of(tmp_path / "nested.zip", **{"_7": array, "sub/7": array}))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CompetitionError, match="there are no files"):
        joined(tmp_path / "empty", tmp_path / "empty")
    (tmp_path / "a.zip").write_text("image_name,class,rle\n")
    with pytest.raises(CompetitionError, match="this is not a zip"):
        joined(one, tmp_path / "a.zip")


def test_one_image_is_in_memory_at_a_time(members, tmp_path):
    _, paths = members
    broken = zip_of(tmp_path / "broken.zip", _7=b"no array", _12=array_of(random_masks(3, (8, 13))))
    with ExitStack() as opened:
        votes = vote_on_arrays(
            open_alike([paths[0], broken], opened), 6, quorum([Fraction(1)] * 2, Fraction(1, 2)), KNOWN
        )
        assert next(votes)[0] == "12.npy"
        with pytest.raises(CompetitionError, match=r"7\.npy can't be read"):
            next(votes)


def test_pixels_of_each_image_and_class_are_counted(tmp_path):
    first = {name.split(".")[0]: random_masks(number, size) for number, (name, size) in enumerate(SIZES.items())}
    second = {stem: random_masks(5, masks.shape[1:]) for stem, masks in first.items()}
    second["12"][3] = first["12"][3]
    a = zip_of(tmp_path / "a.zip", **{f"_{stem}": array_of(masks) for stem, masks in first.items()})
    b = zip_of(tmp_path / "b.zip", **{f"_{stem}": array_of(second[stem]) for stem in reversed(first)})
    differences = ArrayZipForm().compare(a, b, CLASSES, KnownImages(sizes=SIZES))
    table = differences.table
    assert list(table.columns) == ["image", "class", "only_a", "only_b", "dice"]
    keys = [(f"{stem}.npy", name) for stem in first for name in CLASSES]
    assert list(zip(table["image"], table["class"], strict=True)) == keys
    ours, theirs = (
        np.concatenate([[mask.ravel().sum() for mask in x[stem]] for stem in first]) for x in (first, second)
    )
    both = np.concatenate([(first[stem] & second[stem]).sum(axis=(1, 2)) for stem in first])
    np.testing.assert_array_equal(table["only_a"], ours - both)
    np.testing.assert_array_equal(table["only_b"], theirs - both)
    dice = np.where(ours + theirs == 0, 1.0, 2 * both / np.maximum(ours + theirs, 1))
    np.testing.assert_allclose(table["dice"], dice, rtol=0, atol=1e-15)
    differing = int(((ours - both) + (theirs - both) > 0).sum())
    pixels = int((ours + theirs - 2 * both).sum())
    figures = differences.figures()
    assert (figures["rows"], figures["rows_that_differ"], figures["pixels"]) == (12, differing, pixels)
    assert figures["dice"] == pytest.approx(dice.mean(), abs=1e-15)
    assert figures["per_class"]["vertebra_2"] == 1.0  # empty on both sides
    assert f"{differing} of 12 rows differ, by {pixels} pixels" in differences.summary()
    assert [len(shown.rows) for shown in differences.tables()] == [6, 10]
    assert ArrayZipForm().compare(a, a, CLASSES, NOTHING_KNOWN).tables() == []


def test_an_image_on_one_side_only_is_an_error(tmp_path):
    array = array_of(random_masks(0, (4, 5)))
    a, b = zip_of(tmp_path / "a.zip", _7=array, _8=array), zip_of(tmp_path / "b.zip", _7=array)
    with pytest.raises(CompetitionError, match=r"1 files are missing, which .*a\.zip has \(8\.npy\): .*b\.zip"):
        ArrayZipForm().compare(a, b, CLASSES, NOTHING_KNOWN)
