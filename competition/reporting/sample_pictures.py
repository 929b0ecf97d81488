"""Samples as small pictures for a gallery: an image with its outlines, or the views of a patient side by side."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from competition.data.cache import read_cached_image
from competition.data.grid import grid_size, resize_image
from competition.data.manifest import Entry
from competition.drawing.lettering import draw_text
from competition.drawing.outlines import WHOLE, Window, as_rgb, frame, outline, outline_mask
from competition.reporting.pictures import picture
from competition.text import shortened_middle
from competition.tracks.track import Track
from competition.workspace import Workspace

SIDE = 360
"""Pixels of the long side: 10 to 20 kB as WebP."""

VIEW_SIDE, NAME_SIZE = 160, 20
COLUMNS = 4
"""Views side by side."""

COLOURS = {
    "blue": (86, 180, 233),
    "orange": (230, 159, 0),
    "green": (0, 158, 115),
    "pink": (204, 121, 167),
    "yellow": (240, 228, 66),
}
"""Of Okabe and Ito, in the order in which the masks of one picture get them."""


def titled(entry: Entry) -> str:
    """Return the name of a sample for a caption, and its group where the name does not hold it."""
    name = shortened_middle(entry.name)
    return name if entry.group in entry.name else f"{name}, group {shortened_middle(entry.group)}"


def outlined_picture(
    track: Track,
    workspace: Workspace,
    entry: Entry,
    planes: NDArray[np.uint8] | None,
    side: int = SIDE,
    framed: Window = WHOLE,
) -> NDArray[np.uint8]:
    """Return an image of a segmentation, RGB (h, w, 3) uint8, with the outlines of label planes at native size.

    A frame shows which part of it (``framed``) another picture shows close up.
    """
    image = read_cached_image(workspace, entry.sample, track.views[0])
    drawn = as_rgb(resize_image(image, grid_size((entry.height, entry.width), side)))
    if planes is not None:
        outline(drawn, planes, len(track.classes), max(1, side // SIDE))
    if framed != WHOLE:
        frame(drawn, framed, (entry.height, entry.width), max(1, side // SIDE))
    return drawn


def compared_picture(
    track: Track,
    workspace: Workspace,
    entry: Entry,
    masks: Sequence[NDArray[np.bool_]],
    side: int = SIDE,
) -> NDArray[np.uint8]:
    """Return the surroundings of one class, its masks outlined in the order of ``COLOURS``.

    Args:
        track: Its view.
        workspace: Where the image is.
        entry: The sample.
        masks: At most five (H, W) bool: the label and the prediction, or the predictions of several networks.
        side: Pixels of the long side.
    """
    image = read_cached_image(workspace, entry.sample, track.views[0])
    window = surroundings(masks)
    part = image[window]
    size_hw = grid_size((part.shape[0], part.shape[1]), side)
    drawn = as_rgb(resize_image(np.ascontiguousarray(part), size_hw))
    for mask, colour in zip(masks, COLOURS.values(), strict=False):
        outline_mask(drawn, mask, colour, max(1, side // SIDE), window)
    return drawn


def surroundings(masks: Sequence[NDArray[np.bool_]]) -> Window:
    """Return a square with masks in its middle, twice as long and at least a quarter of the image's longer side.

    At the border it is moved into the image. Of empty masks it is the whole image.
    """
    mask = np.logical_or.reduce(masks)
    if not mask.any():
        return WHOLE
    boxes = [np.flatnonzero(mask.any(axis=1 - axis))[[0, -1]] for axis in (0, 1)]
    side = max(2 * int(max(np.ptp(box) + 1 for box in boxes)), max(mask.shape) // 4)
    window = []
    for box, whole in zip(boxes, mask.shape, strict=True):
        start = min(max(0, int(box.sum() + 1) // 2 - side // 2), max(0, whole - side))
        window.append(slice(start, min(whole, start + side)))
    return window[0], window[1]


def patient_picture(
    track: Track, workspace: Workspace, entry: Entry, views: Sequence[int] | None = None
) -> NDArray[np.uint8]:
    """Return a sample without labels: its only view, or several with their names, four in a row; an absent one black.

    Args:
        track: Its views.
        workspace: Where the images are.
        entry: The sample.
        views: Numbers of those to show; None for all.
    """
    if len(track.views) == 1:
        return outlined_picture(track, workspace, entry, None)
    tiles = []
    for number in range(len(track.views)) if views is None else views:
        tile = view_picture(read_cached_image(workspace, entry.sample, track.views[number]))
        draw_text(tile, track.views[number], (4, NAME_SIZE - 6), NAME_SIZE, (255, 255, 255), halo=2)
        tiles.append(tile)
    return tiled(tiles, COLUMNS)


def tiled(tiles: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Lay RGB pictures of one size out in rows, with two pixels between them."""
    columns = min(columns, len(tiles))
    padded = [np.pad(tile, ((0, 2), (0, 2), (0, 0))) for tile in tiles]
    padded += [np.zeros_like(padded[0])] * (-len(padded) % columns)
    return np.vstack([np.hstack(padded[start : start + columns]) for start in range(0, len(padded), columns)])


def strips(items: Sequence[tuple[NDArray[np.uint8], str]]) -> Markup:
    """Return wide pictures below each other, each with its caption: a gallery would shrink them to a tile."""
    rows = [
        Markup('<figure class="tile">{}<figcaption>{}</figcaption></figure>').format(picture(array, caption), caption)
        for array, caption in items
    ]
    return Markup("").join(rows)


def view_picture(image: NDArray[np.uint8], side: int = VIEW_SIDE) -> NDArray[np.uint8]:
    """Return a view (H, W) or (H, W, 3) uint8 on a black square of ``side`` pixels, RGB."""
    small = as_rgb(resize_image(image, grid_size((image.shape[0], image.shape[1]), side)))
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    return canvas


def positive_classes(track: Track, entry: Entry) -> str:
    """Return the names of a sample's positive classes, "none" where there are none, "" of a test sample."""
    names = [name for name, target in zip(track.classes, entry.targets, strict=False) if target]
    return ", ".join(names) or ("none" if entry.targets else "")
