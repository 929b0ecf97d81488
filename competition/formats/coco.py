"""COCO: one JSON file for all images (https://cocodataset.org/#format-data).

An object is a list of polygons, which are joined, or run lengths, column by column, beginning with the background.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.files import write_json
from competition.formats.drawn_objects import DrawnFile, DrawnImage, DrawnObject, box_points, make_ring
from competition.formats.json_files import read_json_object
from competition.text import counted, shown, size_text

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
    """Read the objects of all images at once; errors as of ``open_coco`` and of the images of its file."""
    return {name: read() for name, read in open_coco(path).images.items()}


def open_coco(path: Path, boxes: bool = False) -> DrawnFile:
    """Read a file, whose images may have objects or not, without decoding any object.

    ``boxes`` makes the box of an annotation its mask where it has no other; otherwise such an annotation is an error.
    Objects of crowds (``iscrowd``) are pixels of their class like all others. Nothing refers to the id of an
    annotation, so two that share one are both read, with a remark; of two images or categories it is an error.

    Raises:
        CompetitionError: It is not a COCO file, or two images or categories share an id or a name.
    """
    content = read_json_object(path, ("images", "annotations", "categories"), REPAIR)
    try:
        labels = _by_id(content["categories"], "name", "categories", path)
        names = _by_id(content["images"], "file_name", "images", path)
        sizes = {each["id"]: (int(each["height"]), int(each["width"])) for each in content["images"]}
        parts: dict[Any, list[tuple[int, str, Any]]] = {key: [] for key in names}
        for number, each in enumerate(content["annotations"], start=1):
            if each["image_id"] not in parts or each["category_id"] not in labels:
                key = "category_id" if each["image_id"] in parts else "image_id"
                what, where = f"its {key} {shown(each[key])} is not in the file", f"{path}, annotation {number}"
                raise CompetitionError(what, where, REPAIR)
            parts[each["image_id"]].append((number, labels[each["category_id"]], each))
        repeated = _repeated([each["id"] for each in content["annotations"] if "id" in each])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CompetitionError("this is not a COCO file", path, REPAIR) from error
    remarks: tuple[str, ...] = ()
    if repeated:
        many = f"{counted(len(repeated), 'id')} of annotations appear twice in {path.name}"
        why = "all annotations are read, because nothing refers to them by their id"
        remarks = (f"{many}, such as {shown(repeated[0])}; {why}",)
    images = {name: partial(_image, path, name, sizes[key], tuple(parts[key]), boxes) for key, name in names.items()}
    return DrawnFile(images, tuple(sorted({label for each in parts.values() for _, label, _ in each})), remarks)


def _by_id(entries: list[dict[str, Any]], key: str, what: str, path: Path) -> dict[Any, str]:
    """Return id -> name of images or categories; reject two of one id or name."""
    found = {each["id"]: str(each[key]) for each in entries}
    for shared, values in (("id", [each["id"] for each in entries]), ("name", [str(each[key]) for each in entries])):
        if repeated := _repeated(values):
            raise CompetitionError(f"two {what} share the {shared} {shown(repeated[0])}", path, REPAIR)
    return found


def _repeated(values: Sequence[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]


def _image(
    path: Path, name: str, size_hw: tuple[int, int], parts: Sequence[tuple[int, str, Any]], boxes: bool
) -> DrawnImage:
    objects: list[DrawnObject] = []
    for number, label, annotation in parts:
        place = f"{path}, image {name}, annotation {number}"
        try:
            objects.append(_object(label, annotation, size_hw, place, boxes))
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise CompetitionError("its segmentation is neither polygons nor run lengths", place, REPAIR) from error
    return DrawnImage(size_hw, tuple(objects))


def _object(label: str, annotation: dict[str, Any], size_hw: tuple[int, int], place: str, boxes: bool) -> DrawnObject:
    """Return the object of an annotation, whose polygons are the parts that are seen of it."""
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        if "size" in segmentation and tuple(segmentation["size"]) != size_hw:
            found, wanted = size_text(segmentation["size"]), size_text(size_hw)
            raise CompetitionError(f"run lengths are of {found} pixels, the image has {wanted}", place, REPAIR)
        numbers = decode_text(counts) if isinstance(counts, str) else [int(count) for count in counts]
        return DrawnObject(label, mask=decode_counts(numbers, size_hw, place))
    if not segmentation and boxes:
        left, top, width, height = annotation["bbox"]
        segmentation = [box_points(left, top, left + width, top + height)]
    if not segmentation:
        what = f"an object of {shown(label)} has {'only a box' if 'bbox' in annotation else 'no outline'} and no mask"
        raise CompetitionError(what, place, f"{REPAIR}, or write boxes: true under masks")
    rings = tuple(make_ring(flat, label, size_hw, place, REPAIR) for flat in segmentation)
    return DrawnObject(label, rings, joined=True)


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
