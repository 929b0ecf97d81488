"""Objects of a mask: its connected components, split where touching objects narrow.

The split is the watershed of the distance to the background. Each pixel climbs to the highest of its neighbours until
it reaches a peak; the pixels of one peak are a basin. Of peaks that lie too close together only the highest stays, and
the basins of the others join the neighbour over the highest pass. It is computed without a loop over pixels: 256x256
with 52 nuclei takes 5 ms.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial import KDTree

from competition.masks.bit_planes import unpack_class
from competition.masks.objects import Objects, Pixels, component_pixels, instance_pixels, join_classes

_LATER = [(0, 1), (1, -1), (1, 0), (1, 1)]
"""Half of the neighbours, so that each pair of pixels comes once."""


@dataclass(frozen=True)
class ObjectRule:
    """How the mask of a class becomes objects."""

    # Distance of two peaks as a multiple of the distance of the higher one to the background, which is the radius of a
    # round object, so that small and large objects are split alike; None does not split.
    distance: float | None = None
    smoothing: float = 1.0  # standard deviation, in pixels, of the Gaussian that smooths the distances
    smallest: int = 0  # objects of fewer pixels are dropped, unless all of them are


PLAIN = ObjectRule()
"""Connected components (8 neighbours)."""


def split_planes(planes: NDArray[np.uint8], rules: tuple[ObjectRule, ...]) -> Objects:
    """Return the objects of label planes (H, W, ceil(C / 8)), one rule per class."""
    size_hw = (planes.shape[0], planes.shape[1])
    found = [split_mask(unpack_class(planes, index), rule) for index, rule in enumerate(rules)]
    return join_classes(size_hw, found)


def split_mask(mask: NDArray[np.bool_], rule: ObjectRule) -> list[Pixels]:
    """Return the objects of a mask (H, W)."""
    if not mask.any():
        return []
    found = component_pixels(mask) if rule.distance is None else _watershed(mask, rule.distance, rule.smoothing)
    return drop_small(found, rule.smallest)


def drop_small(objects: list[Pixels], smallest: int) -> list[Pixels]:
    """Return the objects of at least so many pixels; all where none has."""
    return [one for one in objects if len(one) >= smallest] or objects


def _watershed(mask: NDArray[np.bool_], distance: float, smoothing: float) -> list[Pixels]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    # One background pixel around the box: an object that the image's border cuts is as high there as a whole one,
    # because a margin of that width lies outside the box only where the image goes on.
    bottom, right = int(rows[-1]) + 1, int(columns[-1]) + 1
    above, below = int(top > 0), int(bottom < mask.shape[0])
    before, behind = int(left > 0), int(right < mask.shape[1])
    box = np.pad(mask[top:bottom, left:right], ((above, below), (before, behind)))
    heights = cv2.distanceTransform(box.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float64)
    if not box.all() and smoothing:
        heights = cv2.GaussianBlur(heights, (0, 0), smoothing)
    basins, peaks = _basins(box, heights)
    labels = np.zeros((box.shape[0], box.shape[1]), np.int64)
    labels[box] = _joined(basins, peaks, heights, box, distance)[basins[box]] + 1
    whole = np.zeros((mask.shape[0], mask.shape[1]), np.int64)
    whole[top:bottom, left:right] = labels[above : labels.shape[0] - below, before : labels.shape[1] - behind]
    return instance_pixels(whole)


def _basins(mask: NDArray[np.bool_], heights: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each pixel's basin (H, W), -1 outside the mask, and the flat position of each peak (P,)."""
    inside = np.flatnonzero(mask)
    # Of equally high pixels the one that comes first is higher, so that a plateau has one peak.
    order = inside[np.lexsort((-inside, heights.ravel()[inside]))]
    ranks = np.full(mask.size, -1.0)
    ranks[order] = np.arange(len(order))
    highest = cv2.dilate(ranks.reshape(mask.shape), np.ones((3, 3), np.uint8))
    goals = np.asarray(highest).ravel()[order].astype(np.int64)
    while not np.array_equal(ahead := goals[goals], goals):
        goals = ahead
    peaks = np.unique(order[goals])
    basins = np.full(mask.size, -1, np.int64)
    basins[order] = np.searchsorted(peaks, order[goals])
    return basins.reshape(mask.shape), peaks


def _joined(
    basins: NDArray[np.int64],
    peaks: NDArray[np.int64],
    heights: NDArray[np.float64],
    mask: NDArray[np.bool_],
    distance: float,
) -> NDArray[np.int64]:
    """Return the object of each basin (P,), numbered from 0 in the order of the peaks that stay."""
    first, second, passes = _passes(basins, heights)
    joined = coo_array((np.ones(len(first)), (first, second)), shape=(len(peaks), len(peaks)))
    of_component = connected_components(joined, directed=False)[1]
    stays = _prominent(peaks, heights, mask.shape[1], of_component, distance)
    # The basin of a peak that goes joins over the highest passes: along the tree of them, never two that stay.
    lowest = float(passes.max(initial=0)) + 1
    tree = minimum_spanning_tree(coo_array((lowest - passes, (first, second)), shape=joined.shape)).tocoo()
    parents = np.arange(len(peaks))

    def root(basin: int) -> int:
        while parents[basin] != basin:
            parents[basin] = parents[parents[basin]]
            basin = int(parents[basin])
        return basin

    for edge in np.argsort(tree.data, kind="stable"):
        one, other = root(int(tree.row[edge])), root(int(tree.col[edge]))
        if not (stays[one] and stays[other]):
            parents[one if stays[other] else other] = other if stays[other] else one
    return np.unique([root(basin) for basin in range(len(peaks))], return_inverse=True)[1].astype(np.int64)


def _passes(
    basins: NDArray[np.int64], heights: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the pairs of basins that touch (8 neighbours), each once, and the height of the highest pass of each."""
    height, width = basins.shape
    ones, others, levels = [], [], []
    for row, column in _LATER:
        here = (slice(0, height - row), slice(max(0, -column), width - max(0, column)))
        there = (slice(row, height), slice(max(0, column), width - max(0, -column)))
        one, other = basins[here], basins[there]
        border = (one != other) & (one >= 0) & (other >= 0)
        ones.append(np.minimum(one, other)[border])
        others.append(np.maximum(one, other)[border])
        levels.append(np.minimum(heights[here], heights[there])[border])
    first, second, passes = np.concatenate(ones), np.concatenate(others), np.concatenate(levels)
    order = np.lexsort((-passes, second, first))
    first, second, passes = first[order], second[order], passes[order]
    begins = (np.diff(first, prepend=-1) != 0) | (np.diff(second, prepend=-1) != 0)
    return first[begins], second[begins], passes[begins]


def _prominent(
    peaks: NDArray[np.int64],
    heights: NDArray[np.float64],
    width: int,
    of_component: NDArray[np.integer],
    distance: float,
) -> NDArray[np.bool_]:
    """Return which peaks (P,) are the highest of their component within ``distance`` times their height."""
    places = np.stack(np.divmod(peaks, width), axis=1).astype(np.float64)
    levels = heights.ravel()[peaks]
    order = np.lexsort((peaks, -levels))
    ranks = np.empty(len(peaks), np.int64)
    ranks[order] = np.arange(len(peaks))
    stays, tree = np.ones(len(peaks), dtype=np.bool_), KDTree(places)
    shared = np.bincount(of_component)[of_component] > 1
    for peak in order[shared[order]]:
        if stays[peak]:
            near = np.array(tree.query_ball_point(places[peak], distance * levels[peak]), dtype=np.int64)
            stays[near[(of_component[near] == of_component[peak]) & (ranks[near] > ranks[peak])]] = False
    return stays
