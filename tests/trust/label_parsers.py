"""Parsers of single tracks: annotations, masks and lists that a team lays beside the data."""

import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import scipy.io
from PIL import Image
from trust_parser import Parser

from competition.data.manifest import Entry
from competition.data.preparation.corrected_files import read_targets
from competition.formats.coco import read_coco
from competition.formats.labelme import read_labelme
from competition.runs.imports.folds import read_imported_folds
from competition.tracks.declared.mask_files import count_between, read_masks
from competition.tracks.hand_bone.labels import HAND_BONE_CLASSES, read_bones
from competition.tracks.hand_bone.lists import with_strata, without_excluded
from competition.tracks.hand_bone.people import read_people
from competition.tracks.hand_bone.sides import side_by_bones
from competition.tracks.lumbar.labels import LABEL_KEY, inspect_label, read_vertebrae
from competition.tracks.track import Listing, Sample

_SAMPLES = [Sample(f"image{number}", f"image{number}.png", "train", f"ID00{number}", ("a",)) for number in (1, 2)]
_TRAINING = [
    Entry(name, f"{name}.png", "train", group, "", (True,), 4, 4, (0.5,), (0.1,), (1,), "c", "d", "e")
    for name, group in (("a", "1"), ("b", "2"))
]


def label_parsers() -> list[Parser]:
    """Makes the valid files, and returns what reads them."""
    return [*_hands(), *_lists(), *_spines(), *_masks(), *_corrections()]


def _hands() -> list[Parser]:
    bones = [
        {"label": name, "points": [[column, 3 * row], [column + 9, 3 * row], [column + 5, 3 * row + 2.5]]}
        for row, name in enumerate(HAND_BONE_CLASSES)
        for column in (2,)
    ]
    annotations = json.dumps({"annotations": bones}).encode()
    return [
        Parser("read_bones", "a.json", (annotations,), lambda path: read_bones(path, (100, 40))),
        Parser("side_by_bones", "a.json", (annotations,), side_by_bones),
    ]


def _lists() -> list[Parser]:
    book = openpyxl.Workbook()
    for row in (
        ("ID", "age", "sex", "weight(kg)", "height(cm)"),
        ("ID001", 31, "F", 54.5, 160),
        (2, "40", "남", 70, 171),
    ):
        book.active.append(row)
    book_file, table_name = _bytes_of(book.save), "xl/worksheets/sheet1.xml"
    with zipfile.ZipFile(io.BytesIO(book_file)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    table = parts[table_name]

    def with_table(path: Path) -> object:
        """Reads a workbook whose table was damaged: in a zip a checksum would give away every damage."""
        with zipfile.ZipFile(path.with_suffix(".xlsx"), "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, path.read_bytes() if name == table_name else content)
        return read_people(path.with_suffix(".xlsx"))

    def strata(path: Path) -> object:
        return with_strata(path.parent, _SAMPLES)

    def excluded(path: Path) -> object:
        return without_excluded(path.parent, Listing(_SAMPLES))

    stratified = b"image_name,stratum\nimage1.png,oblique\nimage2.png,straight\n"
    return [
        Parser("read_people", "meta_data.xlsx", (book_file,), read_people),
        Parser("read_people (its table)", "sheet.xml", (table,), with_table),
        Parser("with_strata", "strata.csv", (stratified,), strata),
        Parser("without_excluded", "exclude.txt", (b"ID001\nimage2.png # turned\n\n",), excluded),
        Parser(
            "read_imported_folds",
            "folds.csv",
            (b"group,fold\n1,a\n2,b\n", b"# theirs\nimage,fold\na.png,0\nb,1\n"),
            lambda path: read_imported_folds(path, _TRAINING),
        ),
    ]


def _corrections() -> list[Parser]:
    triangle = [[1, 2], [8, 2], [4, 7.5]]
    shapes = [{"label": "a", "points": triangle, "group_id": None, "shape_type": "polygon"}]
    labelme = json.dumps({"shapes": shapes, "imageHeight": 9, "imageWidth": 9}).encode()
    annotations = [
        {"image_id": 1, "category_id": 1, "segmentation": segmentation}
        for segmentation in ([[1, 2, 8, 2, 4, 7.5]], {"counts": [10, 5, 66]}, {"counts": ":5R2"})
    ]
    images = [{"id": 1, "file_name": "a.png", "height": 9, "width": 9}]
    coco = json.dumps({"images": images, "annotations": annotations[:2], "categories": [{"id": 1, "name": "a"}]})
    packed = json.dumps({"images": images, "annotations": annotations[2:], "categories": [{"id": 1, "name": "a"}]})
    table = b"sample,corrected\na,any;left\nb,none\nc,\n"
    return [
        Parser("read_labelme", "a.json", (labelme,), read_labelme),
        Parser("read_coco", "a.json", (coco.encode(), packed.encode()), read_coco),
        Parser("read_targets", "review.csv", (table,), lambda path: read_targets(path.parent, ("any", "left"))),
    ]


def _spines() -> list[Parser]:
    label = np.zeros((9, 9, 7), np.uint8)
    for vertebra in range(6):
        label[1 + vertebra, 3:6, vertebra] = 1

    def stored(array: np.ndarray, packed: bool) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            scipy.io.savemat(Path(folder) / "a.mat", {LABEL_KEY: array}, do_compression=packed)
            return (Path(folder) / "a.mat").read_bytes()

    matlab = (stored(label, False), stored(label.astype(float), True))
    picture = _png((label[..., :6] * np.arange(1, 7, dtype=np.uint8)).max(axis=2))
    return [
        Parser("read_vertebrae (MATLAB)", "a.mat", matlab, lambda path: read_vertebrae(path, (9, 9))),
        Parser("read_vertebrae (PNG)", "a.png", (picture,), lambda path: read_vertebrae(path, (9, 9))),
        Parser("inspect_label", "a.mat", matlab, lambda path: inspect_label(path, (9, 9))),
    ]


def _png(picture: np.ndarray | Image.Image) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    return _bytes_of(lambda file: image.save(file, "PNG"))


def _bytes_of(save: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


def _masks() -> list[Parser]:
    values = np.random.default_rng(0).integers(0, 3, (9, 8)).astype(np.uint8)
    palette = Image.fromarray(values, "P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    soft = _png((values * 127).astype(np.uint8))
    two: dict[str, int] = {"x": 1, "y": 2}
    reads: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
        "read_masks (one class)": (soft, lambda path: read_masks(path, (9, 8), ["x"])),
        "read_masks (values)": (_png(values), lambda path: read_masks(path, (9, 8), two)),
        "read_masks (colours)": (
            _png(palette),
            lambda path: read_masks(path, (9, 8), {"x": 0xFF0000, "y": 0x0000FF}, colours=True),
        ),
        "count_between": (soft, lambda path: count_between(path, ["x"])),
    }
    return [Parser(name, "a.png", (valid,), read) for name, (valid, read) in reads.items()]
