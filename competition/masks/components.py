"""Connected components, holes and hulls of all classes of an image, found among their runs instead of their pixels.

A bone of 300 rows is some 300 runs, whatever its width: 29 bones at 2048x2048 have 14,000 runs and 122 million pixels.
Runs of neighbouring rows that touch belong together, so components are those of a graph with one node per run.

All classes lie on one canvas, one below the other. A row of it is two columns wider than the image, and an empty row
follows each class, so that runs that touch on the canvas touch in the image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from competition.masks.run_lengths import plane_runs, shared_pixels

Runs = NDArray[np.int64]
"""(n, 2) int64 positions on a canvas, half-open, sorted and disjoint, none longer than a row of the image."""
SureOf = Callable[[int], NDArray[np.bool_]]
"""Class -> its sure pixels in the image, bool (H, W)."""


@dataclass(frozen=True)
class Canvas:
    """Positions of the pixels of several classes of one image."""

    size_hw: tuple[int, int]  # rows and columns of the image
    classes: int  # how many

    @property
    def stride(self) -> int:
        """Return the distance from a pixel to the one below it."""
        return self.size_hw[1] + 2

    @property
    def class_stride(self) -> int:
        """Return the distance from a pixel to the same one of the next class."""
        return (self.size_hw[0] + 1) * self.stride

    def class_of(self, runs: Runs) -> NDArray[np.int64]:
        """Return the class of each run, (n,)."""
        return runs[:, 0] // self.class_stride

    def area_by_class(self, runs: Runs) -> NDArray[np.int64]:
        """Return the pixels of each class, (C,)."""
        return self.sum_by_class(runs, runs[:, 1] - runs[:, 0])

    def sum_by_class(self, runs: Runs, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sum a count of each run (n,) over each class: (C,)."""
        # Floats hold whole numbers up to 2^53.
        return np.bincount(self.class_of(runs), weights=counts, minlength=self.classes).astype(np.int64)

    def pixels(self, runs: Runs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows and columns in the image of all pixels of runs of one class."""
        lengths = runs[:, 1] - runs[:, 0]
        offsets = np.repeat(runs[:, 0] - (np.cumsum(lengths) - lengths), lengths)
        return np.divmod((offsets + np.arange(lengths.sum())) % self.class_stride, self.stride)


def canvas_runs(planes: NDArray[np.uint8], classes: int) -> tuple[Canvas, Runs]:
    """Lay the runs of all classes of label planes (H, W, ceil(C / 8)) on a canvas.

    Raises:
        ValueError: The planes don't fit the number of classes.
    """
    height, width = planes.shape[:2]
    canvas = Canvas((height, width), classes)
    runs, counts = plane_runs(planes, classes)
    class_of = np.repeat(np.arange(classes), counts)
    first_row, last_row = runs[:, 0] // width, (runs[:, 1] - 1) // width
    if (first_row != last_row).any():  # a run that touches both borders goes on in the next row
        rows = last_row - first_row + 1
        runs, class_of, first_row = (np.repeat(each, rows, axis=0) for each in (runs, class_of, first_row))
        first_row += np.arange(len(runs)) - np.repeat(np.cumsum(rows) - rows, rows)
        runs = np.clip(runs, (first_row * width)[:, None], ((first_row + 1) * width)[:, None])
    return canvas, runs + (class_of * canvas.class_stride + first_row * (canvas.stride - width))[:, None]


@dataclass(frozen=True)
class Components:
    """The components (8 neighbours) of runs."""

    of_run: NDArray[np.int64]  # (n,): the component of each run
    areas: NDArray[np.int64]  # (k,): pixels of each component
    class_of: NDArray[np.int64]  # (k,): the class of each component
    first_runs: NDArray[np.int64]  # (k,): the first run of each component


def find_components(canvas: Canvas, runs: Runs) -> Components:
    """Find the components of all classes at once."""
    of_run = _joined(*_neighbours(runs, canvas.stride, reach=1), len(runs))
    areas = np.bincount(of_run, weights=runs[:, 1] - runs[:, 0]).astype(np.int64)
    first_runs = np.unique(of_run, return_index=True)[1]
    return Components(of_run, areas, canvas.class_of(runs[first_runs]), first_runs)


def find_surest(canvas: Canvas, runs: Runs, components: Components, sure_of: SureOf) -> NDArray[np.bool_]:
    """Find the component of each class that has the most sure pixels.

    Args:
        canvas: Where the runs lie.
        runs: The runs of the components.
        components: Of ``find_components``.
        sure_of: Called only for classes of two or more components, which most images don't have.

    Returns:
        bool (k,), one of each class. Of equally sure ones it is the larger one, of equal ones the first from the top,
        then left.
    """
    class_of, run_class = components.class_of, canvas.class_of(runs)
    sure = np.zeros(len(class_of))
    for index in np.flatnonzero(np.bincount(class_of) > 1):
        own = run_class == index
        _, sure_runs = canvas_runs(sure_of(int(index)).view(np.uint8)[..., None], 1)
        shared = shared_pixels(runs[own], sure_runs + index * canvas.class_stride)
        sure += np.bincount(components.of_run[own], weights=shared, minlength=len(sure))
    ranking = np.lexsort((components.first_runs, -components.areas, -sure, class_of))
    is_surest = np.zeros(len(sure), dtype=np.bool_)
    is_surest[ranking[np.diff(class_of[ranking], prepend=-1) != 0]] = True
    return is_surest


def median_areas(planes: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    """Return the median area in pixels of each class's components (8 neighbours): (C,), 0 where it has none."""
    canvas, runs = canvas_runs(planes, classes)
    components = find_components(canvas, runs)
    areas = [components.areas[components.class_of == index] for index in range(classes)]
    return np.array([np.median(own) if len(own) else 0.0 for own in areas])


def find_holes(canvas: Canvas, runs: Runs) -> Runs:
    """Find the background that no path of 4 neighbours joins to the outside of its class."""
    stride = canvas.stride
    same_row = runs[1:, 0] // stride == runs[:-1, 0] // stride
    gaps: Runs = np.stack([runs[:-1, 1], runs[1:, 0]], axis=1)[same_row]
    if not len(gaps):
        return gaps
    of_gap = _joined(*_neighbours(gaps, stride, reach=0), len(gaps))
    is_open = np.zeros(int(of_gap.max()) + 1, dtype=np.bool_)
    for step in (-stride, stride):
        is_open[of_gap[_reaches_outside(runs, gaps + step, stride)]] = True
    return np.asarray(gaps[~is_open[of_gap]])


def find_hollows(canvas: Canvas, runs: Runs) -> Runs:
    """Find the background within the convex hull of each class: its bays and its holes.

    The corners of a hull are centres of pixels, and a pixel lies within it if its centre does, computed in integers.
    """
    bounds = np.searchsorted(runs[:, 0], np.arange(canvas.classes + 1) * canvas.class_stride)
    hulls = [_hull(runs[first:behind], canvas.stride) for first, behind in pairwise(bounds) if first < behind]
    begin, end = np.concatenate(hulls).T if hulls else runs.T
    # Within a row of a hull a gap begins where the hull or a run before it does or ends, and so on in turn.
    gaps: Runs = np.stack([np.sort(np.append(begin, runs[:, 1])), np.sort(np.append(end, runs[:, 0]))], axis=1)
    return gaps[gaps[:, 0] < gaps[:, 1]]


def _hull(runs: Runs, stride: int) -> Runs:
    """Return the convex hull of runs of one class, one run for each of its rows."""
    row, left = np.divmod(runs[:, 0], stride)
    if row[0] == row[-1]:
        return np.array([[runs[0, 0], runs[-1, 1]]])
    right = (runs[:, 1] - 1) % stride
    points = np.stack([np.append(left, right), np.append(row, row)], axis=1)
    corners = cv2.convexHull(points.astype(np.int32))[:, 0].astype(np.int64)
    following, rows = np.roll(corners, -1, axis=0), np.arange(row[0], row[-1] + 1)
    # OpenCV goes round so that rows increase along the right edges and decrease along the left ones.
    increase = following[:, 1] - corners[:, 1]
    last = _crossings(corners[increase > 0], following[increase > 0], rows)
    first = -_crossings(following[increase < 0] * (-1, 1), corners[increase < 0] * (-1, 1), rows)
    return np.stack([rows * stride + first, rows * stride + last + 1], axis=1)


def _crossings(tops: NDArray[np.int64], bottoms: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the column, rounded down, where a chain of edges between corners (column, row) crosses each row."""
    order = bottoms[:, 1].argsort()
    edge = order[np.searchsorted(bottoms[order, 1], rows)]
    (column, row), (across, down) = tops[edge].T, (bottoms - tops)[edge].T
    return np.asarray(column + across * (rows - row) // down)


def _neighbours(runs: Runs, stride: int, reach: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of runs (first, second): the second, one row below, touches the first widened by ``reach``."""
    begin = np.searchsorted(runs[:, 1], runs[:, 0] + (stride - reach), side="right")
    counts = np.searchsorted(runs[:, 0], runs[:, 1] + (stride + reach), side="left") - begin
    first = np.repeat(np.arange(len(runs)), counts)
    second = np.arange(len(first)) + np.repeat(begin - (np.cumsum(counts) - counts), counts)
    return first, second


def _joined(first: NDArray[np.int64], second: NDArray[np.int64], nodes: int) -> NDArray[np.int64]:
    """Return the component of each node (nodes,), numbered from 0 without gaps."""
    if nodes == 0:
        return np.zeros(0, dtype=np.int64)
    graph = coo_array((np.ones(len(first), dtype=np.bool_), (first, second)), shape=(nodes, nodes))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _reaches_outside(runs: Runs, gaps: Runs, stride: int) -> NDArray[np.bool_]:
    """Return whether a gap, moved up or down by one row, meets the background left or right of all runs there."""
    row_starts = gaps[:, :1] // stride * stride
    first, behind = np.searchsorted(runs[:, 0], np.concatenate([row_starts, row_starts + stride], axis=1)).T
    is_empty = first == behind
    first, last = np.minimum(first, len(runs) - 1), behind - 1
    return np.asarray(is_empty | (gaps[:, 0] < runs[first, 0]) | (gaps[:, 1] > runs[last, 1]))
