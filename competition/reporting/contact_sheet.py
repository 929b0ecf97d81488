"""Contact sheets: samples with their labels outlined, exactly as the pipeline reads them."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.data.cache import read_cached_image, read_cached_planes
from competition.data.grid import grid_size, resize_image
from competition.data.manifest import Entry
from competition.files import whole_file
from competition.masks.bit_planes import unpack_class
from competition.tracks.track import Track
from competition.workspace import Workspace

TILE = 320
COLUMNS = 4
ROWS = 3
VIEW_TILE = 160
CAPTION = 22
GAP = 6
FONT = (cv2.FONT_HERSHEY_SIMPLEX, 0.42)


def spread(entries: Sequence[Entry], count: int = ROWS * COLUMNS) -> list[Entry]:
    """Return up to ``count`` entries, evenly spread over all of them."""
    return [entries[index] for index in np.unique(np.linspace(0, len(entries) - 1, count).astype(int))]


def draw_contact_sheet(path: Path, workspace: Workspace, track: Track, entries: Sequence[Entry]) -> None:
    """Draw training samples, evenly spread over the data set, with their labels, into a PNG."""
    training = [entry for entry in entries if entry.split == "train"]
    title = f"{workspace.dataset}: training samples with their LABELS, as the pipeline reads them"
    if len(track.views) > 1:
        patients = np.vstack([_patient(workspace, track, entry) for entry in spread(training, 2 * ROWS)])
        write_png(path, _caption(patients, title))
        return
    planes = ((entry, read_cached_planes(workspace, entry.sample)) for entry in spread(training))
    tiles = [outlined_tile(workspace, track, entry, own) for entry, own in planes]
    write_png(path, tile_sheet(tiles, title, track.classes))


def tile_sheet(tiles: Sequence[NDArray[np.uint8]], title: str, classes: Sequence[str]) -> NDArray[np.uint8]:
    """Lay tiles (h, w, 3) uint8 out in rows of four, with a title above and the classes' names in colours below."""
    columns = min(COLUMNS, len(tiles))
    tiles = [np.pad(tile, ((0, GAP), (0, GAP), (0, 0))) for tile in tiles]
    filled = [*tiles, *[np.zeros_like(tiles[0])] * (-len(tiles) % columns)]
    rows = [np.hstack(filled[start : start + columns]) for start in range(0, len(filled), columns)]
    sheet = _caption(np.vstack(rows), title)
    return np.vstack([sheet, _legend(sheet.shape[1], classes)])


def _legend(width: int, classes: Sequence[str]) -> NDArray[np.uint8]:
    """Return as many lines as the names need."""
    lines = [np.zeros((CAPTION, width, 3), np.uint8)]
    left = 6
    for name, colour in zip(classes, class_colours(len(classes)), strict=True):
        needed = cv2.getTextSize(name, *FONT, 1)[0][0]
        if left > 6 and left + needed > width:
            lines.append(np.zeros_like(lines[0]))
            left = 6
        cv2.putText(lines[-1], name, (left, 15), *FONT, colour, 1, cv2.LINE_AA)
        left += needed + 14
    return np.vstack(lines)


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write an RGB picture (H, W, 3) whole or not at all."""
    encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    with whole_file(path) as part:
        part.write_bytes(encoded.tobytes())


def class_colours(classes: int) -> list[tuple[int, int, int]]:
    """Return well-spread RGB colours; neighbours in class order are far apart in hue."""
    golden = 0.61803398875  # the fraction of the circle that keeps successive hues apart, however many there are
    colours = (colorsys.hsv_to_rgb((index * golden) % 1, 0.75, 1.0) for index in range(classes))
    return [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in colours]


def outline(picture: NDArray[np.uint8], planes: NDArray[np.uint8], classes: int, thickness: int = 1) -> None:
    """Draw the outlines of label planes (H, W, P) and of holes onto an RGB picture (h, w, 3) of any size, in place."""
    scale = np.array([picture.shape[1] / planes.shape[1], picture.shape[0] / planes.shape[0]])
    for index, colour in enumerate(class_colours(classes)):
        mask = unpack_class(planes, index).astype(np.uint8)
        contours = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]  # those of holes too
        scaled = [np.round((contour + 0.5) * scale - 0.5).astype(np.int32) for contour in contours]
        cv2.polylines(picture, scaled, isClosed=True, color=colour, thickness=thickness, lineType=cv2.LINE_AA)


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey or RGB image as a new RGB array."""
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image.copy()


def outlined_tile(workspace: Workspace, track: Track, entry: Entry, planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image with label planes outlined and its name, as a small RGB picture; an empty one is marked."""
    image = read_cached_image(workspace, entry.sample, track.views[0])
    picture = as_rgb(resize_image(image, grid_size((entry.height, entry.width), TILE)))
    outline(picture, planes, len(track.classes))
    return _caption(
        _centre(picture, TILE, TILE), ("" if planes.any() else "(every class empty)  ") + f"{entry.group}  {entry.name}"
    )


def _patient(workspace: Workspace, track: Track, entry: Entry) -> NDArray[np.uint8]:
    tiles = []
    for view, present in zip(track.views, entry.present, strict=True):
        image = read_cached_image(workspace, entry.sample, view)
        picture = as_rgb(resize_image(image, grid_size(image.shape[:2], VIEW_TILE)))
        tiles.append(_caption(_centre(picture, VIEW_TILE, VIEW_TILE), view if present else f"{view} missing"))
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
