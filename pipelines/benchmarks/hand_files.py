"""One full-size hand in both forms: prepared, and as the organiser's two files that the baseline reads every time."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.data.manifest import Entry
from competition.masks.bit_planes import pack_masks
from competition.masks.stored_arrays import write_array
from competition.tracks.hand_bone.track import HAND_BONE
from competition.workspace import Workspace

SAMPLE = "hand"


@contextmanager
def prepared_image(masks: NDArray[np.bool_]) -> Iterator[tuple[Workspace, Entry]]:
    """Yield a workspace whose cache holds one image with its labels, and the row of it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        workspace = Workspace(Path(name), "hand_bone")
        image = _picture(masks)
        write_array(workspace.image_file(SAMPLE, HAND_BONE.views[0]), image)
        write_array(workspace.label_file(SAMPLE), pack_masks(masks))
        size, mean, std = image.shape, (float(image.mean()),), (float(image.std()),)
        areas = tuple(int(mask.sum()) for mask in masks)
        yield (
            workspace,
            Entry(SAMPLE, "hand.png", "train", "person", "", (True,), size[0], size[1], mean, std, areas, "", "", ""),
        )


def _picture(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 30, masks.shape[1:])
    picture: NDArray[np.uint8] = (masks.sum(axis=0) * 60 + noise).clip(0, 255).astype(np.uint8)
    return picture


def write_raw(picture: Path, polygons: Path, masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Write the organiser's two files, and return the image."""
    image = _picture(masks)
    cv2.imwrite(str(picture), image)
    outlines = []
    for mask in masks:
        contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
        outlines.append({"points": max(contours, key=len)[:, 0].tolist()})
    polygons.write_text(json.dumps({"annotations": outlines}), encoding="utf-8")
    return image


def read_raw(picture: Path, polygons: Path, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the image (H, W) and the masks (H, W, C) of 0 and 1 as the baseline's data set makes them."""
    image = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    masks = np.zeros((*image.shape, classes), np.uint8)
    for index, outline in enumerate(json.loads(polygons.read_text(encoding="utf-8"))["annotations"]):
        mask = np.zeros(image.shape, np.uint8)
        cv2.fillPoly(mask, [np.array(outline["points"])], 1)
        masks[..., index] = mask
    return np.asarray(image, np.uint8), masks
