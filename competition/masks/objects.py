"""Objects of an image, such as nuclei: of each its class and its pixels. Objects may overlap; classes always may.

An object is an array of pixel numbers, row by row from 0, because a picture of instances can't hold an overlap, and a
mask per object would take the memory of the image for each of some hundred objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from competition.masks.bit_planes import plane_count, set_class, set_pixels, unpack_class
from competition.masks.run_lengths import Order

Pixels = NDArray[np.int64]
"""(n,) ascending numbers of pixels, row by row from 0."""


@dataclass(frozen=True)
class Objects:
    """The objects of one image."""

    size_hw: tuple[int, int]
    class_of: NDArray[np.int64]  # (k,): the class of each object
    pixels: tuple[Pixels, ...]  # of each object, at least one

    def __len__(self) -> int:
        """Return k."""
        return len(self.pixels)

    def of_class(self, index: int) -> list[Pixels]:
        """Return the pixels of the objects of one class."""
        return [self.pixels[at] for at in np.flatnonzero(self.class_of == index)]

    def only_class(self, index: int) -> "Objects":
        """Return the objects of one class alone, as of class 0."""
        return join_classes(self.size_hw, [self.of_class(index)])


def no_objects(size_hw: tuple[int, int]) -> Objects:
    """Return the objects of an image that has none."""
    return Objects(size_hw, np.empty(0, np.int64), ())


def join_classes(size_hw: tuple[int, int], by_class: Sequence[Sequence[Pixels]]) -> Objects:
    """Return the objects of all classes of an image, in the order of the classes."""
    counts = [len(own) for own in by_class]
    return Objects(size_hw, np.repeat(np.arange(len(counts)), counts), tuple(one for own in by_class for one in own))


def components(planes: NDArray[np.uint8], classes: int) -> Objects:
    """Return the connected components (8 neighbours) of each class of label planes (H, W, ceil(C / 8))."""
    size_hw = (planes.shape[0], planes.shape[1])
    return join_classes(size_hw, [component_pixels(unpack_class(planes, index)) for index in range(classes)])


def component_pixels(mask: NDArray[np.bool_]) -> list[Pixels]:
    """Return the connected components (8 neighbours) of a mask (H, W)."""
    if not mask.any():
        return []
    labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)[1]
    return instance_pixels(np.asarray(labels, dtype=np.int32))


def instance_pixels(labels: NDArray[np.integer]) -> list[Pixels]:
    """Return the objects of a picture of instances (H, W), in ascending order of their values; 0 is background."""
    flat = labels.ravel()
    positions = np.flatnonzero(flat)
    order = np.argsort(flat[positions], kind="stable")
    values = flat[positions][order]
    cuts = np.flatnonzero(np.diff(values)) + 1
    return np.split(positions[order], cuts) if len(positions) else []


def instance_picture(objects: Objects, index: int) -> NDArray[np.uint16]:
    """Return the objects of a class as a picture uint16 (H, W): 1, 2 ... in their order, 0 for background.

    Raises:
        ValueError: There are more objects than 16 bits can number.
    """
    own = objects.of_class(index)
    if len(own) >= 1 << 16:
        raise ValueError(f"{len(own)} objects don't fit into a picture of 16 bits")
    picture = np.zeros(objects.size_hw[0] * objects.size_hw[1], dtype=np.uint16)
    for number, pixels in enumerate(own):
        picture[pixels] = number + 1
    return picture.reshape(objects.size_hw)


def planes_of(objects: Objects, classes: int) -> NDArray[np.uint8]:
    """Return the label planes (H, W, ceil(C / 8)) of all objects together."""
    planes = np.zeros((*objects.size_hw, plane_count(classes)), dtype=np.uint8)
    for index, pixels in zip(objects.class_of.tolist(), objects.pixels, strict=True):
        set_pixels(planes, index, *np.divmod(pixels, objects.size_hw[1]), True)
    return planes


def separated_planes(objects: Objects, classes: int) -> NDArray[np.uint8]:
    """Return ``planes_of`` with a gap of one pixel where two objects of a class touch, so that both are outlined."""
    planes = planes_of(objects, classes)
    for index in range(classes):
        numbers = instance_picture(objects, index)
        highest_around = np.asarray(cv2.dilate(numbers, np.ones((3, 3), np.uint8)))
        set_class(planes, index, (numbers > 0) & (numbers == highest_around))
    return planes


def pixels_of_runs(runs: NDArray[np.int64], size_hw: tuple[int, int], order: Order) -> Pixels:
    """Return the pixels of runs (n, 2), half-open and from 0, that count row by row or column by column."""
    lengths = runs[:, 1] - runs[:, 0]
    numbers = np.repeat(runs[:, 0] - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    if order == "row":
        return numbers
    columns, rows = np.divmod(numbers, size_hw[0])
    return np.sort(rows * size_hw[1] + columns)


def runs_of_pixels(pixels: Pixels, size_hw: tuple[int, int], order: Order) -> NDArray[np.int64]:
    """Return the runs (n, 2) of an object, the reverse of ``pixels_of_runs``; runs that touch become one."""
    numbers = pixels
    if order == "column":
        rows, columns = np.divmod(pixels, size_hw[1])
        numbers = np.sort(columns * size_hw[0] + rows)
    borders = np.flatnonzero(np.diff(numbers) != 1)
    return np.stack([numbers[np.append(0, borders + 1)], numbers[np.append(borders, -1)] + 1], axis=1)


def shared_pixels(one: Sequence[Pixels], other: Sequence[Pixels], size_hw: tuple[int, int]) -> NDArray[np.int64]:
    """Return how many pixels each object of one list shares with each of another, (k, m)."""
    first, second = (_pixel_matrix(side, size_hw[0] * size_hw[1]) for side in (one, other))
    return np.asarray((first @ second.T).toarray(), dtype=np.int64)


def _pixel_matrix(objects: Sequence[Pixels], pixels: int) -> csr_array:
    """Return a sparse matrix (k, pixels) that is 1 in the pixels of each object."""
    borders = np.concatenate([[0], np.cumsum([len(one) for one in objects])]).astype(np.int64)
    columns = np.concatenate([np.empty(0, np.int64), *objects])
    return csr_array((np.ones(len(columns), np.int64), columns, borders), shape=(len(objects), pixels))


def areas(objects: Sequence[Pixels]) -> NDArray[np.int64]:
    """Return the number of pixels of each object, (k,)."""
    return np.array([len(one) for one in objects], dtype=np.int64)
