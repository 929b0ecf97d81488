"""Probabilities of the training grid brought to native size, as levels of a map or as counts against the truth.

A map of 29x2048x2048 on a GPU is 122 MB to copy to main memory, and takes 70 ms to pack and count there. Counted where
the probabilities are, three numbers of a class come back. They are those of the map: a level is above ``HALF_LEVEL``
exactly where a float32 probability is above 0.5.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from competition.data.boxes import Box
from competition.masks.bit_planes import CLASSES_PER_PLANE, class_areas
from competition.masks.memory_order import class_by_class
from competition.masks.soft_targets import plane_channels
from competition.prediction.grid_maps import NATIVE_CHUNK_PIXELS, classes_at_once
from competition.prediction.probability_maps import quantise

HALF = 0.5
ROUNDING = 1e-6
"""By how much a bilinear mean in float32 may exceed the largest of the four probabilities."""
SMALLEST_PIECE = 128
"""Rows and columns together, up to which torch enlarges with another kernel, which rounds in another way."""


def to_native(probs: torch.Tensor, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring probabilities (C, h, w) float32 to native size (bilinear, half-pixel centres) as map values (C, H, W)."""
    classes = probs.shape[0]
    values = np.empty((classes, *size_hw), np.uint8)
    chunk = classes_at_once(size_hw)
    # Rounded in pieces of that size too: the steps of 12,000 x 12,000 pixels at once take 0.6 GB each.
    rows = max(1, NATIVE_CHUNK_PIXELS // size_hw[1])
    with torch.inference_mode():
        for first in range(0, classes, chunk):
            part = slice(first, first + chunk)
            native = _enlarge(probs[part], size_hw)
            for top in range(0, size_hw[0], rows):
                block = slice(top, top + rows)
                values[part, block] = quantise(native[:, block]).cpu().numpy()
    return values


def count_native(probs: torch.Tensor, box: Box, planes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the pixels of every class at native size and threshold 0.5.

    Args:
        probs: (C, h, w) float32, of a part of the image.
        box: That part, at native size; nothing is predicted outside of it.
        planes: Label planes (H, W, ceil(C / 8)) uint8 of the truth, at native size.

    Returns:
        int64 (3, C): pixels in both, predicted pixels and true pixels.
    """
    classes = len(probs)
    truth = plane_channels(torch.from_numpy(planes[box.window]).to(probs.device)[None], classes)[:, 0]
    counts = torch.zeros(2, classes, dtype=torch.int64, device=probs.device)
    at_once = classes_at_once(box.size_hw)
    factors = None
    if at_once == 1:
        factors = _doublings((probs.shape[1], probs.shape[2]), box.size_hw)
        probs = class_by_class(probs[None])[0]
    with torch.inference_mode():
        if factors is None:
            for first in range(0, classes, at_once):  # as ``to_native``, so that roundings are the same
                masks = _enlarge(probs[first : first + at_once], box.size_hw) > HALF
                for index, mask in enumerate(masks, start=first):
                    counts[:, index] = _count(mask, truth, index)
        else:
            for index, piece in _filled_pieces(probs, factors).items():
                native = _at_native_size(piece, factors)
                mask = _enlarge(probs[index : index + 1, *piece.window], native.size_hw)[0] > HALF
                counts[:, index] = _count(mask, truth[:, *native.window], index)
    return np.concatenate([counts.cpu().numpy(), class_areas(planes, classes)[None]])


def _enlarge(probs: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
    if probs.shape[-2:] == size_hw:
        return probs
    return F.interpolate(probs[None], size=size_hw, mode="bilinear", align_corners=False)[0]


def _count(mask: torch.Tensor, truth: torch.Tensor, index: int) -> torch.Tensor:
    """Return the pixels of a class in both and in the mask (h, w), of label planes (P, h, w): int64 (2,)."""
    inside = (truth[index // CLASSES_PER_PLANE] & (1 << index % CLASSES_PER_PLANE)).bool()
    return torch.stack([torch.count_nonzero(inside & mask), torch.count_nonzero(mask)])


def _doublings(grid_hw: tuple[int, int], size_hw: tuple[int, int]) -> tuple[int, int] | None:
    """Return by which powers of two the sides of a grid are enlarged, None where they aren't.

    Then the places of pixels are exact in float32, so that a piece of the grid gives the pixels of the whole.
    """
    rows, columns = (size // grid for size, grid in zip(size_hw, grid_hw, strict=True))
    exact = (rows * grid_hw[0], columns * grid_hw[1]) == size_hw
    return (rows, columns) if exact and rows.bit_count() == columns.bit_count() == 1 else None


def _filled_pieces(probs: torch.Tensor, factors: tuple[int, int]) -> dict[int, Box]:
    """Return the part of the grid outside of which a class is nowhere above 0.5 at native size; of an empty class none.

    A pixel is above 0.5 only where one of its four neighbours on the grid is. A bone fills a hundredth of an X-ray.
    """
    filled_rows, filled_columns = (probs.amax(dim=axis).gt(HALF - ROUNDING).cpu().numpy() for axis in (2, 1))
    pieces = {}
    for index in np.flatnonzero(filled_rows.any(axis=1)).tolist():
        top, bottom = _span(filled_rows[index], factors[0])
        left, right = _span(filled_columns[index], factors[1])
        pieces[index] = Box(top, left, bottom, right)
    return pieces


def _span(filled: NDArray[np.bool_], factor: int) -> tuple[int, int]:
    """Return the part of a side with all filled places and one more beside them, of enough pixels at native size."""
    places, least = np.flatnonzero(filled).tolist(), SMALLEST_PIECE // factor + 1
    first = max(0, min(places[0] - 1, len(filled) - least))
    return first, min(len(filled), max(places[-1] + 2, first + least))


def _at_native_size(piece: Box, factors: tuple[int, int]) -> Box:
    rows, columns = factors
    return Box(rows * piece.top, columns * piece.left, rows * piece.bottom, columns * piece.right)
