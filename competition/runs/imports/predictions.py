"""Predictions made outside this project, in whatever form: our own maps, arrays, or a submission file.

They are joined by the name of the image and checked against the prepared samples first. Maps are read one at a time
when they are asked for, as uint8 (C, H, W) with a dead zone.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from competition.console import say
from competition.data.manifest import Entry, entries_by_name
from competition.errors import CompetitionError
from competition.file_listing import find_files
from competition.formats.numpy_files import StoredArray, open_arrays
from competition.prediction.opened_maps import open_map
from competition.prediction.probability_maps import INDEX, empty_dead_zone, map_file, quantise, read_index, read_scores
from competition.submission.form import Form
from competition.text import few, near_misses

ARRAYS = (".npy", ".npz")
FORMS = "a folder of .npy or .npz files, one per image, a folder of maps with index.json, or a submission"

# A weighted mean of probabilities that are all 1 ends a few float32 steps (1e-7) beside it.
ROUNDING = 1e-6

Where = Path | str
Value = TypeVar("Value")


@dataclass(frozen=True)
class FoundPredictions:
    """The predictions of a set of samples.

    Attributes:
        files: All that was found.
        read: Sample -> what reads its map uint8 (C, H, W), or returns its probabilities float64 (C,).
    """

    files: list[Path] = field(default_factory=list)
    read: dict[str, Callable[[], NDArray[Any]]] = field(default_factory=dict)


def open_imported_maps(
    paths: Sequence[Path], classes: Sequence[str], entries: Sequence[Entry], form: Form
) -> FoundPredictions:
    """Find the map of each sample.

    Args:
        paths: Each a folder of arrays, a folder of maps in our form, or a submission (a file or, of PNG masks, their
            folder), which becomes maps of 0 and 255; several where every fold has its own.
        classes: Of the arrays, in their order.
        entries: The samples that are asked for.
        form: Of a submission.

    Raises:
        CompetitionError: A path is none of these, a sample has no map or two, or a file belongs to no sample.
    """

    def open_one(path: Path) -> FoundPredictions:
        if path.is_dir() and (path / INDEX).exists():
            return _own_maps(path, classes, entries)
        arrays = [file for file in find_files(path, "*") if file.suffix.lower() in ARRAYS]
        if arrays:
            return _arrays(path, arrays, classes, entries)
        if not form.accepts(path):
            raise CompetitionError(f"no predictions found; expected {FORMS}", path)
        return _submission(path, classes, entries, form)

    return _join(paths, entries, open_one)


def read_imported_scores(
    paths: Sequence[Path], classes: Sequence[str], entries: Sequence[Entry], form: Form
) -> FoundPredictions:
    """Read the probabilities of a classification, from submissions or folders with scores.parquet and index.json.

    Arguments as in ``open_imported_maps``.

    Raises:
        CompetitionError: A path is neither, a sample is missing, appears twice or is unknown, or a value is no
            probability.
    """

    def read_one(path: Path) -> FoundPredictions:
        if path.is_file():
            rows = form.read_predictions(path, classes, lambda name: (0, 0))  # a row has no pixels
            names, file = list(rows), path
            values = np.array([read() for read in rows.values()], dtype=np.float64).reshape(-1, len(classes))
        else:
            names, file = list(read_index(path, "Give a CSV, or a folder of our form").samples), path / "scores.parquet"
            values = read_scores(path, names, classes, imported=True)
        _check_probabilities(values, path)
        values = values.clip(0, 1)  # ``read_scores`` takes nothing that is rounded beside them
        return FoundPredictions([file], _by_sample(names, [row.copy for row in values], entries, path))

    return _join(paths, entries, read_one)


def files_hash(files: Sequence[Path], beside: str) -> str:
    """Return ten characters that differ when a file's name or content differs, or the text beside them."""
    digest = hashlib.sha256(beside.encode())
    for path in sorted(files):
        with path.open("rb") as file:
            digest.update(f"\n{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()[:10]


def _join(
    paths: Sequence[Path], entries: Sequence[Entry], open_one: Callable[[Path], FoundPredictions]
) -> FoundPredictions:
    found = FoundPredictions()
    for path in paths:
        if not path.exists():
            raise CompetitionError("no such file or folder", path)
        part = open_one(path)
        if twice := [sample for sample in part.read if sample in found.read]:
            raise CompetitionError(f"{twice[0]!r} is predicted a second time", path)
        found.read.update(part.read)
        found.files.extend(part.files)
    if missing := [entry.sample for entry in entries if entry.sample not in found.read]:
        what = f"{len(missing)} of {len(entries)} samples are not predicted ({few(missing)})"
        raise CompetitionError(what, ", ".join(map(str, paths)))
    return found


def _by_sample(
    names: Sequence[str], values: Sequence[Value], entries: Sequence[Entry], where: Path
) -> dict[str, Value]:
    """Return values by the samples that their names mean, which must all be known: an unknown one may be a typo."""
    known = entries_by_name(entries)
    if unknown := [name for name in names if name not in known]:
        predicted = {known[name].sample for name in names if name in known}
        hint = near_misses(unknown, (entry.name for entry in entries if entry.sample not in predicted))
        raise CompetitionError(
            f"{len(unknown)} predictions belong to none of the {len(entries)} samples ({few(unknown)}){hint}", where
        )
    by_sample: dict[str, Value] = {}
    for name, value in zip(names, values, strict=True):
        sample = known[name].sample
        if sample in by_sample:
            source = f"by two files, one of them {value.name}" if isinstance(value, Path) else "a second time"
            raise CompetitionError(f"{sample!r} is predicted {source}", where)
        by_sample[sample] = value
    return by_sample


def _arrays(folder: Path, files: list[Path], classes: Sequence[str], entries: Sequence[Entry]) -> FoundPredictions:
    path_of = _by_sample([path.stem for path in files], files, entries, folder)
    size_of = {entry.sample: (entry.height, entry.width) for entry in entries}
    if masks := hold_masks([(path, size_of[sample]) for sample, path in path_of.items()], classes):
        say(f"{folder}: all values are 0 or 1, so they are taken as masks, not as levels from 0 to 255")
    read = {s: partial(read_imported_map, path, classes, size_of[s], masks) for s, path in path_of.items()}
    return FoundPredictions(files, dict(read))


def _own_maps(folder: Path, classes: Sequence[str], entries: Sequence[Entry]) -> FoundPredictions:
    index, file = read_index(folder, "Give a folder of our form"), folder / INDEX
    if sorted(index.classes) != sorted(classes):
        what = f"maps of the classes {few(index.classes)}, not {few(classes)}"
        raise CompetitionError(what, folder, "Name the classes of the maps with --classes")
    order = [index.classes.index(name) for name in classes]  # of the stored planes, whatever was asked for
    known = entries_by_name(entries)

    def read(name: str) -> NDArray[np.uint8]:
        opened = open_map(folder, name, imported=True)
        expected = (len(order), known[name].height, known[name].width)
        if opened.shape != expected:
            raise CompetitionError(
                f"shape {opened.shape}, not {expected} (classes, rows, columns)", map_file(folder, name)
            )
        values = np.stack([opened[position, slice(None), slice(None)] for position in order])
        return _levels_of(values, map_file(folder, name))

    by_sample = _by_sample(index.samples, [partial(read, name) for name in index.samples], entries, file)
    files = [map_file(folder, name) for name in index.samples]
    if missing := [path for path in files if not path.exists()]:
        raise CompetitionError(f"{len(missing)} maps of its index.json are missing, first {missing[0].name}", folder)
    return FoundPredictions([file, *files], dict(by_sample))


def _submission(path: Path, classes: Sequence[str], entries: Sequence[Entry], form: Form) -> FoundPredictions:
    known = entries_by_name(entries)
    maps = form.read_predictions(path, classes, lambda name: (known[name].height, known[name].width))
    files = [path] if path.is_file() else find_files(path, "**/*")
    return FoundPredictions(files, _by_sample(list(maps), list(maps.values()), entries, path))


def read_imported_map(
    path: Path, classes: Sequence[str], size_hw: tuple[int, int], masks: bool = False
) -> NDArray[np.uint8]:
    """Read the probabilities of one image.

    Args:
        path: A .npy file, or a .npz file that holds one array, or one (H, W) array per class under the class's name.
            An array is (C, H, W) or (H, W, C), of floats (probabilities), uint8 (levels) or bool (masks).
        classes: Of the array, in its order.
        size_hw: Rows and columns of the image.
        masks: Whether uint8 values are 0 and 1 in the whole set that the image belongs to.

    Returns:
        Map uint8 (C, H, W).

    Raises:
        CompetitionError: The file is damaged, of another size or number of classes, or a value is no probability.
    """
    planes = _read_planes(path, classes, size_hw)
    return np.concatenate([_levels_of(part, where, masks) for part, where in planes])


def hold_masks(files: Sequence[tuple[Path, tuple[int, int]]], classes: Sequence[str]) -> bool:
    """Return whether the arrays of a set are all uint8 and 0 or 1 throughout, with a 1 somewhere: masks, not levels.

    A single array can't decide it: levels below 2 everywhere are possible too. Reading stops at the first array that
    does.

    Raises:
        CompetitionError: As of ``read_imported_map``.
    """
    ones = False
    for path, size_hw in files:
        for planes, _ in _read_planes(path, classes, size_hw):
            highest = int(planes.max(initial=0)) if planes.dtype == np.uint8 else 2
            if highest > 1:
                return False
            ones = ones or highest == 1
    return ones


def _read_planes(path: Path, classes: Sequence[str], size_hw: tuple[int, int]) -> list[tuple[NDArray[Any], Where]]:
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


def _read_fitting(stored: StoredArray, classes: int, size_hw: tuple[int, int], where: Where) -> NDArray[Any]:
    """Read an array as (C, H, W), after checking its shape and type: what fits needs no more memory than it may."""
    shape, first, last = stored.shape, (classes, *size_hw), (*size_hw, classes)
    if shape not in (first, last) and not (classes == 1 and shape == size_hw):
        raise CompetitionError(
            f"shape {shape} fits neither {first} (classes, rows, columns) nor {last} (rows, columns, classes)", where
        )
    if first == last and classes > 1:
        what = f"shape {shape} can be (classes, rows, columns) and (rows, columns, classes)"
        raise CompetitionError(what, where, "Save a .npz with one array for each class, under its name")
    if stored.dtype not in (np.bool_, np.uint8) and stored.dtype.kind != "f":
        raise CompetitionError(
            f"values of type {stored.dtype}", where, "Save float probabilities, uint8 levels or bool"
        )
    array = stored.read()
    return array.reshape(first) if shape in (first, size_hw) else np.moveaxis(array, -1, 0)


def _levels_of(planes: NDArray[Any], where: Where, masks: bool = False) -> NDArray[np.uint8]:
    """Turn probabilities, levels or masks (C, H, W) into levels; with ``masks`` uint8 values are 0 and 1."""
    if planes.dtype == np.bool_ or (planes.dtype == np.uint8 and masks):
        return planes.astype(np.uint8) * np.uint8(255)
    if planes.dtype == np.uint8:
        # Masks saved as 0 and 1 look like levels of almost nothing, and would vote for nothing.
        if planes.max(initial=0) == 1:
            what = "uint8 values are levels from 0 to 255, and none is above 1 here, unlike in the other files"
            raise CompetitionError(what, where, "Save masks as bool, or as 0 and 255")
        return empty_dead_zone(planes.copy())
    levels = np.empty(planes.shape, dtype=np.uint8)
    for index, plane in enumerate(planes):  # class by class: as float64 an image of 29 classes would take 1 GB
        _check_probabilities(plane, where)
        # In float64 nothing is rounded before it is compared with 0.5.
        levels[index] = quantise(torch.from_numpy(plane.astype(np.float64))).numpy()
    return levels


def _check_probabilities(probs: NDArray[np.floating], where: Where) -> None:
    """Reject NaN and what is not between 0 and 1, but for rounding."""
    if np.isnan(probs).any():
        raise CompetitionError("a probability is NaN", where)
    low, high = float(probs.min(initial=0)), float(probs.max(initial=0))
    if low < -ROUNDING or high > 1 + ROUNDING:
        worst = low if low < -ROUNDING else high
        raise CompetitionError(f"{worst:g} is not a probability from 0 to 1", where, "Save probabilities, not logits")
