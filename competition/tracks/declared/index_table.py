"""The index: a CSV with a row for each image, whose columns replace what paths would say."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from competition.file_listing import on_disk, stem
from competition.formats.csv_files import read_columns
from competition.settings import Section
from competition.text import NearKeys, same_spelling
from competition.tracks.track import Problem, Split

SPLITS: dict[str, Split] = {"train": "train", "training": "train", "test": "test", "testing": "test"}
"""What a cell of the split column may hold, in any capital letters."""


class IndexTable(Section):
    """The CSV and its columns; what has no column is read from paths."""

    csv: str
    """The CSV below the data folder, for example "index.csv"."""
    image: str
    """The column of image files: paths below the data folder, or where ``train`` or ``test`` are given, names with or
    without their ending."""
    mask: str | None = None
    """The column of mask files, paths below the data folder."""
    key: str | None = None
    """The column of what a sample is called."""
    group: str | None = None
    """The column of groups (persons)."""
    stratum: str | None = None
    """The column of strata."""
    split: str | None = None
    """The column that holds train or test."""

    @property
    def places(self) -> list[str]:
        """Return all paths below the data folder."""
        return [self.csv]

    @property
    def columns(self) -> dict[str, str]:
        """Return what is declared -> its column."""
        return {name: column for name, column in self.model_dump(exclude={"csv"}).items() if column is not None}


@dataclass(frozen=True)
class IndexRow:
    """A row: its line in the file, and its cell of each declared column."""

    line: int
    cells: Mapping[str, str]

    def split(self) -> Split | None:
        """Return the split that the row names; None if it names none."""
        return SPLITS.get(self.cells.get("split", "").lower())


def read_index(path: Path, form: IndexTable) -> list[IndexRow]:
    """Read the rows.

    Raises:
        CompetitionError: The file can't be read, or a column is missing.
    """
    names = list(form.columns)
    rows = read_columns(path, list(form.columns.values()))
    return [IndexRow(line, dict(zip(names, map(same_spelling, cells), strict=True))) for line, cells in rows]


def rows_of_images(
    root: Path, rows: Sequence[IndexRow], form: IndexTable, files: Mapping[Path, Split] | None
) -> tuple[dict[Path, IndexRow], list[Problem]]:
    """Join rows and images by path or name.

    Args:
        root: The data folder.
        rows: Of the index.
        form: Its columns.
        files: The images of ``train`` and ``test`` and their splits; None where rows name paths.

    Returns:
        Image -> row, in the order of the rows, and a problem for each row or image that belongs to no other.
    """
    found: dict[Path, IndexRow] = {}
    problems: list[Problem] = []
    known = None if files is None else _by_name(root, list(files))
    strays: list[IndexRow] = []
    for row in rows:
        cell = row.cells["image"].replace("\\", "/")
        if fault := _row_fault(row, form):
            problems.append(_problem(row, form, fault))
            continue
        there = _file_of(root, cell) if known is None else known.get(cell.removeprefix("./"), [])
        if len(there) == 1 and (earlier := found.setdefault(there[0], row)) is not row:
            problems.append(_problem(row, form, f"names the image of row {earlier.line} again"))
        elif len(there) > 1:
            both = " and ".join(file.relative_to(root).as_posix() for file in there[:2])
            problems.append(_problem(row, form, f"image {cell!r} fits {both}: write paths below the data folder"))
        elif not there:
            strays.append(row)
    return found, problems + _without_partner(root, strays, form, found, files)


def _without_partner(
    root: Path,
    strays: Sequence[IndexRow],
    form: IndexTable,
    found: Mapping[Path, IndexRow],
    files: Mapping[Path, Split] | None,
) -> list[Problem]:
    """Return rows without image and images without row, each with the nearest name."""
    lone = [file for file in files or () if file not in found]
    beside = {file for folder in {file.parent for file in found} for file in folder.iterdir()} if files is None else []
    near = NearKeys(file.relative_to(root).as_posix() for file in [*lone, *beside] if file not in found)
    wanted = NearKeys(row.cells["image"] for row in strays)
    problems = []
    for row in strays:
        image = row.cells["image"]
        problems.append(_problem(row, form, f"there is no image {image!r}{near.hint(image)}", "no image"))
    for file in lone:
        relative = file.relative_to(root).as_posix()
        hint = wanted.hint(relative) or wanted.hint(file.name)
        reason, split = f"no row of this image in {form.csv}{hint}", (files or {})[file]
        problems.append(Problem(stem(file.name), split, relative, reason, kind="no row"))
    return problems


def _row_fault(row: IndexRow, form: IndexTable) -> str:
    """Return what is wrong with the cells of a row, "" if nothing."""
    if form.split is not None and row.split() is None:
        split = row.cells["split"]
        own = "; for validation write train, because prepare makes its own folds" if split[:3].lower() == "val" else ""
        return f"split {split!r} is neither train nor test{own}"
    empty = [form.columns[name] for name in ("image", "key", "group") if row.cells.get(name) == ""]
    return f"column {empty[0]!r} is empty" if empty else ""


def _problem(row: IndexRow, form: IndexTable, reason: str, kind: str = "") -> Problem:
    key = row.cells.get("key") or stem(row.cells["image"]) or f"row {row.line}"
    return Problem(key, row.split() or "train", form.csv, f"row {row.line}: {reason}", kind=kind)


def _by_name(root: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the images by path, by name and by name without ending, whichever a cell may hold."""
    found = defaultdict[str, list[Path]](list)
    for file in files:
        relative = PurePosixPath(same_spelling(file.relative_to(root).as_posix()))
        for name in dict.fromkeys((str(relative), relative.name, relative.stem)):
            found[name].append(file)
    return found


def _file_of(root: Path, cell: str) -> list[Path]:
    return [file] if (file := path_below(root, cell)) is not None and file.is_file() else []


def path_below(root: Path, cell: str) -> Path | None:
    """Return the file that a cell names, as the disk spells it; None if it does not lie below the data folder."""
    path = PurePosixPath(cell.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in cell:
        return None
    return on_disk(root / path)
