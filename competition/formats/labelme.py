"""labelme: a JSON file per image (https://github.com/wkentaro/labelme).

labelme has no holes. Polygons that have the same class and ``group_id`` are one object here, and those within another
are holes in it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.files import write_json
from competition.formats.drawn_objects import DrawnImage, DrawnObject, box_points, ellipse_points, make_ring
from competition.formats.json_files import read_json_object
from competition.text import shown

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
    """Read polygons, rectangles and circles; ``imagePath`` and the picture in ``imageData`` are not used.

    Raises:
        CompetitionError: It is no file of labelme, or has a shape of another type or of too few points.
    """
    content = read_json_object(path, ("shapes", "imageHeight", "imageWidth"), REPAIR)
    try:
        size_hw = int(content["imageHeight"]), int(content["imageWidth"])
        groups: dict[tuple[str, Any], list[np.ndarray]] = {}
        for number, shape in enumerate(content["shapes"], start=1):
            label, group = str(shape["label"]), shape.get("group_id")
            place = f"{path}, shape {number}"
            ring = make_ring(_points(shape, place), label, size_hw, place, REPAIR)
            groups.setdefault((label, f"single {number}" if group is None else str(group)), []).append(ring)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CompetitionError("this is no file of labelme", path, REPAIR) from error
    return DrawnImage(size_hw, tuple(DrawnObject(label, tuple(rings)) for (label, _), rings in groups.items()))


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
        raise CompetitionError(what, place, "Draw polygons of three points or more, rectangles or circles")
    return points
