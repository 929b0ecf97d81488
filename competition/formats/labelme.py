"""labelme: a JSON file per image (https://github.com/wkentaro/labelme).

labelme has no holes. Polygons that have the same class and ``group_id`` are one object here, and those within another
are holes in it.
"""

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from competition.errors import CompetitionError
from competition.files import write_json
from competition.formats.drawn_objects import DrawnImage, DrawnObject, box_points, ellipse_points, make_ring
from competition.formats.json_files import read_json_object
from competition.formats.source_files import damage_named
from competition.text import shown, size_text

VERSION = "5.0.0"
"""Of the form that is written; later versions of labelme read it too."""

REPAIR = "Correct it in labelme and save it again"


def write_labelme(path: Path, picture: str, size_hw: tuple[int, int], objects: Sequence[DrawnObject]) -> None:
    """Write the polygons of an image; ``picture`` is the image file, relative to the JSON file."""
    shapes = []
    for number, drawn in enumerate(objects, start=1):
        for ring in drawn.rings:
            shapes.append(
                {
                    "label": drawn.label,
                    "points": np.round(ring, 2).tolist(),
                    "group_id": number if len(drawn.rings) > 1 else None,
                    "description": "",
                    "shape_type": "polygon",
                    "flags": {},
                }
            )
    content: dict[str, Any] = {"version": VERSION, "flags": {}, "shapes": shapes, "imagePath": picture}
    write_json(path, content | {"imageData": None, "imageHeight": size_hw[0], "imageWidth": size_hw[1]})


def read_labelme(path: Path) -> DrawnImage:
    """Read polygons, rectangles, circles and masks; ``imagePath`` and the picture in ``imageData`` are not used.

    Raises:
        CompetitionError: It is not a labelme file, or has a shape of another type or of too few points.
    """
    content = read_json_object(path, ("shapes", "imageHeight", "imageWidth"), REPAIR)
    try:
        size_hw = int(content["imageHeight"]), int(content["imageWidth"])
        groups: dict[tuple[str, Any], list[np.ndarray]] = {}
        masks: list[DrawnObject] = []
        for number, shape in enumerate(content["shapes"], start=1):
            label, group = str(shape["label"]), shape.get("group_id")
            place = f"{path}, shape {number}"
            if shape.get("shape_type") == "mask":
                masks.append(DrawnObject(label, mask=_mask(shape, size_hw, place)))
                continue
            ring = make_ring(_points(shape, place), label, size_hw, place, REPAIR)
            groups.setdefault((label, f"single {number}" if group is None else str(group)), []).append(ring)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CompetitionError("this is not a labelme file", path, REPAIR) from error
    drawn = [DrawnObject(label, tuple(rings)) for (label, _), rings in groups.items()]
    return DrawnImage(size_hw, (*drawn, *masks))


def _mask(shape: dict[str, Any], size_hw: tuple[int, int], place: str) -> NDArray[np.bool_]:
    """Return the mask (H, W) of a shape, a PNG in base64 of the box whose first corner is the first of its points.

    Raises:
        CompetitionError: It is no PNG, or leaves the image.
        IndexError: It has no points.
    """
    left, top = np.array(shape["points"], dtype=np.float64).reshape(-1, 2)[0].astype(int).tolist()
    with damage_named("the mask of a shape is no PNG in base64", place, REPAIR):
        picture = Image.open(BytesIO(base64.b64decode(shape["mask"])), formats=("PNG",))
        right, bottom = left + picture.width, top + picture.height
        if min(left, top) < 0 or bottom > size_hw[0] or right > size_hw[1]:  # before it is decoded
            box = f"{size_text((picture.height, picture.width))} at row {top}, column {left}"
            raise CompetitionError(f"a mask of {box} leaves the image of {size_text(size_hw)}", place, REPAIR)
        mask = np.zeros(size_hw, np.bool_)
        mask[top:bottom, left:right] = np.asarray(picture) > 0
    return mask


def _points(shape: dict[str, Any], place: str) -> NDArray[np.float64]:
    """Return the outline of a shape: its points, the corners of a rectangle, or a circle of centre and border point."""
    points = np.array(shape["points"], dtype=np.float64).reshape(-1, 2)
    kind = shape.get("shape_type", "polygon")
    if kind == "rectangle" and len(points) == 2:
        return box_points(*points.ravel().tolist())
    if kind == "circle" and len(points) == 2:
        radius = float(np.hypot(*(points[1] - points[0])))
        return ellipse_points((float(points[0, 0]), float(points[0, 1])), (radius, radius))
    if kind != "polygon":
        what = f"a shape of the type {shown(kind)} with {len(points)} points is no area"
        raise CompetitionError(what, place, "Draw polygons of three points or more, rectangles, circles or masks")
    return points
