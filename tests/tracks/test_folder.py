"""Folder tracks: a declaration in YAML becomes a track, in every way masks can be stored."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from competition.errors import CompetitionError
from competition.imaging.planes import unpack_planes
from competition.tracks.folder import binarise, load_folder_track
from competition.tracks.track import Track

BASE = {
    "classes": "[femur]",
    "train": "train/images/*.png",
    "masks": "train/labels/{stem}.png",
    "test": "test/images/*.png",
    "group": r"'^(\d+)'",
}
SIZE_HW = (6, 9)


def declare(folder: Path, **changes: str | None) -> Path:
    """Writes a declaration; a change to None leaves the key out."""
    keys = BASE | changes
    path = folder / "mine.yaml"
    path.write_text("\n".join(f"{key}: {value}" for key, value in keys.items() if value is not None))
    return path


def save(path: Path, values: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def random_mask(seed: int) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(SIZE_HW) < 0.4


def read_masks(track: Track, path: Path) -> NDArray[np.bool_]:
    assert track.read_label is not None
    return unpack_planes(track.read_label(path, SIZE_HW), len(track.classes))


def failure(path: Path) -> str:
    with pytest.raises(CompetitionError) as caught:
        load_folder_track(path)
    assert "mine.yaml" in str(caught.value)
    return str(caught.value)


def test_a_declaration_becomes_a_track_named_after_its_file(tmp_path: Path) -> None:
    track = load_folder_track(declare(tmp_path, classes="[femur, tibia]", masks="'m/{class}/{stem}.png'"))
    assert (track.name, track.classes, track.task) == ("mine", ("femur", "tibia"), "segmentation")
    assert (track.metric, track.submission, track.channels, track.mirror) == ("dice", "rle", 1, None)


def test_flip_mirrors_without_renaming_a_class(tmp_path: Path) -> None:
    track = load_folder_track(declare(tmp_path, classes="{a: 1, b: 2, c: 3}", flip="true"))
    assert track.mirror is not None
    assert track.mirror.classes == (0, 1, 2)


def test_images_are_read_with_the_declared_channels(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8))
    assert load_folder_track(declare(tmp_path)).read_image(path).shape == SIZE_HW
    assert load_folder_track(declare(tmp_path, channels="3")).read_image(path).shape == (*SIZE_HW, 3)


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


@pytest.mark.parametrize("positive", [1, 7, 255])
def test_one_class_is_positive_at_whatever_value_its_mask_has(tmp_path: Path, positive: int) -> None:
    mask = random_mask(0)
    path = save(tmp_path / "a.png", (mask * positive).astype(np.uint8))
    np.testing.assert_array_equal(read_masks(load_folder_track(declare(tmp_path)), path), mask[None])


def test_an_empty_mask_is_empty(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros(SIZE_HW, np.uint8))
    assert not read_masks(load_folder_track(declare(tmp_path)), path).any()


def test_soft_edges_are_cut_above_half_of_the_maximum() -> None:
    np.testing.assert_array_equal(binarise(np.array([0, 99, 100, 101, 200], np.uint8)), [False] * 3 + [True] * 2)
    assert not binarise(np.zeros(3, np.uint8)).any()
    assert binarise(np.array([0, 60_000], np.uint16))[1]


def test_each_class_has_a_file_of_its_own_where_masks_holds_class(tmp_path: Path) -> None:
    masks = np.stack([random_mask(seed) for seed in range(10)])
    names = [f"c{number}" for number in range(10)]
    for number, (name, mask) in enumerate(zip(names, masks, strict=True)):
        save(tmp_path / name / "a.png", (mask * (255 if number % 2 else 1)).astype(np.uint8))
    track = load_folder_track(declare(tmp_path, classes=str(names), masks="'{class}/{stem}.png'"))
    np.testing.assert_array_equal(read_masks(track, tmp_path / "{class}" / "a.png"), masks)


def test_classes_by_pixel_value_lie_in_one_picture(tmp_path: Path) -> None:
    label = np.random.default_rng(0).choice(np.array([0, 1, 2, 200], np.uint8), SIZE_HW)
    track = load_folder_track(declare(tmp_path, classes="{cup: 200, disc: 1, vessel: 2}"))
    assert track.classes == ("cup", "disc", "vessel")
    expected = np.stack([label == 200, label == 1, label == 2])
    np.testing.assert_array_equal(read_masks(track, save(tmp_path / "a.png", label)), expected)


def test_a_value_of_no_class_is_an_error_that_names_it(tmp_path: Path) -> None:
    label = np.zeros(SIZE_HW, np.uint8)
    label[-1, -1] = 3
    track = load_folder_track(declare(tmp_path, classes="{a: 1, b: 2}"))
    with pytest.raises(CompetitionError, match=r"pixel value 3 belongs to no class.*a\.png"):
        read_masks(track, save(tmp_path / "a.png", label))


def test_a_mask_of_another_size_is_an_error_that_says_both(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros((9, 6), np.uint8))
    with pytest.raises(CompetitionError, match=r"mask is 6x9 pixels, its image 9x6: .*a\.png"):
        read_masks(load_folder_track(declare(tmp_path)), path)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("flipp", "true", "flipp: "),
        ("group", None, "group: Field required"),
        ("group", "'abc'", "group: .*needs a bracket"),
        ("group", "'('", "group: .*is no regular expression"),
        ("classes", "[]", "classes: "),
        ("classes", "[a, b]", "several classes need {class} in masks"),
        ("classes", "{a: x}", "classes: "),
        ("channels", "2", "channels: Input should be 1 or 3"),
        ("masks", "'train/labels/all.png'", "masks needs {stem}"),
    ],
)
def test_a_bad_declaration_is_an_error_in_one_sentence(
    tmp_path: Path, key: str, value: str | None, expected: str
) -> None:
    assert re.search(expected, failure(declare(tmp_path, **{key: value})))


def test_classes_by_value_in_files_of_their_own_are_refused(tmp_path: Path) -> None:
    path = declare(tmp_path, classes="{a: 1}", masks="'m/{class}/{stem}.png'")
    assert "classes with pixel values lie in one picture" in failure(path)


@pytest.mark.parametrize(("content", "expected"), [("", "declaration: "), ("a: b: c", "not valid YAML")])
def test_a_file_that_declares_nothing_is_an_error(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    assert expected in failure(tmp_path / "mine.yaml")


def test_a_missing_declaration_is_an_error(tmp_path: Path) -> None:
    assert "no such track declaration" in failure(tmp_path / "mine.yaml")
