"""Key, group and stratum come from the whole path, and one sentence says what a path or a declaration lacks."""

import re
from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.tracks.declared.declaration import read_declaration
from competition.tracks.declared.places import PathFaultError, Places
from competition.tracks.declared.track import load_folder_track
from competition.tracks.track import Listing

SLICES = r"(?P<case>case\d+)(?:_(?P<day>day\d+))?/slice_(?P<slice>\d+)"
BASE = {"classes": "[a]", "train": "train/*/*.png", "masks": "masks/{parent}/{stem}.png", "test": "test/*/*.png"}


BASE_FOLDERS = ("train", "masks")


def declare(folder: Path, **keys: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text("\n".join(f"{key}: {value}" for key, value in {**BASE, **keys}.items()))
    return path


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def list_of(folder: Path, *names: str, **keys: str) -> Listing:
    lay(folder, *names)
    return load_folder_track(declare(folder, **keys)).list_samples(folder)


@pytest.mark.parametrize(
    ("group", "found"),
    [
        ("{case}", "case7"),
        ("{case} {slice}", "case7 0001"),
        ("{parent}", "case7_day2"),
        ("{dir}", "a/case7_day2"),
        (r"^slice_(\d+)_", "0001"),
        (r"(case\d+)_day\d{1}/", "case7"),
        ("^([^/]+)/", "a"),
    ],
)
def test_a_group_is_a_template_or_searched_in_name_or_path(group: str, found: str) -> None:
    places = Places(SLICES, "{stem}", group, None)
    relative = "a/case7_day2/slice_0001_x.png"
    assert places.group_of(relative, places.fields_of(relative)) == found


def test_a_bracket_that_takes_no_part_is_a_field_the_path_lacks() -> None:
    places = Places(SLICES, "{case}_{day}_{slice}", "{case}", None)
    assert places.key_of(places.fields_of("case7_day2/slice_01.png")) == "case7_day2_01"
    with pytest.raises(PathFaultError, match=r"the path has no \{day\}, which key: "):
        places.key_of(places.fields_of("case7/slice_01.png"))
    with pytest.raises(PathFaultError, match="path does not match"):
        places.fields_of("x/slice_01.png")
    with pytest.raises(PathFaultError, match=r"the path has no \{dir\}"):
        Places(None, "{dir}_{stem}", None, None).key_of(Places(None, "", None, None).fields_of("a.png"))


def test_a_path_that_lacks_a_field_is_a_problem_of_its_sample(tmp_path: Path) -> None:
    names = ("train/case1_day1/slice_1.png", "train/case1_day2/slice_1.png", "train/case2/slice_1.png")
    masks = [name.replace("train", "masks") for name in names]
    keys = {"path": f"'{SLICES}'", "key": "'{case}_{day}_{slice}'", "group": "'{case}'"}
    listing = list_of(tmp_path, *names, *masks, **keys)
    assert [(sample.key, sample.label) for sample in listing.samples] == [
        ("case1_day1_1", "masks/case1_day1/slice_1.png"),
        ("case1_day2_1", "masks/case1_day2/slice_1.png"),
    ]
    (problem,) = listing.problems
    assert (problem.path, problem.note) == (names[2], False)
    assert "the path has no {day}" in problem.reason


def test_two_samples_of_one_key_are_named_with_both_paths(tmp_path: Path) -> None:
    names = ("train/a/1.png", "train/b/1.png", "masks/a/1.png", "masks/b/1.png")
    clash = list_of(tmp_path, *names, group="'{parent}'").problems[0]
    assert clash.reason == "two images share the name 1 (the other is train/a/1.png)"
    assert "'{parent}_{stem}'" in clash.repair
    clash = list_of(tmp_path, group="'{parent}'", key="'k{stem}'").problems[0]
    assert (clash.reason, clash.path) == ("two images share the key k1 (the other is train/a/1.png)", "train/b/1.png")
    assert list_of(tmp_path, group="'{parent}'", key="'{parent}_{stem}'").problems == []


def test_a_key_of_several_folders_is_no_file_name(tmp_path: Path) -> None:
    with pytest.raises(CompetitionError, match=r"its key 'train/a_1' contains a slash.*such as \{parent\}_\{stem\}"):
        list_of(tmp_path, "train/a/1.png", "masks/a/1.png", group="'{parent}'", key="'{dir}_{stem}'")


def test_a_group_for_each_image_is_remarked_unless_it_is_the_name(tmp_path: Path) -> None:
    names = [f"{folder}/a/p{person}_x.png" for person in range(5) for folder in ("train", "masks")]
    listing = list_of(tmp_path, *names, group="'^(p[0-9])'")
    assert "group: '^(p[0-9])' makes each of 5 images a group of its own" in listing.remarks[0]
    for group in ("'(.+)'", "'{stem}'", "'{name}'"):
        assert all("group:" not in remark for remark in list_of(tmp_path, group=group).remarks)


def test_equal_names_in_folders_of_several_images_are_a_warning(tmp_path: Path) -> None:
    """A folder per person and equal names of slices: each group would hold one slice of every person."""
    names = [f"{top}/p{person}/slice_{number}.png" for person in range(3) for number in (1, 2) for top in BASE_FOLDERS]
    listing = list_of(tmp_path, *names, key="'{parent}_{stem}'", group="'(.+)'")
    assert {sample.group for sample in listing.samples} == {"slice_1.png", "slice_2.png"}
    (warning,) = (
        remark for remark in listing.remarks if remark.startswith("warning: group: '(.+)' makes one group of equal")
    )
    assert "(train/p0/slice_1.png and train/p1/slice_1.png)" in warning
    assert "write group: '{parent}'" in warning
    for group in ("'{parent}'", "'{parent}_{stem}'"):
        assert not list_of(tmp_path, key="'{parent}_{stem}'", group=group).remarks[1:]


def test_one_image_in_each_folder_of_a_kind_is_no_warning(tmp_path: Path) -> None:
    """Two kinds of images of a person, in a folder of each kind. With two persons nothing shows what folders are."""
    names = [f"{top}/{kind}/p1.png" for kind in ("t1", "t2") for top in BASE_FOLDERS]
    listing = list_of(tmp_path, *names, key="'{parent}_{stem}'", group="'{stem}'")
    assert not any("makes one group" in remark for remark in listing.remarks)
    more = [f"{top}/{kind}/p2.png" for kind in ("t1", "t2") for top in BASE_FOLDERS]
    listing = list_of(tmp_path, *more, key="'{parent}_{stem}'", group="'{stem}'")
    assert "Where a folder holds the images of a person, this splits" in listing.remarks[0]


def test_an_unknown_stratum_is_remarked(tmp_path: Path) -> None:
    names = ("train/a/1_x.png", "train/a/2.png", "masks/a/1_x.png", "masks/a/2.png")
    listing = list_of(tmp_path, *names, group="'(.+)'", stratum="'_(x)'")
    assert [sample.stratum for sample in listing.samples] == ["x", ""]
    assert "stratum: '_(x)' matches nothing in 1 image (2)" in listing.remarks


def test_excluded_images_and_their_masks_are_left_out_with_a_remark(tmp_path: Path) -> None:
    names = ("train/a/1.png", "train/a/broken_2.png", "masks/a/1.png", "masks/a/broken_2.png")
    listing = list_of(tmp_path, *names, group="'(.+)'", exclude="['*/*/broken_*.png', '*/*/odd*']")
    assert ([sample.key for sample in listing.samples], listing.problems) == (["1"], [])
    assert "exclude: 1 image left out, for example train/a/broken_2.png" in listing.remarks
    assert "exclude: */*/odd* fits no image" in listing.remarks


def test_a_mask_of_two_images_is_refused(tmp_path: Path) -> None:
    names = ("train/a/1.png", "train/a/1_2.png", "masks/a/1_2_x.png", "masks/a/1_y.png")
    with pytest.raises(CompetitionError, match=r"the mask of train/a/1\.png and of train/a/1_2\.png: .*masks/a/1_2_x"):
        list_of(tmp_path, *names, group="'(.+)'", masks="'masks/{parent}/{stem}_*.png'")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"group": "'{cas}'", "path": f"'{SLICES}'"}, r"group holds \{cas\}, which is unknown, did you mean 'case'"),
        ({"stratum": "'{view}'"}, r"stratum holds \{view\}, which is unknown; known are dir, name, parent, stem"),
        ({"key": "'{class}'"}, r"key holds \{class\}, which is unknown"),
        ({"key": "same"}, "key needs a field, or all images have one key"),
        ({"path": "'case'"}, "path: needs named brackets"),
        ({"path": "'(?P<stem>x)'"}, "path: names a bracket 'stem', which is a field already"),
        ({"path": "'(?P<a'"}, "path: is no regular expression"),
        ({"stratum": "abc"}, "stratum: needs a bracket"),
        ({"exclude": "[/x]"}, "exclude: must be a path below the data folder"),
        ({"missing": "skip"}, "missing: Input should be 'error' or 'empty'"),
        ({"index": "{csv: a.csv}"}, "index.image is missing"),
        ({"index": "{csv: a.csv, image: i, goup: g}"}, "unknown key 'index.goup', did you mean 'index.group'"),
        ({"index": "{csv: a.csv, image: i, group: g}"}, "group and index.group both say"),
        ({"index": "{csv: a.csv, image: i, mask: m}"}, "masks and index.mask both say"),
    ],
)
def test_a_wrong_declaration_is_one_sentence(tmp_path: Path, keys: dict[str, str], expected: str) -> None:
    with pytest.raises(CompetitionError) as caught:
        read_declaration(declare(tmp_path, **{"group": "'(.+)'", **keys}))
    assert re.search(expected, str(caught.value))


def test_keys_that_are_left_out_change_neither_reading_nor_data_form(tmp_path: Path) -> None:
    plain = read_declaration(declare(tmp_path, group="'(.+)'"))
    assert plain.reading == '{"classes":["a"],"masks":"masks/{parent}/{stem}.png","channels":1}'
    assert plain.data_form == (
        '{"classes":["a"],"train":"train/*/*.png","masks":"masks/{parent}/{stem}.png","test":"test/*/*.png",'
        '"group":"(.+)","channels":1} True'
    )
    for key, value in (("missing", "empty"), ("key", "'{stem}'"), ("stratum", "'{dir}'"), ("exclude", "[x]")):
        changed = read_declaration(declare(tmp_path, group="'(.+)'", **{key: value}))
        assert changed.data_form != plain.data_form
        assert (changed.reading != plain.reading) == (key == "missing")
