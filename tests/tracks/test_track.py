from pathlib import Path

import pytest

from competition.tracks.track import label_files, split_part


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
