"""Which files a data folder contains: one rule for all tracks, so that no sample vanishes and no litter becomes one.

Hidden files and leftovers of macOS and Windows are litter. Endings match in any case, names in any Unicode form, and
folders that are symbolic links are searched like any other, which ``Path.glob`` does or does not, depending on the
version of Python.
"""

import os
import re
import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath

from competition.errors import CompetitionError
from competition.text import same_spelling

LITTER = frozenset(("__macosx", "thumbs.db", "desktop.ini"))
"""Names, in small letters, that are no data; hidden files and folders are none either."""

_RASTER = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm")
_MEDICAL = (".dcm", ".dicom", ".ima", ".npy", ".npz", ".nii", ".mha", ".mhd", ".nrrd")
PICTURES = frozenset((*_RASTER, *_MEDICAL))
"""Endings of files that may well be images."""


def is_litter(name: str) -> bool:
    """Return whether a file or folder of this name is hidden or a leftover of an operating system."""
    return name.startswith(".") or name.lower() in LITTER


def is_picture(path: Path | str) -> bool:
    """Return whether the ending is that of an image, also of "x.nii.gz"."""
    return os.path.splitext(str(path).lower().removesuffix(".gz"))[1] in PICTURES


def find_files(root: Path, pattern: str) -> list[Path]:
    """List the files below a folder that match a pattern as of ``Path.glob``, sorted.

    Broken symbolic links are included, so that their readers report them.

    Raises:
        CompetitionError: A folder can't be listed, or a file is a pipe, socket or device or has a name that is no text.
    """
    found = _fitting(root, pattern)
    for path in found:
        if path.exists() and not path.is_file():
            raise CompetitionError("this is a pipe, socket or device, not a file", path, "Move it out of the folder")
        try:
            path.name.encode()
        except UnicodeEncodeError as error:
            name = ascii(path.name)
            raise CompetitionError(f"the file name {name} is not UTF-8 text", path.parent, "Rename it") from error
    return found


def find_all_files(root: Path) -> list[Path]:
    """List all files below a folder that are no litter, sorted; pipes, sockets and devices too."""
    return [root / path for path in find_relative_paths(root)]


def find_relative_paths(root: Path) -> list[str]:
    """List the same files by their path below the folder, as text with "/".

    It takes 0.4 s of processor time for 50,000 files, which as ``Path`` objects took 1.9 s.
    """
    top, above = str(root), frozenset((_identity(str(root)),))
    below = len(os.path.join(top, ""))
    found = {path[below:].replace(os.sep, "/") for path in _walk(top, ("**", "*"), above)}
    return sorted(found, key=lambda path: path.split("/"))


def find_pictures_beside(root: Path, patterns: Sequence[str]) -> list[Path]:
    """List image files in the folders of the patterns that match none of the patterns."""
    folders = {str(PurePosixPath(pattern).parent / "*") for pattern in patterns}
    there = {path for folder in folders for path in _fitting(root, folder) if is_picture(path)}
    return sorted(there.difference(*(_fitting(root, pattern) for pattern in patterns)))


def on_disk(path: Path) -> Path:
    """Return a path as the disk spells it: in another Unicode form, or with capitals in its ending; else as it is."""
    if path.exists() or path.parent == path:
        return path
    folder = on_disk(path.parent)
    return folder / _spellings(folder, _stamp(folder)).get(plain_name(path.name), path.name)


def plain_name(name: str) -> str:
    """Return a file name as it is compared: in composed Unicode (NFC), its ending in small letters."""
    before, dot, ending = same_spelling(name).rpartition(".")
    return before + dot + ending.lower() if before else dot + ending


def _fitting(root: Path, pattern: str) -> list[Path]:
    parts = PurePosixPath(pattern).parts
    return sorted({Path(path) for path in _walk(str(root), parts, frozenset((_identity(str(root)),)))})


def _walk(folder: str, parts: Sequence[str], above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Yield matching paths; a link must not lead back into the folders ``above``."""
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _walk(folder, rest or ("*",), above)
        for entry in _entries(folder):
            if entry.is_dir() and not is_litter(entry.name) and (here := _identity(entry.path)) not in above:
                yield from _walk(entry.path, parts, above | {here})
        return
    wanted = plain_name(first)
    for entry in _entries(folder):
        if not _fits(entry.name, wanted):
            continue
        if not rest and not entry.is_dir():
            yield entry.path
        elif rest and entry.is_dir() and (here := _identity(entry.path)) not in above:
            yield from _walk(entry.path, rest, above | {here})


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise CompetitionError(f"can't list the folder ({error.strerror or error})", folder) from error


def _fits(name: str, wanted: str) -> bool:
    plain = plain_name(name)
    return plain == wanted or (not is_litter(name) and fnmatchcase(plain, wanted))


def _identity(folder: str) -> tuple[int, int]:
    """Return the identity of a folder by whatever path it is reached; (0, 0) of one that is missing."""
    try:
        status = os.stat(folder)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _stamp(folder: Path) -> int:
    return folder.stat().st_mtime_ns if folder.is_dir() else 0


@lru_cache(maxsize=256)  # each missing file of a folder asks again; a changed folder has another stamp
def _spellings(folder: Path, stamp: int) -> dict[str, str]:
    """Return plain name -> name of everything in a folder."""
    return {plain_name(name): name for name in sorted(os.listdir(folder), reverse=True)} if stamp else {}


def stem(name: str) -> str:
    """Return a file name without its last ending (".nii.gz" is one), in composed Unicode (NFC), as keys are."""
    path = Path(name)
    return same_spelling(Path(path.stem).stem if path.name.lower().endswith(".nii.gz") else path.stem)


def without_picture_ending(name: str) -> str:
    """Return a name without the ending of an image; a key such as "case7_1.5", which has none, stays whole."""
    return stem(name) if is_picture(name) else same_spelling(name)


def label_files(label: Path, classes: Sequence[str]) -> list[Path]:
    """Return all files of a sample's label: those of ``class_files``."""
    return [file for files in class_files(label, classes) for file in files]


def class_files(label: Path, classes: Sequence[str]) -> list[list[Path]]:
    """Return the files of a sample's label, as the disk spells them.

    A label is the path of a file, with "{class}" where each class has its own, and with "*" or "?" where several files
    are joined (``escape_wild`` is how a name with these signs is written then). A file without them need not exist.

    Returns:
        One list, or one per class where the label holds "{class}".
    """
    text = str(label)
    several = is_wild(text) and not os.path.exists(text)
    if "{class}" not in text:
        return [_files_of_pattern(text) if several else [label]]
    named = [text.replace("{class}", escape_wild(name) if several else name) for name in classes]
    return [_files_of_pattern(path) if several else [on_disk(Path(path))] for path in named]


def escape_wild(name: str) -> str:
    """Return a name as a part of a pattern that fits it alone."""
    return re.sub(r"([*?[])", r"[\1]", name)


def is_wild(text: str) -> bool:
    """Return whether a path joins the files that fit it; "[*]" is the sign itself."""
    return re.search(r"(?<!\[)[*?]", text) is not None


def _files_of_pattern(pattern: str) -> list[Path]:
    """Return the files that fit a pattern; only names with its literal beginning are compared."""
    parts = Path(pattern).parts
    at = next(number for number, part in enumerate(parts) if is_wild(part))
    folder = on_disk(Path(*(re.sub(r"\[([*?[])\]", r"\1", part) for part in parts[:at])))
    if at < len(parts) - 1:
        return find_files(folder, "/".join(parts[at:]))
    wanted, spellings = plain_name(parts[at]), _spellings(folder, _stamp(folder))
    names = _sorted_names(folder, _stamp(folder))
    beginning = re.split(r"[*?[]", wanted)[0]
    first = bisect_left(names, beginning)
    last = bisect_left(names, beginning + chr(sys.maxunicode), lo=first)
    return [folder / spellings[name] for name in names[first:last] if _fits(name, wanted)]


@lru_cache(maxsize=256)
def _sorted_names(folder: Path, stamp: int) -> list[str]:
    return sorted(_spellings(folder, stamp))


def split_part(path: Path) -> tuple[Path, str]:
    """Split the path of a part of a file: "train.tfrecord#12" -> (train.tfrecord, "12"); of a whole file it is ""."""
    text = str(path)
    cuts = [] if os.path.exists(path) else [at for at, character in enumerate(text) if character == "#"]
    return next(((Path(text[:at]), text[at + 1 :]) for at in cuts if os.path.isfile(text[:at])), (path, ""))


def join_part(path: str, part: str) -> str:
    """Return the path of a part of a file, "volume.nii.gz#017"; ``split_part`` is the inverse."""
    return f"{path}#{part}" if part else path


def part_key(key: str, part: str) -> str:
    """Return the key of a part of the file of a key: "patient001_frame01_017" of slice 017 of patient001_frame01."""
    return f"{key}_{part}" if part else key
