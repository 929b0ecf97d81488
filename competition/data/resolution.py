"""The resolution that a data set needs: the size of its images and of its smallest objects on a training grid."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from competition.data.grid import canvas_size, grid_size
from competition.data.manifest import Entry
from competition.settings import TrainSettings
from competition.tracks.track import Track

# The quantile, over the images that show a class, of the size of its objects.
SMALLEST_SHARE = 0.1
# On the training grid an object of fewer than 4 pixels is lost, and one of 4x4 is seen.
LOST_PIXELS, SEEN_PIXELS = 4.0, 16.0
# Canvases that two CPU cores train on in minutes: the usual one, and one for objects that are too small on it.
USUAL_CANVAS, LARGEST_CANVAS = 128**2, 256**2
STEP = 32


def smallest_objects(entries: Sequence[Entry], track: Track, long_side: int) -> dict[str, float]:
    """Return the area of the smallest objects of each class on a training grid.

    Args:
        entries: Labelled samples.
        track: Their classes; it may be narrowed to some of them.
        long_side: Pixels of the long side on the training grid.

    Returns:
        Class -> area in pixels of the training grid: the median component of an image, in the image at the lowest tenth
        of those that show the class. Classes that no image shows are left out.
    """
    smallest = {}
    for index, name in zip(track.bits or range(len(track.classes)), track.classes, strict=True):
        areas = [
            entry.object_areas[index] * (long_side / max(entry.height, entry.width)) ** 2
            for entry in entries
            if entry.object_areas and entry.object_areas[index]
        ]
        if areas:
            smallest[name] = float(np.quantile(areas, SMALLEST_SHARE))
    return smallest


def suggested_size(entries: Sequence[Entry], track: Track) -> int:
    """Return a ``data.size`` on which two CPU cores train in minutes.

    The canvas of the commonest image has about as many pixels as one of 128x128. Where the smallest objects would have
    fewer than 16 pixels it grows, up to 256x256 pixels and no further than the images themselves.
    """
    native_hw = commonest_size(entries)
    largest = max(STEP, -(-max(native_hw) // STEP) * STEP)
    steps = range(STEP, largest + 1, STEP)
    pixels = {size: math.prod(canvas_size(grid_size(native_hw, size), STEP)) for size in steps}
    sizes = [size for size in steps if pixels[size] <= LARGEST_CANVAS]
    usual = max((size for size in sizes if pixels[size] <= USUAL_CANVAS), default=STEP)
    areas = smallest_objects(entries, track, usual).values()
    enough = usual * (SEEN_PIXELS / min(areas, default=SEEN_PIXELS)) ** 0.5
    return next((size for size in sizes if size >= max(usual, enough)), max(sizes, default=STEP))


def describe_grid(entries: Sequence[Entry], size: int, stride: int) -> str:
    """Return what the network sees: "images of 1024x128 (rows x columns) are seen at 256x32"."""
    native_hw = commonest_size(entries)
    grid_hw = grid_size(native_hw, size)
    canvas_hw = canvas_size(grid_hw, stride)
    padded = "" if canvas_hw == grid_hw else f", padded to {canvas_hw[0]}x{canvas_hw[1]}"
    sizes = len({(entry.height, entry.width) for entry in entries})
    which = "images" if sizes == 1 else f"most images (of {sizes} sizes)"
    seen = f"are seen at {grid_hw[0]}x{grid_hw[1]}{padded}"
    return f"data.size {size}: {which} of {native_hw[0]}x{native_hw[1]} (rows x columns) {seen}"


def warn_small_objects(entries: Sequence[Entry], track: Track, size: int) -> str | None:
    """Return a warning where objects of a class are nearly lost on the training grid, else None."""
    lost = {name: area for name, area in smallest_objects(entries, track, size).items() if area < LOST_PIXELS}
    if not lost:
        return None
    smallest = min(lost, key=lambda name: lost[name])
    needed = -(-round(size * (SEEN_PIXELS / lost[smallest]) ** 0.5) // STEP) * STEP
    others = f" (and {len(lost) - 1} more classes)" if len(lost) > 1 else ""
    return (
        f"at data.size {size} the smallest objects of class {smallest}{others} have {lost[smallest]:.1f} pixels and "
        f"are hardly seen; --set data.size={needed} shows them with 16"
    )


def commonest_size(entries: Sequence[Entry]) -> tuple[int, int]:
    """Return rows and columns of the most frequent image size."""
    return Counter((entry.height, entry.width) for entry in entries).most_common(1)[0][0]


# Synthetic legs, two seeds each, Dice of unseen persons: from 6 images 0.70 and 0.41 after 20 steps, 0.92 and 0.89
# after 60, 0.93 and 0.95 after 120; from 12 images 0.65 and 0.67 after 40, 0.81 and 0.87 after 60, 0.91 after 120.
FEWEST_STEPS = 120


def suggested_repeats(samples: int, settings: TrainSettings) -> int:
    """Return how often an epoch has to draw each sample so that training takes about 120 steps at least."""
    batches_in_epoch = -(-FEWEST_STEPS // settings.epochs)
    draws = (batches_in_epoch - 1) * settings.batch_size + 1  # the last batch may hold a single sample
    return max(1, -(-draws // samples))
