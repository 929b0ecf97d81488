"""COCO: one JSON file for all images (https://cocodataset.org/#format-data).

An object is a list of polygons, which are joined, or run lengths, column by column, beginning with the background.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.files import write_json
from competition.formats.contours import require_fillable
from competition.formats.drawn_objects import DrawnImage, DrawnObject
from competition.formats.json_files import read_json_object
from competition.text import shown

REPAIR = "Export the file again as COCO with polygons or masks"


def write_coco(path: Path, classes: tuple[str, ...], images: Mapping[str, DrawnImage]) -> None:
    """Write the objects of images, whose file names are the keys; objects with a mask are written as run lengths."""
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, image) in enumerate(images.items(), start=1):
        height, width = image.size_hw
        pictures.append({"id": number, "file_name": name, "height": height, "width": width})
        for drawn in image.objects:
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": classes.index(drawn.label) + 1}
                | _shape(drawn)
                | {"iscrowd": 0}
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    write_json(path, {"images": pictures, "annotations": annotations, "categories": categories})


def _shape(drawn: DrawnObject) -> dict[str, Any]:
    if drawn.mask is not None:
        rows, columns = np.nonzero(drawn.mask)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        counts = {"size": list(drawn.mask.shape), "counts": encode_counts(drawn.mask)}
        return {"segmentation": counts, "area": int(drawn.mask.sum()), "bbox": [int(value) for value in box]}
    (ring,) = drawn.rings
    points = np.round(ring, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = points.T
    area = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    return {"segmentation": [points.ravel().tolist()], "area": round(area, 2), "bbox": [*low, *(high - low).round(2)]}


def read_coco(path: Path) -> dict[str, DrawnImage]:
    """Read all objects: file name of the image -> its objects; images without any are among them.

    Raises:
        CompetitionError: It is no file in COCO's form.
    """
    content = read_json_object(path, ("images", "annotations", "categories"), REPAIR)
    try:
        names = {each["id"]: str(each["name"]) for each in content["categories"]}
        sizes = {each["id"]: (int(each["height"]), int(each["width"])) for each in content["images"]}
        objects: dict[Any, list[DrawnObject]] = {key: [] for key in sizes}
        for number, each in enumerate(content["annotations"]):
            size_hw, place = sizes[each["image_id"]], f"{path}, annotation {number + 1}"
            objects[each["image_id"]] += _objects(names[each["category_id"]], each["segmentation"], size_hw, place)
        images = {str(each["file_name"]): each["id"] for each in content["images"]}
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CompetitionError("this is no file in COCO's form", path, REPAIR) from error
    return {name: DrawnImage(sizes[key], tuple(objects[key])) for name, key in images.items()}


def _objects(label: str, segmentation: Any, size_hw: tuple[int, int], place: str) -> list[DrawnObject]:
    """Return the parts of an annotation: COCO joins its polygons, so each is an object of its own."""
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        numbers = decode_text(counts) if isinstance(counts, str) else [int(count) for count in counts]
        return [DrawnObject(label, mask=decode_counts(numbers, size_hw, place))]
    parts = []
    for flat in segmentation:
        ring = np.array(flat, dtype=np.float64).reshape(-1, 2)
        if len(ring) < 3 or not np.isfinite(ring).all():
            raise CompetitionError(f"a polygon of {shown(label)} has no three finite points", place, REPAIR)
        require_fillable(ring, f"polygon of {label}", place)
        parts.append(DrawnObject(label, (ring,)))
    return parts


def encode_counts(mask: NDArray[np.bool_]) -> list[int]:
    """Return the run lengths of a mask (H, W), column by column: background, object, background ..."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *lengths] if flat[0] else lengths


def decode_counts(counts: list[int], size_hw: tuple[int, int], place: str) -> NDArray[np.bool_]:
    """Return the mask of run lengths.

    Raises:
        CompetitionError: They don't add up to the image's pixels.
    """
    height, width = size_hw
    if sum(counts) != height * width or min(counts) < 0:
        raise CompetitionError(f"run lengths add up to {sum(counts)}, not to {height}x{width} pixels", place, REPAIR)
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(size_hw, order="F")


def decode_text(text: str) -> list[int]:
    """Return the run lengths of pycocotools' compressed text.

    Each number has groups of five bits, the lowest first, in characters from "0" on; a sixth bit says that more follow.
    From the fourth number on it is the difference from the last but one (``rleFrString`` in maskApi.c).
    """
    counts: list[int] = []
    value = shift = 0
    for sign in text:
        bits = ord(sign) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return counts
