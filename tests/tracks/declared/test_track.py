"""Folder tracks: a declaration in YAML becomes a track that lists and reads images, mask files and run lengths."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.metrics.counts import DICE
from competition.submission.array_zip.form import ArrayZipForm
from competition.submission.run_lengths.form import RunLengthForm
from competition.tracks.declared.mask_files import SOFT_EDGES
from competition.tracks.declared.track import load_folder_track
from competition.tracks.track import Track

BASE = {
    "classes": "[femur]",
    "train": "train/images/*.png",
    "masks": "train/labels/{stem}.png",
    "test": "test/images/*.png",
    "group": r"'^(\d+)'",
}
SIZE_HW = (6, 9)
SUBMISSION = "{image: id, class: kind, rle: rle, ending: false, empty: -1, order: row}"


def declare(folder: Path, **changes: str | None) -> Path:
    """Writes a declaration; a change to None leaves the key out."""
    keys: dict[str, str | None] = {**BASE, **changes}
    if str(keys["masks"]).startswith("{csv"):
        keys.setdefault("submission", SUBMISSION)
    path = folder / "mine.yaml"
    path.write_text("\n".join(f"{key}: {value}" for key, value in keys.items() if value is not None))
    return path


def save(path: Path, values: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def read_masks(track: Track, path: Path) -> NDArray[np.bool_]:
    assert track.read_label is not None
    return unpack_planes(track.read_label(path, SIZE_HW), len(track.classes))


def test_a_declaration_becomes_a_track_named_after_its_file(tmp_path: Path) -> None:
    track = load_folder_track(declare(tmp_path, classes="[femur, tibia]", masks="'m/{class}/{stem}.png'"))
    assert (track.name, track.classes, track.task) == ("mine", ("femur", "tibia"), "segmentation")
    assert (track.metric, track.form, track.channels, track.mirror) == (DICE, RunLengthForm(), 1, None)


def test_a_form_is_chosen_by_its_name(tmp_path: Path) -> None:
    path = declare(tmp_path, classes="[femur, tibia]", masks="'m/{class}/{stem}.png'", submission="array_zip")
    assert load_folder_track(path).form == ArrayZipForm()
    assert load_folder_track(declare(tmp_path, submission="run_lengths")).form == RunLengthForm()
    for wrong in ("table", "zip"):  # a table holds no masks
        with pytest.raises(CompetitionError, match=rf"one of run_lengths, array_zip, not '{wrong}'"):
            load_folder_track(declare(tmp_path, submission=wrong))


def test_flip_mirrors_without_renaming_a_class(tmp_path: Path) -> None:
    track = load_folder_track(declare(tmp_path, classes="{a: 1, b: 2, c: 3}", flip="true"))
    assert track.mirror is not None
    assert track.mirror.classes == (0, 1, 2)


def test_images_are_read_with_the_declared_channels(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
    path = save(tmp_path / "a.png", colours)
    grey, rgb, green = (load_folder_track(declare(tmp_path, channels=each)) for each in ("1", "3", "green"))
    assert grey.read_image(path).shape == SIZE_HW
    assert rgb.read_image(path).shape == (*SIZE_HW, 3)
    assert (green.channels, green.colour) == (1, "green")
    np.testing.assert_array_equal(green.read_image(path), colours[..., 1])
    assert green.reading != grey.reading


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_images_are_listed_by_path_with_the_group_of_their_name(tmp_path: Path) -> None:
    lay(tmp_path, "train/images/012_R.png", "train/images/012_L.png", "train/images/003_L.png", "test/images/101_L.png")
    lay(tmp_path, "train/labels/012_R.png", "train/labels/012_L.png", "train/labels/003_L.png", "train/images/note.txt")
    listing = load_folder_track(declare(tmp_path)).list_samples(tmp_path)
    assert listing.problems == []
    assert [(s.split, s.key, s.name, s.group, s.label) for s in listing.samples] == [
        ("train", "003_L", "003_L.png", "003", "train/labels/003_L.png"),
        ("train", "012_L", "012_L.png", "012", "train/labels/012_L.png"),
        ("train", "012_R", "012_R.png", "012", "train/labels/012_R.png"),
        ("test", "101_L", "101_L.png", "101", None),
    ]
    assert listing.samples[3].images == ("test/images/101_L.png",)


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"'_([LR])\.'", ["L", "R", "L"]),
        (r"'(\d)_'", ["3", "2", "2"]),
        (r"'(.+)'", ["003_L.png", "012_R.png", "x2_L.png"]),
        (r"'^x?(?:0*)(\d+)'", ["3", "12", "2"]),
    ],
)
def test_the_group_is_what_the_first_bracket_matches(tmp_path: Path, pattern: str, groups: list[str]) -> None:
    lay(tmp_path, "train/images/003_L.png", "train/images/012_R.png", "train/images/x2_L.png")
    listing = load_folder_track(declare(tmp_path, group=pattern)).list_samples(tmp_path)
    assert [sample.group for sample in listing.samples] == groups


def test_what_cannot_be_used_is_a_problem_with_its_file(tmp_path: Path) -> None:
    lay(tmp_path, "train/images/1.png", "train/images/x.png", "train/images/2.png", "test/images/1.png")
    lay(tmp_path, "train/labels/1.png")
    listing = load_folder_track(declare(tmp_path)).list_samples(tmp_path)
    assert [sample.key for sample in listing.samples] == ["1", "2"]
    found = {problem.path: problem.reason for problem in listing.problems}
    assert found.keys() == {"train/images/x.png", "test/images/1.png", "train/labels/2.png"}
    assert "does not match the group" in found["train/images/x.png"]
    assert "share the name 1 (the other is train/images/1.png)" in found["test/images/1.png"]
    assert found["train/labels/2.png"] == "annotation missing"


def test_a_bracket_that_matches_nothing_names_no_group(tmp_path: Path) -> None:
    lay(tmp_path, "train/images/1.png", "train/images/x.png")
    listing = load_folder_track(declare(tmp_path, group=r"'^(\d+)?'")).list_samples(tmp_path)
    assert [sample.group for sample in listing.samples] == ["1"]
    assert "does not match the group" in listing.problems[0].reason


def test_every_missing_file_of_a_class_is_a_problem(tmp_path: Path) -> None:
    lay(tmp_path, "train/images/1.png", "train/masks/b/1.png")
    track = load_folder_track(declare(tmp_path, classes="[a, b, c]", masks="'train/masks/{class}/{stem}.png'"))
    paths = [problem.path for problem in track.list_samples(tmp_path).problems]
    assert paths == ["train/masks/a/1.png", "train/masks/c/1.png"]


def test_a_mask_without_image_is_named_and_stops_nothing(tmp_path: Path) -> None:
    lay(tmp_path, "train/images/1.png", "test/images/2.png")
    lay(tmp_path, "train/masks/a/1.png", "train/masks/b/1.png", "train/masks/b/9_z.png", "old/masks/a/7.png")
    track = load_folder_track(declare(tmp_path, classes="[a, b]", masks="'train/masks/{class}/{stem}.png'"))
    (problem,) = track.list_samples(tmp_path).problems
    assert (problem.path, problem.note) == ("train/masks/b/9_z.png", True)


def test_a_folder_without_training_images_is_an_error(tmp_path: Path) -> None:
    lay(tmp_path, "test/images/1.png")
    with pytest.raises(CompetitionError, match="no training image found: "):
        load_folder_track(declare(tmp_path)).list_samples(tmp_path)


def test_a_later_test_set_is_listed_from_any_folder(tmp_path: Path) -> None:
    lay(tmp_path, "later/b/7_L.png", "later/a/x.png", "later/a/x.txt")
    track = load_folder_track(declare(tmp_path))
    samples = track.list_test(tmp_path / "later").samples
    assert [(s.name, s.group, s.split, s.images) for s in samples] == [
        ("x.png", "x", "test", ("a/x.png",)),
        ("7_L.png", "7", "test", ("b/7_L.png",)),
    ]
    lay(tmp_path, "later/c/x.png")
    with pytest.raises(CompetitionError, match="two test images share the name x"):
        track.list_test(tmp_path / "later")
    with pytest.raises(CompetitionError, match="no test image found"):
        track.list_test(tmp_path / "train")


def test_masks_are_read_as_declared(tmp_path: Path) -> None:
    values = np.zeros(SIZE_HW, np.uint8)
    values[2, 3:6] = [255, 128, 127]
    path = save(tmp_path / "a.png", values)
    track = load_folder_track(declare(tmp_path))
    assert np.argwhere(read_masks(track, path)[0]).tolist() == [[2, 3], [2, 4]]
    assert track.inspect_label is not None
    assert track.inspect_label(path, SIZE_HW) == [SOFT_EDGES]


def test_masks_with_an_ending_of_their_own_are_found_for_scoring_too(tmp_path: Path) -> None:
    track = load_folder_track(declare(tmp_path, masks="'train/labels/{stem}_mask.png'"))
    lay(tmp_path, "train/images/1.png", "train/labels/1_mask.png", "truth/2_mask.png")
    assert track.list_samples(tmp_path).problems == []
    assert track.find_labels is not None
    assert track.find_labels(tmp_path / "truth") == {"2": [tmp_path / "truth" / "2_mask.png"]}


TABLE = "{csv: train.csv, image: id, class: kind, rle: rle, order: column}"


def test_run_lengths_in_a_csv_take_the_place_of_mask_files(tmp_path: Path) -> None:
    lay(tmp_path, "train/images/1.png", "train/images/2.png", "test/images/3.png")
    (tmp_path / "train.csv").write_text("id,kind,rle\n2,b,1 7\n1.png,a,3 1\n2,a,-1\n1.png,b,\n")
    track = load_folder_track(declare(tmp_path, classes="[a, b]", masks=TABLE))
    listing = track.list_samples(tmp_path)
    assert listing.problems == []
    labels = {sample.key: sample.label for sample in listing.samples}
    assert labels == {"1": "train.csv#1.png", "2": "train.csv#2", "3": None}
    first, second = (read_masks(track, tmp_path / str(labels[key])) for key in "12")
    assert np.argwhere(first).tolist() == [[0, 2, 0]]  # class a, third row of the first column
    assert second.sum() == 7
    assert second[1, :, 0].all()
    assert second[1, 0, 1]
    assert track.inspect_label is not None
    assert track.inspect_label(tmp_path / "train.csv#2", SIZE_HW) == []
    assert "DIR/train.csv" in track.layout


def test_rows_and_images_that_do_not_fit_are_problems(tmp_path: Path) -> None:
    lay(tmp_path, "train/images/1.png", "train/images/2.png", "train/images/x.png")
    (tmp_path / "train.csv").write_text("id,kind,rle\n1,a,\n1,b,\n7,a,\n7,b,\nx,a,\nx,b,\n")
    track = load_folder_track(declare(tmp_path, classes="[a, b]", masks=TABLE))
    found = {(problem.key, problem.path) for problem in track.list_samples(tmp_path).problems}
    # The row of x is fine; it is the image that names no group.
    assert found == {("x", "train/images/x.png"), ("2", "train.csv"), ("7", "train.csv")}


def test_rows_are_found_for_scoring(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("id,kind,rle\n3.png,a,1 1\n3.png,b,\n")
    track = load_folder_track(declare(tmp_path, classes="[a, b]", masks=TABLE))
    assert track.find_labels is not None
    assert track.find_labels(tmp_path) == {"3": [tmp_path / "truth.csv#3.png"]}


def test_a_test_pattern_that_fits_nothing_is_said_when_the_images_are_listed(tmp_path: Path) -> None:
    picture = np.zeros(SIZE_HW, np.uint8)
    for place in ("train/images", "train/labels"):
        save(tmp_path / place / "012_a.png", picture)
    track = load_folder_track(declare(tmp_path))
    (remark,) = track.list_samples(tmp_path).remarks
    assert f"nothing fits {tmp_path / 'test' / 'images' / '*.png'}" in remark
    nameless = save(tmp_path / "test" / "images" / "no_number.png", picture)
    found = track.list_samples(tmp_path)  # there is one, but it can't be used: a problem of its own
    assert (found.remarks, [problem.split for problem in found.problems]) == ([], ["test"])
    nameless.rename(nameless.with_name("013_a.png"))
    assert track.list_samples(tmp_path).remarks == []
