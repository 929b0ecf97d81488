"""The same objects as the exports of several annotation tools, and the pixels that they cover."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE_HW = (24, 30)
CLASSES = ("bone", "screw")
COLOURS = {"bone": (255, 0, 0), "screw": (0, 128, 255)}
Ring = list[tuple[float, float]]

# The first bone reaches half a pixel and less over the border, the second lies on fractions of a pixel; the image "c"
# has no object. No two objects overlap, because a picture of colours could not show it.
OBJECTS: dict[str, list[tuple[str, Ring]]] = {
    "01_a": [
        ("bone", [(-0.4, -0.5), (11.3, -0.25), (9.75, 14.5), (-0.5, 12.0)]),
        ("bone", [(16.2, 3.7), (29.9, 2.1), (30.4, 20.6), (18.5, 23.9)]),
        ("screw", [(1.0, 17.0), (8.0, 17.0), (8.0, 22.0), (1.0, 22.0)]),
    ],
    "02_b": [("screw", [(3.3, 3.3), (25.1, 4.4), (14.9, 11.2), (24.2, 20.8), (4.0, 19.5)])],
    "03_c": [],
}


def inside(ring: Ring, size_hw: tuple[int, int] = SIZE_HW) -> NDArray[np.bool_]:
    """The pixels whose centre an outline surrounds: for each centre, the edges that a ray to the right crosses."""
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    crossed = np.zeros(size_hw, int)
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        if y0 != y1:
            crossed += ((y0 <= rows) != (y1 <= rows)) & (columns < x0 + (rows - y0) / (y1 - y0) * (x1 - x0))
    return crossed % 2 == 1


def masks_of(name: str) -> NDArray[np.bool_]:
    """The masks (C, H, W) of an image."""
    masks = np.zeros((len(CLASSES), *SIZE_HW), bool)
    for label, ring in OBJECTS[name]:
        masks[CLASSES.index(label)] |= inside(ring)
    return masks


def write_images(root: Path, train: str, test: str) -> None:
    random = np.random.default_rng(0)
    for name, folder in [*((name, train) for name in OBJECTS), ("09_t", test)]:
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, SIZE_HW, dtype=np.uint8)).save(root / folder / f"{name}.png")


def coco_content() -> dict[str, list[dict[str, object]]]:
    pictures = [
        {"id": number, "file_name": f"{name}.png", "height": SIZE_HW[0], "width": SIZE_HW[1]}
        for number, name in enumerate(OBJECTS, start=10)
    ]
    annotations: list[dict[str, object]] = []
    for picture, objects in zip(pictures, OBJECTS.values(), strict=True):
        for label, ring in objects:
            flat = [value for point in ring for value in point]
            place = {"id": len(annotations), "image_id": picture["id"], "category_id": CLASSES.index(label) + 5}
            annotations.append(place | {"segmentation": [flat], "iscrowd": 0, "bbox": [0, 0, 4, 4]})
    # A category without objects, as Roboflow writes one above all others.
    categories: list[dict[str, object]] = [{"id": 0, "name": "objects"}]
    categories += [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=5)]
    return {"images": pictures, "annotations": annotations, "categories": categories}


def export_coco(root: Path) -> None:
    write_images(root, "images/train", "images/test")
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_train.json").write_text(json.dumps(coco_content()))


def export_labelme(root: Path) -> None:
    write_images(root, "train", "test")
    for name, objects in OBJECTS.items():
        shapes: list[dict[str, object]] = [
            {"label": label, "points": ring, "group_id": None, "shape_type": "polygon"} for label, ring in objects
        ]
        size = {"imageHeight": SIZE_HW[0], "imageWidth": SIZE_HW[1], "imagePath": f"C:\\x\\{name}.png"}
        content = {"version": "5.2.1", "flags": {}, "shapes": shapes, "imageData": "aGVsbG8="} | size
        (root / "train" / f"{name}.json").write_text(json.dumps(content))


def export_cvat(root: Path) -> None:
    """Everything but the screw of the first image as polygons, and that as run lengths within its box."""
    write_images(root, "images", "test")
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations><version>1.1</version>"]
    for number, (name, objects) in enumerate(OBJECTS.items()):
        size = f'width="{SIZE_HW[1]}" height="{SIZE_HW[0]}"'
        lines.append(f'<image id="{number}" name="images/{name}.png" {size}><tag label="frontal"/>')
        for label, ring in objects:
            if ring[0] == (1.0, 17.0):
                box = 'left="0" top="16" width="9" height="7"'
                lines.append(f'<mask label="{label}" rle="10, 7, 2, 7, 2, 7, 2, 7, 2, 7, 10" {box} z_order="1"/>')
                continue
            points = ";".join(f"{x},{y}" for x, y in ring)
            lines.append(f'<polygon label="{label}" occluded="0" points="{points}" z_order="0"></polygon>')
        lines.append("</image>")
    (root / "annotations.xml").write_text("\n".join([*lines, "</annotations>"]))


def export_cvat_masks(root: Path) -> None:
    write_images(root, "JPEGImages", "test")
    (root / "SegmentationClass").mkdir()
    lines = [f"{name}:{','.join(map(str, colour))}::" for name, colour in COLOURS.items()]
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\n"
    (root / "labelmap.txt").write_text(text + "\n".join(lines) + "\n")
    for name in OBJECTS:
        picture = np.zeros((*SIZE_HW, 3), np.uint8)
        for mask, colour in zip(masks_of(name), COLOURS.values(), strict=True):
            picture[mask] = colour
        Image.fromarray(picture).save(root / "SegmentationClass" / f"{name}.png")


def export_yolo(root: Path) -> None:
    write_images(root, "images/train", "images/test")
    (root / "labels" / "train").mkdir(parents=True)
    for name, objects in OBJECTS.items():
        lines = [
            " ".join([str(CLASSES.index(label)), *(f"{x / SIZE_HW[1]:.9f} {y / SIZE_HW[0]:.9f}" for x, y in ring)])
            for label, ring in objects
        ]
        (root / "labels" / "train" / f"{name}.txt").write_text("\n".join(lines))


EXPORTS: dict[str, Callable[[Path], None]] = {
    "coco": export_coco,
    "labelme": export_labelme,
    "cvat": export_cvat,
    "cvat_masks": export_cvat_masks,
    "yolo": export_yolo,
}
"""Name of a file in docs/layouts -> what writes its data below a folder."""
