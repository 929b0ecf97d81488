"""The stages vote and compare on zips of arrays through the command line."""

import numpy as np
import pandas as pd
import pytest
from array_submissions import SIZES, array_of, random_masks, zip_of

from competition.formats.parquet_tables import write_table
from competition.submission.array_zip.files import open_plane_files

TRACK = ("--track", "lumbar")


@pytest.fixture
def members(tmp_path):
    """Three submissions, in memory and as zips."""
    stems = {name.split(".")[0]: size for name, size in SIZES.items()}
    masks = [{stem: random_masks(member, size) for stem, size in stems.items()} for member in range(3)]
    paths = [
        zip_of(tmp_path / f"{number}.zip", **{f"_{stem}": array_of(one) for stem, one in each.items()})
        for number, each in enumerate(masks)
    ]
    return masks, paths


@pytest.fixture
def prepared(tmp_path):
    """A manifest with the sizes of the images."""
    folder = tmp_path / "workspace" / "cache" / "lumbar"
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"name": list(SIZES), "split": "test"})
    frame["height"], frame["width"] = zip(*SIZES.values(), strict=True)
    write_table(folder / "manifest.parquet", frame)


def test_a_vote_on_zips_is_the_dense_vote_and_can_be_checked_and_scored(stage, members, prepared, tmp_path):
    masks, paths = members
    out = tmp_path / "out" / "V.zip"
    figures, said = stage("vote", *TRACK, *paths, "--weights", "2,1,1", "--out", out)
    assert (figures["rows"], figures["weights"]) == (2, [0.5, 0.25, 0.25])
    assert f"3 submissions, 2 files: {out}" in said
    voted = {stem: 2 * masks[0][stem] + masks[1][stem] + masks[2][stem] > 2 for stem in masks[0]}
    with open_plane_files(out) as files:
        for stem, mask in voted.items():
            np.testing.assert_array_equal(files.read(f"{stem}.npy", 6), array_of(mask))
    assert [file.name for file in out.parent.iterdir()] == ["V.zip"]
    figures, _ = stage("check", *TRACK, out)
    assert (figures["ok"], figures["prepared"], figures["not_checked"]) == (True, True, [])
    right = zip_of(tmp_path / "right.zip", **{f"_{stem}": array_of(mask) for stem, mask in voted.items()})
    assert stage("score", *TRACK, out, right)[0]["score"] == 1


def test_zips_are_compared_pixel_by_pixel(stage, members, tmp_path):
    masks, paths = members
    other = {stem: one.copy() for stem, one in masks[0].items()}
    other["12"][2] = ~other["12"][2]
    other["7"][0, 0, 0] ^= True
    changed = zip_of(tmp_path / "other.zip", **{f"_{stem}": array_of(one) for stem, one in other.items()})
    figures, said = stage("compare", *TRACK, paths[0], changed)
    assert (figures["rows"], figures["rows_that_differ"], figures["pixels"]) == (12, 2, 8 * 13 + 1)
    assert "2 of 12 rows differ, by 105 pixels" in said
    assert "rows that agree least" in said
    figures, said = stage("compare", *TRACK, paths[0], paths[0])
    assert (figures["rows_that_differ"], figures["dice"]) == (0, 1)
    assert "agree least" not in said


def test_what_does_not_fit_is_one_sentence(refusal, members, prepared, tmp_path):
    masks, paths = members
    one = zip_of(tmp_path / "one.zip", _7=array_of(masks[0]["7"]))
    turned = {f"_{stem}": array_of(each).transpose(1, 0, 2) for stem, each in masks[1].items()}
    (tmp_path / "rows.csv").write_text("image_name,class,rle\n")
    for wrong, sentence in (
        (one, "1 files are missing, which"),
        (zip_of(tmp_path / "turned.zip", **turned), "7.npy is 9x11x7, its image has 11 rows and 9 columns"),
        (tmp_path / "rows.csv", "this is not a zip of .npy files, or it is incomplete"),
        (tmp_path / "none.zip", "no such file or folder"),
    ):
        for words in (
            ["vote", *TRACK, paths[0], wrong, "--out", tmp_path / "V.zip"],
            ["compare", *TRACK, paths[0], wrong],
        ):
            said, _ = refusal(*words)
            assert sentence in said
            assert wrong.name in said
    assert not (tmp_path / "V.zip").exists()
