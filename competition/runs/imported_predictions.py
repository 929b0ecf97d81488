"""Predictions that others made, in whatever form they keep them: our own maps, arrays, or a submission file.

They are joined by the name of the image and checked against the prepared samples before anything is read; each map is
read when it is asked for, so that never more than one is in memory.
"""

import hashlib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import say
from competition.data.manifest import Entry, entries_by_name
from competition.errors import CompetitionError
from competition.file_listing import find_files
from competition.prediction.opened_maps import open_map
from competition.prediction.probability_maps import map_file, read_index, read_scores
from competition.runs.imported_maps import check_probabilities, hold_masks, levels_of, read_foreign_map
from competition.submission.form import Form
from competition.text import few, near_misses

ARRAYS = (".npy", ".npz")
FORMS = "a folder of .npy or .npz files, one per image, a folder of maps with index.json, or a CSV in submission form"


@dataclass(frozen=True)
class ForeignMaps:
    """The maps of a set of images.

    Attributes:
        files: All that was found, whose content tells whether it has changed.
        read: Sample -> how its map uint8 (C, H, W) is read.
    """

    files: list[Path] = field(default_factory=list)
    read: dict[str, Callable[[], NDArray[np.uint8]]] = field(default_factory=dict)


@dataclass(frozen=True)
class ForeignScores:
    """The probabilities of a set of samples.

    Attributes:
        files: All that was read.
        probs: Sample -> float64 (C,).
    """

    files: list[Path] = field(default_factory=list)
    probs: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def open_foreign_maps(
    paths: Sequence[Path],
    classes: Sequence[str],
    entries: Sequence[Entry],
    form: Form,
) -> ForeignMaps:
    """Find the map of each sample.

    Args:
        paths: Each a folder of arrays, a folder of maps in our form, or a submission, which becomes maps of 0 and 255;
            several where every fold has its own.
        classes: Of the arrays, in their order.
        entries: The samples that are asked for.
        form: Of a submission.

    Returns:
        How to read each of them.

    Raises:
        CompetitionError: A path is none of these, a sample has no map or two, or a file belongs to no sample.
    """
    found = ForeignMaps()
    for path in paths:
        if not path.exists():
            raise CompetitionError("no such file or folder", path)
        if path.is_file():
            part = _submission(path, classes, entries, form)
        elif (path / "index.json").exists():
            part = _own_maps(path, classes, entries)
        else:
            part = _arrays(path, classes, entries)
        for sample, read in part.read.items():
            if sample in found.read:
                raise CompetitionError(f"{sample!r} is predicted a second time", path)
            found.read[sample] = read
        found.files.extend(part.files)
    _check_complete([entry.sample for entry in entries], found.read, paths)
    return found


def read_foreign_scores(
    paths: Sequence[Path], classes: Sequence[str], entries: Sequence[Entry], form: Form
) -> ForeignScores:
    """Read the probabilities of a classification.

    Args:
        paths: Each a submission, or a folder with scores.parquet and index.json; several where every
            fold has its own.
        classes: Of the track.
        entries: The samples that are asked for.
        form: Of a submission.

    Returns:
        The probabilities of each of them.

    Raises:
        CompetitionError: A path is none of these, a sample lacks, appears twice or is unknown, or a value is no
            probability.
    """
    found = ForeignScores()
    for path in paths:
        if not path.exists():
            raise CompetitionError("no such file or folder", path)
        if path.is_file():
            rows = form.read_predictions(path, classes, lambda name: (0, 0))  # a row has no pixels
            names = list(rows)
            values = np.array([read() for read in rows.values()], dtype=np.float64).reshape(-1, len(classes))
            found.files.append(path)
        else:
            names = list(read_index(path, "Give a CSV, or a folder of our form").samples)
            values = read_scores(path, names, classes, foreign=True)
            found.files.append(path / "scores.parquet")
        check_probabilities(values, path)
        for sample, probs in zip(_samples_of(names, entries, path), values, strict=True):
            if sample in found.probs:
                raise CompetitionError(f"{sample!r} is predicted a second time", path)
            found.probs[sample] = probs
    _check_complete([entry.sample for entry in entries], found.probs, paths)
    return found


def content_hash(files: Sequence[Path], beside: str) -> str:
    """Ten characters that differ when a file's name or content differs, or what is said beside."""
    digest = hashlib.sha256(beside.encode())
    for path in sorted(files):
        with path.open("rb") as file:
            digest.update(f"\n{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()[:10]


def _arrays(folder: Path, classes: Sequence[str], entries: Sequence[Entry]) -> ForeignMaps:
    files = [path for path in find_files(folder, "*") if path.suffix.lower() in ARRAYS]
    if not files:
        raise CompetitionError(f"these are no predictions: {FORMS}", folder)
    known, found = entries_by_name(entries), ForeignMaps(files)
    path_of: dict[str, Path] = {}
    for sample, path in zip(_samples_of([path.stem for path in files], entries, folder), files, strict=True):
        if sample in path_of:
            raise CompetitionError(f"{sample!r} is predicted by two files, one of them {path.name}", folder)
        path_of[sample] = path
    size_of = {sample: (known[sample].height, known[sample].width) for sample in path_of}
    masks = hold_masks([(path, size_of[sample]) for sample, path in path_of.items()], classes)
    if masks:
        say(f"{folder}: all values are 0 or 1, so they are taken as masks, not as levels from 0 to 255")
    for sample, path in path_of.items():
        found.read[sample] = partial(read_foreign_map, path, classes, size_of[sample], masks)
    return found


def _own_maps(folder: Path, classes: Sequence[str], entries: Sequence[Entry]) -> ForeignMaps:
    index = read_index(folder, "Give a folder of our form")
    if sorted(index.classes) != sorted(classes):
        raise CompetitionError(
            f"maps of the classes {few(index.classes)}, not {few(classes)}",
            folder,
            "Name the classes of the maps with --classes",
        )
    # The index names the classes, so their order in the maps is known whatever was asked for.
    order = [index.classes.index(name) for name in classes]
    known, found = entries_by_name(entries), ForeignMaps([folder / "index.json"])
    for name, sample in zip(index.samples, _samples_of(index.samples, entries, folder), strict=True):
        if sample in found.read:
            raise CompetitionError(f"{sample!r} is listed twice", folder / "index.json")
        size_hw = known[sample].height, known[sample].width
        found.files.append(map_file(folder, name))
        found.read[sample] = partial(_read_own_map, folder, name, order, size_hw)
    if missing := [path for path in found.files if not path.exists()]:
        raise CompetitionError(f"{len(missing)} maps of its index.json are missing, first {missing[0].name}", folder)
    return found


def _read_own_map(folder: Path, name: str, order: Sequence[int], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    opened, path = open_map(folder, name, foreign=True), map_file(folder, name)
    if opened.shape != (len(order), *size_hw):
        expected = (len(order), *size_hw)
        raise CompetitionError(f"shape {opened.shape}, not {expected} (classes, rows, columns)", path)
    values = np.stack([opened[index, slice(None), slice(None)] for index in order])
    return levels_of(values, path)


def _submission(path: Path, classes: Sequence[str], entries: Sequence[Entry], form: Form) -> ForeignMaps:
    known, found = entries_by_name(entries), ForeignMaps([path])
    maps = form.read_predictions(path, classes, lambda name: (known[name].height, known[name].width))
    for sample, read in zip(_samples_of(list(maps), entries, path), maps.values(), strict=True):
        if sample in found.read:
            raise CompetitionError(f"{sample!r} is predicted a second time", path)
        found.read[sample] = read
    return found


def _samples_of(names: Sequence[str], entries: Sequence[Entry], where: Path) -> list[str]:
    """Return the samples that names mean; a name that means none is refused, for it may be a mistyped one."""
    known = entries_by_name(entries)
    if unknown := [name for name in names if name not in known]:
        predicted = {known[name].sample for name in names if name in known}
        hint = near_misses(unknown, (entry.name for entry in entries if entry.sample not in predicted))
        raise CompetitionError(
            f"{len(unknown)} predictions belong to none of the {len(entries)} samples ({few(unknown)}){hint}", where
        )
    return [known[name].sample for name in names]


def _check_complete(samples: Sequence[str], predicted: Container[str], paths: Sequence[Path]) -> None:
    if missing := [sample for sample in samples if sample not in predicted]:
        where = ", ".join(map(str, paths))
        raise CompetitionError(f"{len(missing)} of {len(samples)} samples are not predicted ({few(missing)})", where)
