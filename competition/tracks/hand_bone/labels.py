"""The labels of the hand-bone track: one polygon per bone in a JSON file, drawn into label planes."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.files import check_file
from competition.formats.contours import require_fillable
from competition.formats.csv_files import other_encoding
from competition.masks.bit_planes import plane_count
from competition.text import nearest_hint, size_text

FINGER_BONES = tuple(f"finger-{number}" for number in range(1, 20))
CARPAL_BONES = ("Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform")
FOREARM_BONES = ("Radius", "Ulna")
HAND_BONE_CLASSES = (*FINGER_BONES, *CARPAL_BONES, *FOREARM_BONES)


def read_bones(path: Path, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw the polygons of one annotation file into label planes.

    The file's own ``metadata`` (3060x3060), ``filename`` (.jpg) and ``parent_path`` are stale and not read; points are
    on the image's grid. Annotations may have any order. As in the organiser's baseline, cv2.fillPoly includes borders.

    Args:
        path: A JSON file of ``outputs_json``.
        size_hw: Rows and columns of the X-ray.

    Returns:
        Label planes (H, W, 4) uint8.

    Raises:
        CompetitionError: Not such a JSON, an unknown label, a point outside the X-ray, or a bone without polygon.
    """
    planes = np.zeros((*size_hw, plane_count(len(HAND_BONE_CLASSES))), np.uint8)
    drawn = set()
    for annotation in read_annotations(path):
        label = str(annotation["label"])
        if label not in HAND_BONE_CLASSES:
            raise CompetitionError(f"unknown label {label!r}{nearest_hint(label, HAND_BONE_CLASSES)}", path)
        _draw(planes, HAND_BONE_CLASSES.index(label), _polygon(annotation["points"], label, path, size_hw))
        drawn.add(label)
    if absent := [name for name in HAND_BONE_CLASSES if name not in drawn]:
        raise CompetitionError(f"no polygon for {', '.join(absent)}", path)
    return planes


def _draw(planes: NDArray[np.uint8], index: int, polygon: NDArray[np.int32]) -> None:
    """Fill a polygon in one class, touching only the box around it."""
    low = polygon.min(axis=0)
    width, height = polygon.max(axis=0) - low + 1
    # Cropped at the X-ray's far border before it is filled: how fillPoly clips an edge changes the pixels along it.
    box = planes[low[1] : low[1] + height, low[0] : low[0] + width, index // 8]
    if box.size:
        mask = np.zeros(box.shape, np.uint8)
        cv2.fillPoly(mask, [polygon - low], 1)
        box |= mask << (index % 8)


def read_annotations(path: Path) -> list[dict[str, Any]]:
    """Return the annotations of a file, each with ``label`` and ``points``, or raise CompetitionError."""
    check_file(path)
    try:
        annotations = json.loads(path.read_text(encoding="utf-8-sig"))["annotations"]
        for annotation in annotations:
            annotation["label"], annotation["points"]
    except FileNotFoundError as error:
        raise CompetitionError("annotation not found", path) from error
    except UnicodeDecodeError as error:
        fault = other_encoding(path, error.object)
        raise CompetitionError(f"no annotations of a hand (.json): {fault.what}", path, fault.repair or None) from error
    except RecursionError as error:
        raise CompetitionError("annotation file has too many nested brackets", path) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise CompetitionError(f"annotation file without annotations, labels and points ({reason})", path) from error
    return list(annotations)


def _polygon(points: Any, label: str, path: Path, size_hw: tuple[int, int]) -> NDArray[np.int32]:
    try:
        # One public description shows an extra level of nesting; reshaping reads both.
        values = np.asarray(points, dtype=np.float64)
        polygon = values.reshape(max((1, *values.shape[:-1])) if values.size else 0, 2)
    except (ValueError, TypeError, OverflowError) as error:
        raise CompetitionError(f"points of {label} are not pairs of numbers", path) from error
    if len(polygon) < 3:
        raise CompetitionError(f"polygon of {label} has {len(polygon)} points, 3 are needed", path)
    height, width = size_hw
    # A point may lie on the far border line itself (x == width); fillPoly clips it.
    inside = (polygon >= 0).all() and (polygon <= (width, height)).all()
    if not inside:  # also catches NaN
        raise CompetitionError(f"polygon of {label} leaves the X-ray of {size_text(size_hw)} (rows x columns)", path)
    require_fillable(polygon, f"polygon of {label}", path)
    return polygon.astype(np.int32)
