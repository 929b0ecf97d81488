"""Samples as small pictures for a gallery: an image with its outlines, or the views of a patient side by side."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from competition.data.cache import read_cached_image
from competition.data.grid import grid_size, resize_image
from competition.data.manifest import Entry
from competition.drawing.outlines import WHOLE, Window, as_rgb, outline, outline_mask
from competition.reporting.pictures import picture
from competition.text import shortened_middle
from competition.tracks.track import Track
from competition.workspace import Workspace

SIDE = 360
"""Pixels of the long side: 10 to 20 kB as WebP."""

VIEW_SIDE = 160
COLUMNS = 4
"""Views side by side."""

TRUTH, PREDICTED = (86, 180, 233), (230, 159, 0)
"""Sky blue and orange of Okabe and Ito."""


def titled(entry: Entry) -> str:
    """Return the name of a sample for a caption, and its group where the name does not hold it."""
    name = shortened_middle(entry.name)
    return name if entry.group in entry.name else f"{name}, group {shortened_middle(entry.group)}"


def outlined_picture(
    track: Track, workspace: Workspace, entry: Entry, planes: NDArray[np.uint8] | None, side: int = SIDE
) -> NDArray[np.uint8]:
    """Return an image of a segmentation, RGB (h, w, 3) uint8, with the outlines of label planes at native size."""
    image = read_cached_image(workspace, entry.sample, track.views[0])
    drawn = as_rgb(resize_image(image, grid_size((entry.height, entry.width), side)))
    if planes is not None:
        outline(drawn, planes, len(track.classes))
    return drawn


def compared_picture(
    track: Track,
    workspace: Workspace,
    entry: Entry,
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_] | None,
    side: int = SIDE,
) -> NDArray[np.uint8]:
    """Return the surroundings of one class, its label outlined in blue and its prediction in orange.

    Args:
        track: Its view.
        workspace: Where the image is.
        entry: The sample.
        truth: The label (H, W) bool.
        predicted: The out-of-fold mask likewise; None where there is none.
        side: Pixels of the long side.
    """
    image = read_cached_image(workspace, entry.sample, track.views[0])
    window = surroundings(truth if predicted is None else truth | predicted)
    part = image[window]
    size_hw = grid_size((part.shape[0], part.shape[1]), side)
    drawn = as_rgb(resize_image(np.ascontiguousarray(part), size_hw))
    for mask, colour in ((truth, TRUTH), (predicted, PREDICTED)):
        if mask is not None:
            outline_mask(drawn, mask, colour, window=window)
    return drawn


def surroundings(mask: NDArray[np.bool_]) -> Window:
    """Return a square with a mask in its middle, twice as long and at least a quarter of the image's longer side.

    At the border it is moved into the image. Of an empty mask it is the whole image.
    """
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
    """Return views of a patient side by side, four in a row; those that are missing are black."""
    shown = range(len(track.views)) if views is None else views
    tiles = [view_picture(read_cached_image(workspace, entry.sample, track.views[number])) for number in shown]
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
