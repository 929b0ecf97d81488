"""Folders as users have them: prepare takes every sample, or names in a sentence which it leaves out."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from competition.data.manifest import read_manifest
from competition.masks.bit_planes import unpack_planes
from competition.masks.stored_arrays import read_array
from competition.tracks import get_track
from competition.workspace import Workspace

HEIGHT, WIDTH = 16, 24
YAML = """\
classes: [a]
train: train/images/*.png
masks: train/masks/{stem}.png
test: test/images/*.png
group: '^(p[0-9])_'
"""
RUN_LENGTHS = """\
classes: [a]
train: train/*.png
masks: {csv: train.csv, image: id, rle: rle, order: row}
test: test/*.png
group: '^([0-9]{2})'
submission: {image: id, rle: rle, ending: false, empty: -1, order: row}
"""


def save(path: Path, seed: int, mask: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    Image.fromarray(values // 128 * 255 if mask else values).save(path, format="PNG" if path.suffix else None)
    return path


@pytest.fixture
def data(tmp_path):
    """Eight training images of four persons with masks, and two test images."""
    for person in range(4):
        for number in range(2):
            name = f"p{person}_{number}.png"
            save(tmp_path / "data/train/images" / name, 10 * person + number)
            save(tmp_path / "data/train/masks" / name, 100 + 10 * person + number, mask=True)
    for person in (4, 5):
        save(tmp_path / f"data/test/images/p{person}_0.png", 10 * person)
    (tmp_path / "t.yaml").write_text(YAML)
    return tmp_path / "data"


def prepare(data: Path, *words: object) -> Sequence[object]:
    return "prepare", "--track", data.parent / "t.yaml", "--data", data, "--folds", 2, *words


def read_masks(data: Path) -> dict[str, int]:
    """Training sample -> pixels of its cached mask."""
    workspace = Workspace(data.parent / "workspace", "t")
    entries = read_manifest(workspace, get_track(str(data.parent / "t.yaml"))).of("train")
    return {e.sample: int(unpack_planes(read_array(workspace.label_file(e.sample)), 1).sum()) for e in entries}


def drawn_mask(seed: int) -> int:
    return int((np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8) >= 128).sum())


ALL = {f"p{person}_{number}": drawn_mask(100 + 10 * person + number) for person in range(4) for number in range(2)}


def test_capital_endings_are_samples_as_any(data, stage):
    for name in ("train/images/p3_0", "train/masks/p2_1", "test/images/p5_0"):
        (data / f"{name}.png").rename(data / f"{name}.PNG")
    figures, said = stage(*prepare(data))
    assert (figures["samples"]["train"], figures["samples"]["test"], figures["problems"]) == (8, 2, [])
    assert "notes: " not in said
    assert read_masks(data) == ALL


def test_what_a_mac_leaves_behind_is_never_a_sample(data, stage):
    (data.parent / "t.yaml").write_text(YAML.replace("'^(p[0-9])_'", "'(.+)'"))
    places = (
        "train/images/._p1_0.png",
        "test/images/._p4_0.png",
        "__MACOSX/train/images/p7_0.png",
        "train/masks/.a.png",
    )
    for place in places:
        (data / place).parent.mkdir(parents=True, exist_ok=True)
        (data / place).write_bytes(b"\0\5\x16\7")
    figures, said = stage(*prepare(data))
    assert (figures["samples"]["train"], figures["samples"]["test"], figures["problems"]) == (8, 2, [])
    assert "._" not in said


def test_images_and_masks_of_two_unicode_forms_are_joined(data, stage):
    composed, decomposed = (unicodedata.normalize(form, "손") for form in ("NFC", "NFD"))
    for path in (*data.glob("train/images/*.png"), *data.glob("test/images/*.png")):
        path.rename(path.with_name(f"{path.stem}_{composed}.png"))
    for path in list(data.glob("train/masks/*.png")):
        path.rename(path.with_name(f"{path.stem}_{decomposed}.png"))
    figures, _ = stage(*prepare(data))
    assert (figures["samples"]["train"], figures["problems"]) == (8, [])
    assert read_masks(data) == {f"{name}_{composed}": pixels for name, pixels in ALL.items()}


def test_two_names_that_differ_in_unicode_form_or_capitals_clash(data, refusal):
    for form in ("NFC", "NFD"):
        save(data / f"test/images/p6_{unicodedata.normalize(form, '손')}.png", 60)
    assert "two images share the name p6_손" in refusal(*prepare(data))[0]
    for path in data.glob("test/images/p6*"):
        path.unlink()
    save(data / "test/images/P4_0.png", 61)
    (data.parent / "t.yaml").write_text(YAML.replace("^(p", "^([pP]"))
    error, _ = refusal(*prepare(data))
    assert "differ in capital letters only (the other is test/images/P4_0.png): test/images/p4_0.png" in error


def test_two_masks_that_differ_in_their_ending_only_clash(data, refusal):
    save(data / "train/masks/p0_0.PNG", 1, mask=True)
    error, _ = refusal(*prepare(data))
    assert "two masks differ in spelling only" in error
    assert "p0_0.PNG" in error
    assert "p0_0.png" in error


def test_people_in_linked_folders_are_all_there(data, stage):
    (data.parent / "t.yaml").write_text(YAML.replace("train/images/*.png", "train/images/**/*.png"))
    for person, folder in ((0, data / "train/images/first"), (1, data.parent / "elsewhere")):
        folder.mkdir()
        for path in list(data.glob(f"train/images/p{person}_*.png")):
            path.rename(folder / path.name)
    (data / "train/images/second").symlink_to(data.parent / "elsewhere", target_is_directory=True)
    (data / "train/images/first/round").symlink_to(data / "train", target_is_directory=True)
    figures, _ = stage(*prepare(data))
    assert (figures["samples"]["train"], figures["groups"]) == (8, 4)
    assert read_masks(data) == ALL


def test_a_test_image_of_another_ending_is_a_problem_and_its_repair_works(data, refusal, stage):
    (data / "test/images/p5_0.png").rename(data / "test/images/p5_0.jpg")
    error, said = refusal(*prepare(data, "--fill-bad", "--skip-bad"))
    assert "1 test sample can't be used" in error
    assert "test/images/*.png takes no .jpg files: test/images/p5_0.jpg. Let test: in the track's YAML file" in error
    assert "(test/images/*.*)" in error
    assert "notes: " not in said
    (data.parent / "t.yaml").write_text(YAML.replace("test/images/*.png", "test/images/*.*"))
    assert stage(*prepare(data))[0]["samples"]["test"] == 2


def test_a_training_image_of_another_ending_is_a_problem_where_it_has_a_mask(data, refusal, stage):
    (data / "train/images/p3_1.png").rename(data / "train/images/p3_1.bmp")
    error, _ = refusal(*prepare(data))
    assert (
        "1 training sample can't be used; the first is p3_1: left out, because train/images/*.png takes no .bmp"
        in error
    )
    (data / "train/masks/p3_1.png").unlink()
    figures, said = stage(*prepare(data))
    assert figures["samples"]["train"] == 7
    assert [(problem["key"], problem["note"]) for problem in figures["problems"]] == [("p3_1", True)]
    assert "notes: 1" in said
    assert "nothing is lost" not in said


def test_pictures_that_are_no_samples_of_their_own_are_only_worth_knowing(data, stage):
    save(data / "test/images/p4_0.jpg", 1)  # a preview
    (data / "test/images/notes.txt").touch()
    save(data / "truth/p4_0.png", 2)
    figures, _ = stage(*prepare(data))
    assert [(problem["path"], problem["note"]) for problem in figures["problems"]] == [("test/images/p4_0.jpg", True)]
    assert figures["samples"]["test"] == 2


def test_masks_beside_images_are_no_alarm(data, stage):
    for path in data.glob("train/masks/*.png"):
        path.rename(data / "train/images" / f"{path.stem}_mask.png")
    yaml = YAML.replace("train/images/*.png", "train/images/*_[01].png")
    (data.parent / "t.yaml").write_text(yaml.replace("train/masks/{stem}", "train/images/{stem}_mask"))
    assert stage(*prepare(data))[0]["problems"] == []
    assert read_masks(data) == ALL


def test_a_pattern_that_takes_masks_as_images_leaves_them_out_with_both_files(data, stage):
    for path in data.glob("train/masks/*.png"):
        path.rename(data / "train/images" / f"{path.stem}_mask.png")
    (data.parent / "t.yaml").write_text(YAML.replace("train/masks/{stem}", "train/images/{stem}_mask"))
    figures, said = stage(*prepare(data))
    assert "train/images/p0_0_mask.png is the mask of train/images/p0_0.png" in said
    assert figures["samples"] == {"train": 8, "test": 2, "read": 10}


def test_a_mask_of_a_near_name_is_meant_and_each_sample_counts_once(data, refusal):
    for path in list(data.glob("train/masks/*.png")):
        path.rename(path.with_name(f"{path.stem.upper()}.png"))
    error, said = refusal(*prepare(data))
    assert "8 training samples can't be used; the first is p0_0: annotation missing" in error
    assert "did you mean P0_0.png, which differs in its capital letters?" in error
    assert "problems: 8" in said
    assert said.count("annotation missing") == 1
    assert "a mask without a training image" not in said


@pytest.fixture
def table(tmp_path):
    """Ten images 0010 ... 0051 whose masks are run lengths; the rows are the test's."""
    for person in range(1, 6):
        for number in range(2):
            save(tmp_path / f"data/train/00{person}{number}.png", 10 * person + number)
    save(tmp_path / "data/test/0060.png", 60)
    yaml = RUN_LENGTHS.replace("'^([0-9]{2})'", "'^([0-9]{3})'")
    (tmp_path / "t.yaml").write_text(yaml)
    return tmp_path / "data"


def write_rows(data: Path, form: str) -> None:
    names = [f"{person}{number}" for person in range(1, 6) for number in range(2)]
    (data / "train.csv").write_text("id,rle\n" + "".join(f"{form.format(name)},1 7\n" for name in names))


@pytest.mark.parametrize(
    ("form", "written", "how"),
    [
        ("{}", "10", "leading zeros"),
        ("train\\00{}.png", r"train\\0010.png", "folder"),
        ("00{}.dcm", "0010.dcm", "ending"),
        ("data/train/{}", "data/train/10", "folder and leading zeros"),
    ],
)
def test_near_ids_of_a_table_are_meant_and_each_sample_counts_once(table, refusal, stage, form, written, how):
    write_rows(table, form)
    error, said = refusal(*prepare(table))
    assert (
        "10 training samples can't be used; the first is 0010: annotation missing: no row of image '0010.png'" in error
    )
    assert f"did you mean row 2 for '{written}', which differs in its {how}?" in error
    assert "Write column 'id' of train.csv as the image files are called" in error
    assert ("keep the column as text" in error) == ("zeros" in how)
    assert "problems: 10" in said
    assert said.count("annotation missing") == 1
    write_rows(table, "00{}.png")
    assert stage(*prepare(table))[0]["samples"]["train"] == 10


def test_ids_in_another_unicode_form_are_joined(table, stage):
    for path in list(table.glob("train/*.png")):
        path.rename(path.with_name(f"{path.stem}{unicodedata.normalize('NFD', '손')}.png"))
    write_rows(table, "00{}" + unicodedata.normalize("NFC", "손"))
    stage(*prepare(table))
    assert set(read_masks(table).values()) == {7}


def test_one_person_is_told_the_way_out_which_works(data, refusal, stage):
    for path in list(data.glob("train/*/p[123]*.png")):
        path.rename(path.with_name(f"p0{path.name}"))
    for path in list(data.glob("train/*/p0p*.png")):
        path.rename(path.with_name(path.name.replace("p0p", "p0_")))
    error, _ = refusal(*prepare(data))
    assert "all training samples are of one group (p0), and a fold holds out whole groups" in error
    assert "write group: '(.+)' in the YAML" in error
    assert "all scores are too high" in error
    (data.parent / "t.yaml").write_text(YAML.replace("'^(p[0-9])_'", "'(.+)'"))
    assert stage(*prepare(data))[0]["groups"] == 8


def test_fewer_groups_than_folds_are_told_the_number_that_works(data, refusal, stage):
    error, _ = refusal("prepare", "--track", data.parent / "t.yaml", "--data", data)
    assert "4 groups can't be split into 5 folds. Give --folds 4 or fewer" in error
    assert stage("prepare", "--track", data.parent / "t.yaml", "--data", data, "--folds", 4)[0]["folds"]["count"] == 4


@pytest.mark.parametrize(
    ("masks", "sentence"),
    [
        ("train/{folder}/{stem}.png", "masks holds {folder}, which is unknown; known are class, dir, name, parent"),
        ("train/masks/{sten}.png", "masks holds {sten}, which is unknown, did you mean 'stem'?"),
        ("train/*/{stem}.png", "makes train/images/p0_0.png its own mask"),
        ("train/masks/p*.png", "masks needs {stem}, the image's name without its ending, or another of {stem}"),
        ("train/masks/{parent}.png", "8 training samples can't be used; the first is p0_0: annotation missing"),
    ],
)
def test_masks_that_cannot_be_declared_are_refused(data, refusal, masks, sentence):
    (data.parent / "t.yaml").write_text(YAML.replace("train/masks/{stem}.png", f"'{masks}'"))
    assert sentence in refusal(*prepare(data))[0]


def test_a_group_that_only_the_path_has_is_named(tmp_path, refusal):
    for person in range(3):
        save(tmp_path / f"data/train/patient{person}/image{person}.png", person)
    (tmp_path / "t.yaml").write_text(
        "classes: [a]\ntrain: train/*/*.png\nmasks: m/{stem}.png\ntest: test/*.png\ngroup: 'patient([0-9]+)'\n"
    )
    error, _ = refusal(*prepare(tmp_path / "data"))
    assert "searched in the file name only and would match the path" in error
    assert "Fix group: in the track's YAML file; group: '{parent}' is the folder" in error


def test_images_of_one_name_in_several_folders_are_named(tmp_path, refusal):
    for person in range(3):
        save(tmp_path / f"data/train/p{person}/image.png", person)
    (tmp_path / "t.yaml").write_text(
        "classes: [a]\ntrain: train/*/*.png\nmasks: m/{stem}.png\ntest: test/*.png\ngroup: '(.+)'\n"
    )
    error, _ = refusal(*prepare(tmp_path / "data"))
    assert "share the name image (the other is train/p0/image.png): train/p1/image.png" in error
    assert "names that differ without their folder" in error
