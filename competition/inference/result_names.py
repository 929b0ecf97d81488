"""Names of results: that of the image below the folder that was given, with more where two would have one name."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Where an image or patient was found.

    Attributes:
        name: What its results are called.
        file: Its name with the ending.
        folders: Of the disk, from the outermost to its own.
        below: How many of the last ``folders`` are below what was given.
    """

    name: str
    file: str
    folders: tuple[str, ...]
    below: int


def place_of(path: Path, given: Path, name: str) -> Place:
    """Return the place of a file, or of a patient's folder, that was found in the folder ``given``."""
    folder, top = Path(os.path.abspath(path.parent)), Path(os.path.abspath(given))
    return Place(name, path.name, folder.parts[1:], len(folder.relative_to(top).parts))


def result_names(places: Sequence[Place], endings: Sequence[str], reserved: Sequence[str] = ()) -> list[str]:
    """Return a name for each place, so that no two results share a file, on disks that ignore capitals too.

    A name is that of the image, after the folders between it and what was given ("patient/slice"). Where names of
    several arguments are equal, all names get the folders above what was given too, as few as tell them apart. Names
    that are still equal, of images in one folder, keep their endings. A number tells apart what is left, such as names
    that differ in capitals.

    Args:
        places: In the order of the results.
        endings: Of the files of a result, which are called NAME.ENDING.
        reserved: Files that the folder of results holds besides.
    """
    depths = range(1 + max(len(place.folders) - place.below for place in places))
    choices = ([_below(place, depth, place.name) for place in places] for depth in depths)
    # Of equally many different names the first, that is the shortest ones.
    depth, names = max(enumerate(choices), key=lambda choice: len({name.casefold() for name in choice[1]}))
    counts = Counter(name.casefold() for name in names)
    alone = [
        name if counts[name.casefold()] == 1 else _below(place, depth, place.file)
        for place, name in zip(places, names, strict=True)
    ]
    return list(_numbered(alone, endings, reserved))


def _below(place: Place, depth: int, name: str) -> str:
    first = max(0, len(place.folders) - place.below - depth)
    return "/".join((*place.folders[first:], name))


def _numbered(names: Sequence[str], endings: Sequence[str], reserved: Sequence[str]) -> Iterator[str]:
    """Yield the names; one whose files or folders are taken becomes part of a file name with a number."""
    files, folders = {name.casefold() for name in reserved}, set[str]()
    for name in names:
        free, number = name, 1
        while not _is_free(free, endings, files, folders):
            number += 1
            free = f"{name.replace('/', '-')}_{number}"
        files |= _files(free, endings)
        folders |= _folders(free)
        yield free


def _is_free(name: str, endings: Sequence[str], files: set[str], folders: set[str]) -> bool:
    own = _files(name, endings)
    return own.isdisjoint(files) and own.isdisjoint(folders) and _folders(name).isdisjoint(files)


def _files(name: str, endings: Sequence[str]) -> set[str]:
    return {f"{name}.{ending}".casefold() for ending in endings} or {name.casefold()}


def _folders(name: str) -> set[str]:
    parts = name.casefold().split("/")
    return {"/".join(parts[:count]) for count in range(1, len(parts))}
