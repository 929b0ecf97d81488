"""Contact sheets: samples with their labels outlined, exactly as the pipeline reads them."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.data.cache import read_cached_image
from competition.data.evenly_spread import spread
from competition.data.grid import grid_size, resize_image
from competition.data.manifest import Entry
from competition.drawing.outlines import CAPTION, FONT, as_rgb, coloured, legend, outline, write_png
from competition.tracks.track import Track
from competition.workspace import Workspace

TILE = 320
COLUMNS = 4
ROWS = 3
SHOWN = ROWS * COLUMNS
VIEW_TILE = 160
VIEWS_IN_ROW = 8
GAP = 6


def draw_contact_sheet(
    path: Path,
    workspace: Workspace,
    track: Track,
    entries: Sequence[Entry],
    drawn_labels: Callable[[str], NDArray[np.uint8]],
) -> None:
    """Draw training samples, evenly spread over the data set, with their labels, into a PNG.

    ``drawn_labels`` returns the label planes (H, W, P) of a training sample of a segmentation.
    """
    training = [entry for entry in entries if entry.split == "train"]
    title = f"{workspace.dataset}: training samples with their LABELS, as the pipeline reads them"
    if track.task == "classification":
        in_row = max(1, VIEWS_IN_ROW // len(track.views))
        patients = [_patient(workspace, track, entry) for entry in spread(training, 2 * ROWS * in_row)]
        patients += [np.zeros_like(patients[0])] * (-len(patients) % in_row)
        rows = [np.hstack(patients[start : start + in_row]) for start in range(0, len(patients), in_row)]
        write_png(path, _caption(np.vstack(rows), title))
        return
    tiles = [outlined_tile(workspace, track, entry, drawn_labels(entry.sample)) for entry in spread(training, SHOWN)]
    write_png(path, tile_sheet(tiles, title, track.classes))


def tile_sheet(tiles: Sequence[NDArray[np.uint8]], title: str, classes: Sequence[str]) -> NDArray[np.uint8]:
    """Lay tiles (h, w, 3) uint8 out in rows of four, with a title above and the classes' names in colours below."""
    columns = min(COLUMNS, len(tiles))
    tiles = [np.pad(tile, ((0, GAP), (0, GAP), (0, 0))) for tile in tiles]
    filled = [*tiles, *[np.zeros_like(tiles[0])] * (-len(tiles) % columns)]
    rows = [np.hstack(filled[start : start + columns]) for start in range(0, len(filled), columns)]
    sheet = _caption(np.vstack(rows), title)
    return np.vstack([sheet, legend(sheet.shape[1], coloured(classes))])


def outlined_tile(workspace: Workspace, track: Track, entry: Entry, planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image with label planes outlined and its name, as a small RGB picture; an empty one is marked."""
    image = read_cached_image(workspace, entry.sample, track.views[0])
    picture = as_rgb(resize_image(image, grid_size((entry.height, entry.width), TILE)))
    outline(picture, planes, len(track.classes))
    # The name often begins with the group: "case1324_0011", but not "12_a" of group 1.
    named = re.match(rf"{re.escape(entry.group)}(?![0-9A-Za-z])", entry.name)
    group = "" if named or entry.group == entry.sample else f"{entry.group}  "
    empty = "" if planes.any() else "(every class empty)  "
    return _caption(_centre(picture, TILE, TILE), f"{empty}{group}{entry.name}")


def _patient(workspace: Workspace, track: Track, entry: Entry) -> NDArray[np.uint8]:
    tiles = []
    for view, present in zip(track.views, entry.present, strict=True):
        image = read_cached_image(workspace, entry.sample, view)
        picture = as_rgb(resize_image(image, grid_size(image.shape[:2], VIEW_TILE)))
        tile = _centre(picture, VIEW_TILE, VIEW_TILE)
        name = view if present else f"{view} missing"
        tiles.append(_caption(tile, name) if len(track.views) > 1 else tile)  # one view needs no name
    positive = [name for name, target in zip(track.classes, entry.targets, strict=True) if target]
    return _caption(np.hstack(tiles), f"{entry.name}: {', '.join(positive) or 'negative'}")


def _centre(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def _caption(picture: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    strip = np.zeros((CAPTION, picture.shape[1], 3), np.uint8)
    cv2.putText(strip, text, (6, 15), *FONT, (230, 230, 230), 1, cv2.LINE_AA)
    return np.vstack([strip, picture])
