"""Probability arrays that others saved, brought to our own form: uint8 (C, H, W) with its dead zone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.formats.numpy_files import StoredArray, open_arrays
from competition.prediction.probability_maps import empty_dead_zone, quantise

# A weighted mean of probabilities that are all 1 ends a few float32 steps (1e-7) beside it.
ROUNDING = 1e-6


def read_foreign_map(
    path: Path, classes: Sequence[str], size_hw: tuple[int, int], masks: bool = False
) -> NDArray[np.uint8]:
    """Read the probabilities of one image.

    Args:
        path: A .npy file, or a .npz file that holds one array, or one (H, W) array per class under the class's name.
        classes: Of the array, in its order.
        size_hw: Rows and columns of the image.
        masks: Whether uint8 values are 0 and 1 in the whole set that the image belongs to.

    Returns:
        Map uint8 (C, H, W).

    Raises:
        CompetitionError: The file is damaged, of another size or number of classes, or a value is no probability.
    """
    planes = _read_planes(path, classes, size_hw)
    return np.concatenate([levels_of(part, where, masks) for part, where in planes])


def hold_masks(files: Sequence[tuple[Path, tuple[int, int]]], classes: Sequence[str]) -> bool:
    """Return whether the arrays of a set are all uint8 and 0 or 1 throughout, with a 1 somewhere: masks, and no levels.

    An array of levels that are all below 2 says next to nothing of its image, so a single array can't tell. Reading
    stops at the first array that decides it.

    Args:
        files: Each with the rows and columns of its image.
        classes: Of the arrays.

    Raises:
        CompetitionError: As of ``read_foreign_map``.
    """
    ones = False
    for path, size_hw in files:
        for planes, _ in _read_planes(path, classes, size_hw):
            highest = int(planes.max(initial=0)) if planes.dtype == np.uint8 else 2
            if highest > 1:
                return False
            ones = ones or highest == 1
    return ones


def _read_planes(path: Path, classes: Sequence[str], size_hw: tuple[int, int]) -> list[tuple[NDArray[Any], Path | str]]:
    """Return the values of a file, (C, H, W) in one array or (1, H, W) in one for each class, each with its place."""
    arrays = open_arrays(path)
    if len(arrays) == 1:
        return [(_read_fitting(next(iter(arrays.values())), len(classes), size_hw, path), path)]
    missing = [name for name in classes if name not in arrays]
    unknown = [name for name in arrays if name not in classes]
    if missing or unknown:
        what = [f"lacks {name!r}" for name in missing[:1]] + [f"has unknown {name!r}" for name in unknown[:1]]
        raise CompetitionError(
            f"holds {len(arrays)} arrays and {' and '.join(what)}", path, "Save one array, or one for each class"
        )
    return [(_read_fitting(arrays[name], 1, size_hw, f"{path}, {name}"), f"{path}, {name}") for name in classes]


def _read_fitting(stored: StoredArray, classes: int, size_hw: tuple[int, int], where: Path | str) -> NDArray[Any]:
    """Read an array as (C, H, W), after its shape and type were found to fit: what fits needs no more than it may."""
    _check_shape(stored.shape, classes, size_hw, where)
    _check_type(stored.dtype, where)
    return _classes_first(stored.read(), classes, size_hw)


def map_of(array: NDArray[Any], classes: int, size_hw: tuple[int, int], where: Path | str) -> NDArray[np.uint8]:
    """Turn probabilities into a map.

    Args:
        array: (C, H, W) or (H, W, C), for one class also (H, W): probabilities as floats, levels as uint8, or a bool
            mask.
        classes: C.
        size_hw: Rows and columns of the image.
        where: Whose probabilities, for messages.

    Returns:
        Map uint8 (C, H, W).

    Raises:
        CompetitionError: The shape fits neither or both of the two, or a value is no probability.
    """
    _check_shape(array.shape, classes, size_hw, where)
    return levels_of(_classes_first(array, classes, size_hw), where)


def levels_of(planes: NDArray[Any], where: Path | str, masks: bool = False) -> NDArray[np.uint8]:
    """Turn the probabilities of each class, (C, H, W) of whatever type, into levels uint8 (C, H, W).

    With ``masks`` uint8 values are 0 and 1 and become 0 and 255.

    Raises:
        CompetitionError: A value is no probability.
    """
    _check_type(planes.dtype, where)
    if planes.dtype == np.uint8 and masks:
        return planes * np.uint8(255)
    # Masks saved as 0 and 1 look like levels that are as good as none, and would vote for nothing.
    if planes.dtype == np.uint8 and planes.max(initial=0) == 1:
        raise CompetitionError(
            "uint8 values are levels from 0 to 255, and none is above 1 here, unlike in the other files",
            where,
            "Save masks as bool, or as 0 and 255",
        )
    levels = np.empty(planes.shape, dtype=np.uint8)
    for index in range(len(planes)):  # class by class: as float64 an image of 29 classes would take 1 GB
        levels[index] = _levels(planes[index], where)
    return levels


def check_probabilities(probs: NDArray[np.floating], where: Path | str) -> None:
    """Make sure that floats are probabilities.

    Raises:
        CompetitionError: A value is NaN or not between 0 and 1; rounding is forgiven.
    """
    if np.isnan(probs).any():
        raise CompetitionError("a probability is NaN", where)
    low, high = float(probs.min(initial=0)), float(probs.max(initial=0))
    if low < -ROUNDING or high > 1 + ROUNDING:
        worst = low if low < -ROUNDING else high
        raise CompetitionError(f"{worst:g} is no probability from 0 to 1", where, "Save probabilities, not logits")


def _check_shape(shape: tuple[int, ...], classes: int, size_hw: tuple[int, int], where: Path | str) -> None:
    first, last = (classes, *size_hw), (*size_hw, classes)
    if classes == 1 and shape == size_hw:
        return
    if shape not in (first, last):
        raise CompetitionError(
            f"shape {shape} fits neither {first} (classes, rows, columns) nor {last} (rows, columns, classes)", where
        )
    if first == last and classes > 1:
        raise CompetitionError(
            f"shape {shape} can be (classes, rows, columns) and (rows, columns, classes)",
            where,
            "Save a .npz with one array for each class, under its name",
        )


def _check_type(dtype: np.dtype[Any], where: Path | str) -> None:
    if dtype not in (np.bool_, np.uint8) and dtype.kind != "f":
        raise CompetitionError(f"values of type {dtype}", where, "Save float probabilities, uint8 levels or bool")


def _classes_first(array: NDArray[Any], classes: int, size_hw: tuple[int, int]) -> NDArray[Any]:
    """Bring an array whose shape was found to fit to (C, H, W)."""
    if array.shape == size_hw:
        return array[None]
    return array if array.shape == (classes, *size_hw) else np.moveaxis(array, -1, 0)


def _levels(plane: NDArray[Any], where: Path | str) -> NDArray[np.uint8]:
    if plane.dtype == np.bool_:
        return plane.astype(np.uint8) * np.uint8(255)
    if plane.dtype == np.uint8:
        return empty_dead_zone(plane.copy())
    check_probabilities(plane, where)
    # In float64 nothing is rounded before it is compared with 0.5.
    return np.asarray(quantise(torch.from_numpy(plane.astype(np.float64))).numpy())
