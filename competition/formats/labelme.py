"""labelme: a JSON file per image (https://github.com/wkentaro/labelme).

labelme has no holes. Polygons that have the same class and ``group_id`` are one object here, and those within another
are holes in it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from competition.errors import CompetitionError
from competition.files import write_json
from competition.formats.contours import require_fillable
from competition.formats.drawn_objects import DrawnImage, DrawnObject
from competition.formats.json_files import read_json_object
from competition.text import shown

VERSION = "5.0.0"
"""Of the form that is written; later versions of labelme read it too."""

REPAIR = "Save it again in labelme, or export it again with ./run.sh review"


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
    """Read polygons and rectangles.

    Raises:
        CompetitionError: It is no file of labelme, or has a shape of another type.
    """
    content = read_json_object(path, ("shapes", "imageHeight", "imageWidth"), REPAIR)
    try:
        size_hw = int(content["imageHeight"]), int(content["imageWidth"])
        groups: dict[tuple[str, Any], list[np.ndarray]] = {}
        for number, shape in enumerate(content["shapes"]):
            label, group = str(shape["label"]), shape.get("group_id")
            place = f"{path}, shape {number + 1}"
            ring = _ring(shape, place)
            require_fillable(ring, f"polygon of {label}", place)
            groups.setdefault((label, f"single {number}" if group is None else str(group)), []).append(ring)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CompetitionError("this is no file of labelme", path, REPAIR) from error
    return DrawnImage(size_hw, tuple(DrawnObject(label, tuple(rings)) for (label, _), rings in groups.items()))


def _ring(shape: dict[str, Any], place: str) -> np.ndarray:
    points = np.array(shape["points"], dtype=np.float64).reshape(-1, 2)
    kind = shape.get("shape_type", "polygon")
    if not np.isfinite(points).all():
        raise CompetitionError("a point is not a finite number", place, REPAIR)
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points.tolist()
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    if kind != "polygon" or len(points) < 3:
        what = f"a shape of the type {shown(kind)} with {len(points)} points is no area"
        raise CompetitionError(what, place, "Draw polygons of three points or more, or rectangles")
    return points
