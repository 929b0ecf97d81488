"""Objects from a PNG each, pictures of instances, tables of run lengths and annotation tools, against their pixels."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from annotation_exports import CLASSES, EXPORTS, OBJECTS, SIZE_HW, inside

from competition.masks.run_lengths import encode_mask
from competition.tracks.declared.track import load_folder_track

LAYOUTS = Path(__file__).resolve().parents[3] / "docs" / "layouts"
SIZE = (7, 9)
KEYS = 'train: "i/*.png"\ntest: "t/*.png"\ngroup: "(.+)"\n'


def track_of(folder: Path, classes: str, masks: str):
    yaml = folder / "cells.yaml"
    form = "submission: {kind: objects, image: id, class: class, rle: rle, ending: false, order: row}\n"
    yaml.write_text(f"{KEYS}classes: {classes}\nmasks: {masks}\n{form}")
    return load_folder_track(yaml)


def write(path: Path, picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.asarray(picture, dtype=np.uint8))


def lists(objects) -> list[list[int]]:
    assert objects.size_hw == SIZE
    return [one.tolist() for one in objects.pixels]


def test_pngs_and_rows_of_run_lengths_are_the_same_objects(tmp_path) -> None:
    instances = np.random.default_rng(0).integers(0, 5, SIZE)  # in pieces, which touch
    masks = [instances == number for number in range(1, 5)]
    for number, mask in enumerate(masks):
        write(tmp_path / f"m/x/{number}.png", mask * 255)
    rows = "".join(f"x,cell,{encode_mask(mask, 'column')}\n" for mask in masks)
    (tmp_path / "t.csv").write_text("id,class,rle\n" + rows)
    pictures = track_of(tmp_path, "[cell]", '"m/{stem}/*.png"')
    assert lists(pictures.read_objects(tmp_path / "m/x/*.png", SIZE)) == [
        np.flatnonzero(mask).tolist() for mask in masks
    ]
    table = track_of(tmp_path, "[cell]", "{csv: t.csv, image: id, class: class, rle: rle, order: column}")
    assert lists(table.read_objects(tmp_path / "t.csv#x", SIZE)) == [np.flatnonzero(mask).tolist() for mask in masks]


def test_overlapping_pngs_stay_whole_and_empty_ones_are_no_object(tmp_path) -> None:
    left, right = np.zeros((2, *SIZE))
    left[:, :5], right[:, 4:] = 255, 255
    for name, mask in (("a/x_1", left), ("a/x_2", right), ("a/x_3", 0 * left), ("b/x_1", right), ("b/x_2", left)):
        write(tmp_path / f"m/{name}.png", mask)
    track = track_of(tmp_path, "[a, b]", '"m/{class}/{stem}_*.png"')
    objects = track.read_objects(tmp_path / "m/{class}/x_*.png", SIZE)
    assert objects.class_of.tolist() == [0, 0, 1, 1]
    assert [len(one) for one in objects.pixels] == [35, 35, 35, 35]


@pytest.mark.parametrize("classes", ["[a]", "{a: 1, b: 2}"])
def test_a_single_png_holds_its_components(tmp_path, classes) -> None:
    picture = np.zeros(SIZE)
    picture[0, 0], picture[6, 8], picture[3, 3:6] = 1, 1, 2 if "b" in classes else 0
    write(tmp_path / "m/x_1.png", picture)
    objects = track_of(tmp_path, classes, '"m/{stem}_*.png"').read_objects(tmp_path / "m/x_*.png", SIZE)
    assert lists(objects) == [[0], [62]] + ([[30, 31, 32]] if "b" in classes else [])


def test_masks_of_one_file_have_no_objects_of_their_own(tmp_path) -> None:
    assert track_of(tmp_path, "[a]", '"m/{stem}.png"').read_objects is None


def test_an_image_without_row_has_no_objects_where_that_is_declared(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("id,class,rle\ny,cell,1 2\n")
    masks = "{csv: t.csv, image: id, class: class, rle: rle, order: row}\nmissing: empty"
    assert lists(track_of(tmp_path, "[cell]", masks).read_objects(tmp_path / "t.csv#x", SIZE)) == []


@pytest.mark.parametrize("layout", [*EXPORTS])
def test_what_is_drawn_with_a_tool_is_an_object_each(tmp_path, layout) -> None:
    EXPORTS[layout](tmp_path)
    track = load_folder_track(LAYOUTS / f"{layout}.yaml")
    if layout == "cvat_masks":  # a picture of colours holds no objects
        assert track.read_objects is None
        return
    labels = {sample.key: sample.label for sample in track.list_samples(tmp_path).samples if sample.split == "train"}
    for name, drawn in OBJECTS.items():
        objects = track.read_objects(tmp_path / labels[name], SIZE_HW)
        found = [(CLASSES[index], one.tolist()) for index, one in zip(objects.class_of, objects.pixels, strict=True)]
        assert found == sorted((label, np.flatnonzero(inside(ring)).tolist()) for label, ring in drawn)


def test_each_number_of_a_picture_of_instances_is_an_object(tmp_path) -> None:
    picture = np.random.default_rng(1).choice([0, 3, 200], SIZE)
    write(tmp_path / "m/x.png", picture)
    track = track_of(tmp_path, "[cell]", '{instances: "m/{stem}.png"}\nmissing: empty')
    found = lists(track.read_objects(tmp_path / "m/x.png", SIZE))
    assert found == [np.flatnonzero(picture == value).tolist() for value in (3, 200)]
    assert lists(track.read_objects(tmp_path / "m/y.png", SIZE)) == []
