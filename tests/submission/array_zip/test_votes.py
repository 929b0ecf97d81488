"""Votes on arrays against a dense vote in float64 and whole numbers."""

from contextlib import ExitStack
from fractions import Fraction

import numpy as np
import pytest
from array_submissions import CLASSES, SIZES, array_of, random_masks, zip_of

from competition.errors import CompetitionError
from competition.masks.run_length_votes import quorum
from competition.submission.array_zip.files import open_plane_files, packed
from competition.submission.array_zip.form import ArrayZipForm
from competition.submission.array_zip.votes import open_alike, vote_on_arrays
from competition.submission.known_images import KnownImages
from competition.submission.run_lengths.files import read_rle_csv
from competition.submission.run_lengths.form import RunLengthForm

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
    with pytest.raises(CompetitionError, match="this is no zip"):
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
