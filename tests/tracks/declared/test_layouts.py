"""The YAML files of docs/layouts find the images, keys, groups and masks of tiny phantoms of famous data sets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from competition.masks.bit_planes import unpack_planes
from competition.tracks import get_track
from competition.tracks.declared.track import load_folder_track
from competition.tracks.track import Listing, Track

LAYOUTS = Path(__file__).resolve().parents[3] / "docs" / "layouts"
SIZE_HW = (6, 8)


def save(root: Path, name: str, *pixels: tuple[int, int], colour: bool = False) -> None:
    """Writes a picture with some pixels white."""
    values = np.zeros((*SIZE_HW, 3) if colour else SIZE_HW, np.uint8)
    for row, column in pixels:
        values[row, column] = 255
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(root / name)


def listed(layout: str, root: Path) -> tuple[Track, Listing]:
    track = load_folder_track(LAYOUTS / f"{layout}.yaml")
    listing = track.list_samples(root)
    assert [problem for problem in listing.problems if not problem.note] == []
    return track, listing


def rows(listing: Listing) -> list[tuple[str, str, str, str | None]]:
    return [(sample.split, sample.key, sample.group, sample.label) for sample in listing.samples]


def pixels_of(track: Track, root: Path, label: str | None) -> list[list[int]]:
    assert track.read_label is not None
    planes: NDArray[np.uint8] = track.read_label(root / str(label), SIZE_HW)
    return np.argwhere(unpack_planes(planes, len(track.classes))).tolist()


def test_dsb_2018_joins_the_nuclei_of_an_image(tmp_path: Path) -> None:
    for key, nuclei in (("a1", [(0, 0), (2, 2)]), ("b2", [(5, 7)])):
        save(tmp_path, f"stage1_train/{key}/images/{key}.png")
        for number, pixel in enumerate(nuclei):
            save(tmp_path, f"stage1_train/{key}/masks/n{number}.png", pixel)
    save(tmp_path, "stage1_test/c3/images/c3.png")
    track, listing = listed("dsb2018", tmp_path)
    assert rows(listing) == [
        ("train", "a1", "a1", "stage1_train/a1/masks/*.png"),
        ("train", "b2", "b2", "stage1_train/b2/masks/n0.png"),
        ("test", "c3", "c3", None),
    ]
    assert pixels_of(track, tmp_path, listing.samples[0].label) == [[0, 0, 0], [0, 2, 2]]
    assert track.read_objects is not None
    assert [len(one) for one in track.read_objects(tmp_path / str(listing.samples[0].label), SIZE_HW).pixels] == [1, 1]
    assert track.find_labels is not None
    truth = track.find_labels(tmp_path / "stage1_train")
    assert pixels_of(track, tmp_path, str(truth["a1"][0])) == [[0, 0, 0], [0, 2, 2]]


def test_uw_madison_makes_ids_of_the_path(tmp_path: Path) -> None:
    for case, day in ((1, 20), (1, 22), (2, 20)):
        save(tmp_path, f"train/case{case}/case{case}_day{day}/scans/slice_0065_6_8_1.50_1.50.png")
    save(tmp_path, "test/case7/case7_day0/scans/slice_0065_6_8_1.50_1.50.png")
    ids = [f"case{case}_day{day}_slice_0065" for case, day in ((1, 20), (1, 22), (2, 20))]
    table = [f"{key},{name},{'1 2' if name == 'stomach' else ''}" for key in ids for name in CLASSES]
    (tmp_path / "train.csv").write_text("\n".join(["id,class,segmentation", *table]))
    track, listing = listed("uw_madison", tmp_path)
    assert rows(listing) == [
        *(("train", key, key.split("_")[0], f"train.csv#{key}") for key in ids),
        ("test", "case7_day0_slice_0065", "case7", None),
    ]
    assert [sample.name for sample in listing.samples] == [sample.key for sample in listing.samples]
    assert pixels_of(track, tmp_path, listing.samples[0].label) == [[2, 0, 0], [2, 0, 1]]
    assert track.list_test(tmp_path / "test").samples[0].key == "case7_day0_slice_0065"


CLASSES = ("large_bowel", "small_bowel", "stomach")


def test_sennet_groups_two_scans_of_a_kidney(tmp_path: Path) -> None:
    for number, scan in enumerate(("kidney_1_dense", "kidney_1_voi", "kidney_3_sparse")):
        save(tmp_path, f"train/{scan}/images/0000.tif")
        save(tmp_path, f"train/{scan}/labels/0000.tif", (number, 1))
    save(tmp_path, "test/kidney_5/images/0000.tif")
    track, listing = listed("sennet", tmp_path)
    assert rows(listing) == [
        ("train", "kidney_1_dense_0000", "kidney 1", "train/kidney_1_dense/labels/0000.tif"),
        ("train", "kidney_1_voi_0000", "kidney 1", "train/kidney_1_voi/labels/0000.tif"),
        ("train", "kidney_3_sparse_0000", "kidney 3", "train/kidney_3_sparse/labels/0000.tif"),
        ("test", "kidney_5_0000", "kidney 5", None),
    ]
    assert pixels_of(track, tmp_path, listing.samples[1].label) == [[0, 1, 1]]


def test_busi_masks_lie_beside_images_and_are_joined(tmp_path: Path) -> None:
    images: Sequence[tuple[str, list[tuple[int, int]]]] = (
        ("benign/benign (1)", [(0, 0), (1, 1)]),
        ("benign/benign (10)", [(2, 2)]),
        ("malignant/malignant (1)", [(3, 3)]),
    )
    for image, pixels in images:
        save(tmp_path, f"{image}.png")
        for number, pixel in enumerate(pixels):
            save(tmp_path, f"{image}_mask{f'_{number}' if number else ''}.png", pixel)
    save(tmp_path, "benign/benign (3)_mask.png")
    track, listing = listed("busi", tmp_path)
    assert [(sample.key, sample.stratum) for sample in listing.samples] == [
        ("benign (1)", "benign"),
        ("benign (10)", "benign"),
        ("malignant (1)", "malignant"),
    ]
    found = [pixels_of(track, tmp_path, sample.label) for sample in listing.samples]
    assert found == [[[0, 0, 0], [0, 1, 1]], [[0, 2, 2]], [[0, 3, 3]]]
    assert any("fits 4 masks too" in remark for remark in listing.remarks)
    (stray,) = listing.problems
    assert (stray.path, stray.reason) == ("benign/benign (3)_mask.png", "a mask without a training image")


def test_lgg_groups_by_folder(tmp_path: Path) -> None:
    for patient in ("TCGA_CS_1", "TCGA_DU_2"):
        for number in (1, 2):
            save(tmp_path, f"kaggle_3m/{patient}/{patient}_{number}.tif", colour=True)
            save(tmp_path, f"kaggle_3m/{patient}/{patient}_{number}_mask.tif", (number, 0))
    track, listing = listed("lgg", tmp_path)
    assert [(key, group) for _, key, group, _ in rows(listing)] == [
        ("TCGA_CS_1_1", "TCGA_CS_1"),
        ("TCGA_CS_1_2", "TCGA_CS_1"),
        ("TCGA_DU_2_1", "TCGA_DU_2"),
        ("TCGA_DU_2_2", "TCGA_DU_2"),
    ]
    assert pixels_of(track, tmp_path, listing.samples[3].label) == [[0, 2, 0]]


def test_idrid_has_no_object_where_a_mask_is_missing(tmp_path: Path) -> None:
    for number in (1, 2):
        save(tmp_path, f"images/train/IDRiD_0{number}.jpg", colour=True)
    save(tmp_path, "images/test/IDRiD_55.jpg", colour=True)
    save(tmp_path, "masks/HE/IDRiD_02_HE.tif", (4, 4))
    track, listing = listed("idrid", tmp_path)
    assert [pixels_of(track, tmp_path, sample.label) for sample in listing.samples[:2]] == [[], [[1, 4, 4]]]
    assert "missing: empty: 2 of 2 training images have no mask file, so no object" in listing.remarks


def test_drive_finds_the_mask_of_the_same_number(tmp_path: Path) -> None:
    for number in (21, 22):
        save(tmp_path, f"training/images/{number}_training.tif", colour=True)
        save(tmp_path, f"training/1st_manual/{number}_manual1.gif", (1, number - 20))
        save(tmp_path, f"training/mask/{number}_training_mask.gif", (0, 0))
    save(tmp_path, "test/images/01_test.tif", colour=True)
    track, listing = listed("drive", tmp_path)
    assert rows(listing) == [
        ("train", "21", "21", "training/1st_manual/21_manual1.gif"),
        ("train", "22", "22", "training/1st_manual/22_manual1.gif"),
        ("test", "01", "01", None),
    ]
    assert pixels_of(track, tmp_path, listing.samples[1].label) == [[0, 1, 2]]
    assert track.find_labels is not None
    assert list(track.find_labels(tmp_path / "training" / "1st_manual")) == ["21", "22"]


def test_segnetcmr_labels_mirror_the_folders_of_images(tmp_path: Path) -> None:
    for part, name in (("Sunnybrook_Part2", "SC-HF-I-1-0048"), ("Sunnybrook_Part3", "SC-N-2-0012")):
        save(tmp_path, f"Train/Images/{part}/{name}.png")
        save(tmp_path, f"Train/Labels/{part}/{name}.png", (0, 1))
    save(tmp_path, "Test/Images/Sunnybrook_Part1/SC-HYP-3-0001.png")
    _, listing = listed("segnetcmr", tmp_path)
    assert [(sample.group, sample.stratum) for sample in listing.samples] == [
        ("SC-HF-I-1", "HF-I"),
        ("SC-N-2", "N"),
        ("SC-HYP-3", "HYP"),
    ]
    assert rows(listing)[1][3] == "Train/Labels/Sunnybrook_Part3/SC-N-2-0012.png"


@pytest.mark.parametrize("path", sorted(LAYOUTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_layout_is_shown_at_the_top_of_its_file(path: Path) -> None:
    assert get_track(str(path)).name == path.stem
    assert path.read_text().splitlines()[1].startswith("#   ")
