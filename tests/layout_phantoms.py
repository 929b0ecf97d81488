"""Tiny data sets in the layouts of docs/layouts whose masks are pictures or rows of run lengths.

Each has four training images or more of three groups or more, and a test image; objects are brighter than the rest.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from annotation_exports import EXPORTS
from numpy.typing import NDArray
from PIL import Image
from volume_phantoms import PHANTOMS

SIZE_HW = (32, 40)


def _draw(number: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Returns a picture with two objects, and their masks (2, H, W)."""
    random, masks = np.random.default_rng(number), np.zeros((2, *SIZE_HW), bool)
    masks[0, 4 : 13 + number % 4, 5:17], masks[1, 18:27, 22 : 31 + number % 5] = True, True
    return (masks.any(axis=0) * 120 + random.integers(20, 80, SIZE_HW)).astype(np.uint8), masks


def _save(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def _save_image(path: Path, number: int, colour: bool) -> NDArray[np.bool_]:
    picture, masks = _draw(number)
    _save(path, np.repeat(picture[..., None], 3, axis=2) if colour else picture)
    return masks


def draw_pictures(root: Path, images: Sequence[str], masks: Sequence[str], test: str, colour: bool = False) -> None:
    """Writes images, and of each a picture of its mask; both may hold {} for a number of its own."""
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        drawn = _save_image(root / image, number, colour)
        files = [mask.format(part) for part in (1, 2)] if "{}" in mask else [mask]
        for file, plane in zip(files, drawn if "{}" in mask else [drawn.any(axis=0)], strict=True):
            _save(root / file, plane.astype(np.uint8) * 255)
    _save_image(root / test, 9, colour)


def _runs(mask: NDArray[np.bool_], order: str) -> str:
    flat = np.concatenate([[False], mask.ravel(order="F" if order == "column" else "C"), [False]])
    ends = np.flatnonzero(np.diff(flat.astype(int))).reshape(-1, 2).tolist()
    return " ".join(f"{start + 1} {stop - start}" for start, stop in ends)


def draw_uw_madison(root: Path) -> None:
    lines = ["id,class,segmentation"]
    for number in range(6):
        case, day = number // 2 + 1, number % 2
        folder = root / "train" / f"case{case}" / f"case{case}_day{day}" / "scans"
        masks = _save_image(folder / "slice_0065_40_32_1.50_1.50.png", number, colour=False)
        for name, mask in (("large_bowel", masks[0]), ("small_bowel", masks[1]), ("stomach", masks[0] & False)):
            lines.append(f"case{case}_day{day}_slice_0065,{name},{_runs(mask, 'row')}")
    _save_image(root / "test" / "case7" / "case7_day0" / "scans" / "slice_0001_40_32_1.50_1.50.png", 9, colour=False)
    (root / "train.csv").write_text("\n".join(lines) + "\n")


def draw_hubmap(root: Path) -> None:
    lines = ["id,organ,pixel_size,rle,age"]
    for number in range(4):
        masks = _save_image(root / "train_images" / f"{10044 + number}.tiff", number, colour=True)
        lines.append(f"{10044 + number},kidney,0.4,{_runs(masks.any(axis=0), 'column')},37.0")
    _save_image(root / "test_images" / "10078.tiff", 9, colour=True)
    (root / "train.csv").write_text("\n".join(lines) + "\n")


def draw_sartorius(root: Path) -> None:
    lines = ["id,annotation,width,height,cell_type"]
    for number in range(4):
        masks = _save_image(root / "train" / f"a{number}.png", number, colour=False)
        lines += [f"a{number},{_runs(mask, 'row')},40,32,shsy5y" for mask in masks]
    _save_image(root / "test" / "a9.png", 9, colour=False)
    (root / "train.csv").write_text("\n".join(lines) + "\n")


def draw_blood_cells(root: Path) -> None:
    lines = ["image,platelets,several_white_cells,crowded,red_cell_grade"]
    for number in range(8):
        _save_image(root / "train" / f"BloodImage_0000{number}.jpg", number, colour=True)
        lines.append(f"BloodImage_0000{number},{number % 2},0,{number // 4},{number % 4}")
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    _save_image(root / "test" / "BloodImage_00009.jpg", 9, colour=True)


def draw_index(root: Path) -> None:
    rows = ["file,mask,id,patient,view,split"]
    for number in range(5):
        split, view = "test" if number == 4 else "train", ("axial", "coronal")[number % 2]
        masks = _save_image(root / "scans" / f"{number}.png", number, colour=False)
        mask = f"masks/{number}.png" if split == "train" else ""
        if mask:
            _save(root / mask, masks.any(axis=0).astype(np.uint8) * 255)
        rows.append(f"scans/{number}.png,{mask},a{number},p{number},{view},{split}")
    (root / "index.csv").write_text("\n".join(rows) + "\n")


NUMBERS, LESIONS = range(1, 5), ("MA", "HE", "EX", "SE")
PICTURES: dict[str, Callable[[Path], None]] = {
    "dsb2018": partial(
        draw_pictures,
        images=[f"stage1_train/a{number}/images/a{number}.png" for number in NUMBERS],
        masks=[f"stage1_train/a{number}/masks/nucleus{{}}.png" for number in NUMBERS],
        test="stage1_test/t/images/t.png",
    ),
    "drive": partial(
        draw_pictures,
        images=[f"training/images/2{number}_training.tif" for number in NUMBERS],
        masks=[f"training/1st_manual/2{number}_manual1.gif" for number in NUMBERS],
        test="test/images/01_test.tif",
        colour=True,
    ),
    "idrid": partial(
        draw_pictures,
        images=[f"images/train/IDRiD_0{number}.jpg" for number in NUMBERS],
        masks=[f"masks/{name}/IDRiD_0{number}_{name}.tif" for number, name in zip(NUMBERS, LESIONS, strict=True)],
        test="images/test/IDRiD_55.jpg",
        colour=True,
    ),
    "busi": partial(
        draw_pictures,
        images=[f"{kind}/{kind} ({number}).png" for number in (1, 2) for kind in ("benign", "malignant")],
        masks=[f"{kind}/{kind} ({number})_mask_{{}}.png" for number in (1, 2) for kind in ("benign", "malignant")],
        test="test/unknown (1).png",
    ),
    "lgg": partial(
        draw_pictures,
        images=[f"kaggle_3m/TCGA_CS_{number}/TCGA_CS_{number}_1.tif" for number in NUMBERS],
        masks=[f"kaggle_3m/TCGA_CS_{number}/TCGA_CS_{number}_1_mask.tif" for number in NUMBERS],
        test="test/TCGA_DU_9/TCGA_DU_9_1.tif",
        colour=True,
    ),
    "sennet": partial(
        draw_pictures,
        images=[f"train/kidney_{number}_dense/images/0000.tif" for number in NUMBERS],
        masks=[f"train/kidney_{number}_dense/labels/0000.tif" for number in NUMBERS],
        test="test/kidney_5/images/0000.tif",
    ),
    "segnetcmr": partial(
        draw_pictures,
        images=[f"Train/Images/Part{number}/SC-{kind}-{number}-0048.png" for number in (1, 2) for kind in ("N", "HYP")],
        masks=[f"Train/Labels/Part{number}/SC-{kind}-{number}-0048.png" for number in (1, 2) for kind in ("N", "HYP")],
        test="Test/Images/Part3/SC-HF-I-12-0001.png",
    ),
    "uw_madison": draw_uw_madison,
    "hubmap": draw_hubmap,
    "sartorius": draw_sartorius,
    "index": draw_index,
    "blood_cells_multilabel": draw_blood_cells,
    "blood_cells_grade": draw_blood_cells,
}
ALL_LAYOUTS: dict[str, Callable[[Path], object]] = {**PICTURES, **EXPORTS, **PHANTOMS}
"""Name of a file in docs/layouts -> what draws its data below a folder."""
