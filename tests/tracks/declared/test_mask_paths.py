"""Masks are found where the template says, below the data folder and below a folder of truth."""

from pathlib import Path

from competition.tracks.declared import mask_paths


def find_masks(folder: Path, template: str, classes: list[str]) -> dict[str, list[Path]]:
    return mask_paths.find_masks(folder, template, classes, lambda fields: fields["stem"])


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_masks_of_another_ending_than_the_images_are_found_by_the_template(tmp_path: Path) -> None:
    lay(tmp_path, "deep/1_mask.png", "deep/2_mask_mask.png", "deep/3.png", "deep/4_mask.tif", "1_mask.png.txt")
    assert find_masks(tmp_path, "train/labels/{stem}_mask.png", ["a"]) == {
        "1": [tmp_path / "deep" / "1_mask.png"],
        "2_mask": [tmp_path / "deep" / "2_mask_mask.png"],
    }


def test_masks_of_classes_are_found_as_one_path(tmp_path: Path) -> None:
    lay(tmp_path, "x/a/1.png", "x/b/1.png", "x/b/2.png", "y/a/1.png", "c/1.png")
    assert find_masks(tmp_path, "train/{class}/{stem}.png", ["a", "b"]) == {
        "1": [tmp_path / "x/{class}/1.png", tmp_path / "y/{class}/1.png"],
        "2": [tmp_path / "x/{class}/2.png"],
    }
    assert find_masks(tmp_path / "x", "train/{class}/{stem}.png", ["a", "b"])["2"] == [tmp_path / "x/{class}/2.png"]


def test_a_name_that_stands_twice_in_the_template_must_be_the_same(tmp_path: Path) -> None:
    lay(tmp_path, "1/1_a.png", "3/3_b.png", "4/5_a.png")
    assert find_masks(tmp_path, "masks/{stem}/{stem}_{class}.png", ["a", "b"]) == {
        "1": [tmp_path / "1/1_{class}.png"],
        "3": [tmp_path / "3/3_{class}.png"],
    }


def test_a_part_of_a_name_is_no_mask(tmp_path: Path) -> None:
    lay(tmp_path, "xmask_1.png", "mask_2.png", "deep/mask_3.png", "xa/1.png", "a/2.png")
    assert list(find_masks(tmp_path, "m/mask_{stem}.png", ["a"])) == ["3", "2"]
    assert list(find_masks(tmp_path, "m/{class}/{stem}.png", ["a"])) == ["2"]


def test_signs_of_the_template_are_no_pattern(tmp_path: Path) -> None:
    lay(tmp_path, "1(x).png", "2(x)+png")
    assert list(find_masks(tmp_path, "m/{stem}(x).png", ["a"])) == ["1"]
