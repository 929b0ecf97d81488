"""What a data folder holds: litter, capitals, Unicode forms and linked folders, on any version of Python."""

import os
import unicodedata
from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.file_listing import (
    class_files,
    escape_wild,
    find_files,
    find_pictures_beside,
    label_files,
    on_disk,
    split_part,
    stem,
)

KOREAN = "손_1"
COMPOSED, DECOMPOSED = unicodedata.normalize("NFC", KOREAN), unicodedata.normalize("NFD", KOREAN)


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path, pattern: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in find_files(root, pattern)]


def test_hidden_files_and_what_systems_leave_behind_are_no_files(tmp_path: Path) -> None:
    lay(
        tmp_path, "a/x.png", "a/._x.png", "a/.x.png", "__MACOSX/a/y.png", ".trash/z.png", "a/Thumbs.db", "a/Desktop.ini"
    )
    assert found(tmp_path, "**/*") == ["a/x.png"]
    assert found(tmp_path, "*/*.png") == ["a/x.png"]


def test_a_hidden_folder_that_is_named_is_searched(tmp_path: Path) -> None:
    lay(tmp_path, ".data/x.png", ".data/.y.png")
    assert found(tmp_path, ".data/*.png") == [".data/x.png"]


def test_endings_fit_whatever_their_capitals_and_names_do_not(tmp_path: Path) -> None:
    lay(tmp_path, "a/x.png", "a/y.PNG", "a/z.Png", "a/IMG_1.png", "a/img_2.png", "a/w.png.txt")
    assert found(tmp_path, "a/*.png") == ["a/IMG_1.png", "a/img_2.png", "a/x.png", "a/y.PNG", "a/z.Png"]
    assert found(tmp_path, "a/*.PNG") == found(tmp_path, "a/*.png")
    assert found(tmp_path, "a/IMG_*.PNG") == ["a/IMG_1.png"]
    assert found(tmp_path, "a/[xy].png") == ["a/x.png", "a/y.PNG"]


def test_names_fit_in_either_unicode_form(tmp_path: Path) -> None:
    lay(tmp_path, f"{DECOMPOSED}/{DECOMPOSED}.png")
    expected = [tmp_path / DECOMPOSED / f"{DECOMPOSED}.png"]
    assert find_files(tmp_path, f"{COMPOSED}/{COMPOSED[0]}*.png") == expected
    assert on_disk(tmp_path / COMPOSED / f"{COMPOSED}.PNG") == expected[0]


def test_a_path_that_is_not_there_stays_as_it_is(tmp_path: Path) -> None:
    lay(tmp_path, "a/x.png")
    for name in ("a/y.png", "b/x.png", "a/x.png/z"):
        assert on_disk(tmp_path / name) == tmp_path / name
    lay(tmp_path, "a/y.PNG")  # the folder has changed, so it is read again
    assert on_disk(tmp_path / "a/y.png") == tmp_path / "a/y.PNG"


def test_linked_folders_are_searched_and_cycles_end(tmp_path: Path) -> None:
    lay(tmp_path, "data/p1/x.png", "elsewhere/deep/y.png")
    (tmp_path / "data/p2").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "data/p1/up").symlink_to(tmp_path / "data", target_is_directory=True)
    (tmp_path / "elsewhere/deep/self").symlink_to(".", target_is_directory=True)
    assert found(tmp_path / "data", "**/*.png") == ["p1/x.png", "p2/deep/y.png"]
    assert found(tmp_path / "data", "*/*.png") == ["p1/x.png"]
    assert found(tmp_path / "data", "*/*/*.png") == ["p2/deep/y.png"]


def test_two_stars_stand_for_any_number_of_folders_and_list_nothing_twice(tmp_path: Path) -> None:
    lay(tmp_path, "x.png", "a/x.png", "a/b/x.png", "a/b/c/x.png")
    assert (
        found(tmp_path, "**/*.png")
        == found(tmp_path, "**/**/*.png")
        == sorted(["x.png", "a/x.png", "a/b/x.png", "a/b/c/x.png"], key=lambda name: Path(name).parts)
    )
    assert found(tmp_path, "a/**/b/*.png") == ["a/b/x.png"]
    assert found(tmp_path, "nowhere/**/*.png") == []


def test_folders_are_no_files_and_dead_links_are_listed_to_be_named(tmp_path: Path) -> None:
    lay(tmp_path, "a/x.png/y.txt")
    (tmp_path / "a/dead.png").symlink_to(tmp_path / "gone.png")
    assert found(tmp_path, "a/*.png") == ["a/dead.png"]


def test_a_pipe_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(CompetitionError, match=r"pipe, socket or device, not a file: .*x\.png"):
        find_files(tmp_path, "*.png")
    assert find_files(tmp_path, "*.jpg") == []


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    try:
        os.close(os.open(os.fsencode(tmp_path) + b"/x\xff.png", os.O_CREAT))
    except OSError:
        pytest.skip("this disk takes text only")
    with pytest.raises(CompetitionError, match=r"'x\\udcff.png' is not UTF-8 text"):
        find_files(tmp_path, "*.png")


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, "a/x.png")

    def closed(folder: str) -> None:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr("os.scandir", closed)
    with pytest.raises(CompetitionError, match=r"can't list the folder \(Permission denied\)"):
        find_files(tmp_path, "a/*.png")


def test_pictures_beside_are_those_of_the_searched_folders_that_no_pattern_takes(tmp_path: Path) -> None:
    lay(tmp_path, "a/x.png", "a/y.jpg", "a/v.nii.gz", "a/note.txt", "a/._y.jpg", "a/deep/z.tif", "b/w.tif")
    beside = [
        path.relative_to(tmp_path).as_posix() for path in find_pictures_beside(tmp_path, ["a/*.png", "a/*.nii.gz"])
    ]
    assert beside == ["a/y.jpg"]
    assert find_pictures_beside(tmp_path, ["a/**/*.png"]) == [
        tmp_path / "a/deep/z.tif",
        tmp_path / "a/v.nii.gz",
        tmp_path / "a/y.jpg",
    ]


def test_the_path_of_a_part_is_split_at_its_file(tmp_path: Path) -> None:
    file = tmp_path / "train.tfrecord"
    file.touch()
    assert split_part(Path(f"{file}#12")) == (file, "12")
    assert split_part(Path(f"{file}#a#b.png")) == (file, "a#b.png")
    assert split_part(file) == (file, "")


def test_signs_in_real_names_are_no_parts(tmp_path: Path) -> None:
    folder = tmp_path / "set #3"
    folder.mkdir()
    for name in ("knee#1.png", "train.csv"):
        (folder / name).touch()
    assert split_part(folder / "knee#1.png") == (folder / "knee#1.png", "")
    assert split_part(folder / "train.csv#7") == (folder / "train.csv", "7")
    assert split_part(folder) == (folder, "")


@pytest.mark.parametrize("name", ["absent.csv#7", "absent.csv"])
def test_a_part_of_a_file_that_is_not_there_stays_as_it_is(tmp_path: Path, name: str) -> None:
    assert split_part(tmp_path / name) == (tmp_path / name, "")


def test_a_label_is_one_file_or_one_per_class() -> None:
    assert label_files(Path("m/1.png"), ["a", "b"]) == [Path("m/1.png")]
    assert label_files(Path("m/{class}/1.png"), ["a", "b"]) == [Path("m/a/1.png"), Path("m/b/1.png")]


@pytest.mark.parametrize(
    ("name", "expected"), [("a.b.png", "a.b"), ("p1_f01.nii.gz", "p1_f01"), ("P.NII.GZ", "P"), ("x.tar.gz", "x.tar")]
)
def test_the_ending_of_a_compressed_volume_is_one_ending(name: str, expected: str) -> None:
    assert stem(name) == expected


def test_a_label_of_several_files_is_those_that_fit_and_no_others(tmp_path: Path) -> None:
    lay(tmp_path, "m/1_a.png", "m/1_b.PNG", "m/10_a.png", "m/1_a.gif", "n/1_a.png", "m/.1_c.png", "m/1[x]_a.png")

    def files(label: str, *classes: str) -> list[list[str]]:
        found = class_files(tmp_path / label, classes or ("x",))
        return [[path.relative_to(tmp_path).as_posix() for path in paths] for paths in found]

    assert files("m/1_*.png") == [["m/1_a.png", "m/1_b.PNG"]]
    assert files("*/1_a.png") == [["m/1_a.png", "n/1_a.png"]]
    assert files("m/1?_a.png") == [["m/10_a.png"]]
    assert files("m/7_*.png") == [[]]
    assert files(f"m/{escape_wild('1[x]')}_*.png") == [["m/1[x]_a.png"]]
    assert files("{class}/1_a*.png", "m", "n", "o") == [["m/1_a.png"], ["n/1_a.png"], []]
    lay(tmp_path, "m/1_c.png")  # a folder that changes is listed again
    assert files("m/1_*.png") == [["m/1_a.png", "m/1_b.PNG", "m/1_c.png"]]
    lay(tmp_path, "m/1_*.png")  # a file of this very name is meant
    assert files("m/1_*.png") == [["m/1_*.png"]]
