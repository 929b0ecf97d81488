"""The official sample submission: the columns, the ids and their order that the organiser wants.

A form that knows it writes in its order, and checks against it, whatever the ids are made of. ``sample:`` in the YAML
of a track names the file.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from competition.errors import CompetitionError
from competition.file_listing import is_picture
from competition.formats.csv_files import read_csv
from competition.submission.check_result import CheckResult
from competition.submission.csv_submission import open_csv
from competition.text import counted, few, near_misses


@dataclass(frozen=True)
class OfficialSample:
    """A sample submission."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]  # the cells of each row

    @property
    def digest(self) -> str:
        """Return a checksum of columns and rows."""
        return hashlib.sha256(repr((self.columns, self.rows)).encode()).hexdigest()[:12]

    def ids(self, columns: Sequence[str]) -> list[str]:
        """Return the cells of some columns of each row, joined by a blank, in the order of the file.

        Raises:
            CompetitionError: A column is missing.
        """
        if missing := [name for name in columns if name not in self.columns]:
            what = f"the sample submission has no column {missing[0]!r}, but {', '.join(self.columns)}"
            raise CompetitionError(what, self.path, "Fix submission: in the track's YAML file")
        places = [self.columns.index(name) for name in columns]
        return list(dict.fromkeys(" ".join(row[place] for place in places) for row in self.rows))

    def check_columns(self, expected: Sequence[str]) -> None:
        """Reject other columns than the declared form writes.

        Raises:
            CompetitionError: A column differs, or their order does.
        """
        if self.columns != tuple(expected):
            what = f"its columns are {','.join(self.columns)}, and submission: writes {','.join(expected)}"
            raise CompetitionError(what, self.path, "Fix submission: or classes: in the track's YAML file")

    def column(self, name: str) -> list[str]:
        """Return the cells of one column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def copied_columns(self, header: Sequence[str]) -> list[str]:
        """Return the columns that a form with these columns does not write, such as the height of an image."""
        return [name for name in self.columns if name not in header]

    def copied_cells(self, header: Sequence[str], id_columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return id -> cells of ``copied_columns``, of the first row of an id."""
        places = [self.columns.index(name) for name in self.copied_columns(header)]
        cells: dict[str, tuple[str, ...]] = {}
        for row in self.rows:
            cells.setdefault(_id(row, self.columns, id_columns), tuple(row[place] for place in places))
        return cells

    def check_copied(self, header: Sequence[str], id_columns: Sequence[str], several_rows: bool) -> None:
        """Reject columns to copy that are no property of an id.

        Args:
            header: The columns that are not copied.
            id_columns: Those of the id.
            several_rows: Whether an id may be written in several rows.

        Raises:
            CompetitionError: Rows of one id differ in such a column, or it numbers rows whose number is not known.
        """
        columns, first = self.copied_columns(header), self.copied_cells(header, id_columns)
        for row in self.rows if columns else ():
            one = _id(row, self.columns, id_columns)
            for name, cell in zip(columns, first[one], strict=True):
                if (other := row[self.columns.index(name)]) != cell:
                    what = f"column {name!r} is {cell!r} and {other!r} in rows of {one!r}, so it can't be copied"
                    repair = f"If it holds classes, images or run lengths, name it: submission: {{class: {name}, ...}}"
                    raise CompetitionError(what, self.path, repair)
        for name in columns if several_rows else ():
            cells = self.column(name)
            if len(cells) > 1 and cells in ([str(number + start) for number in range(len(cells))] for start in (0, 1)):
                what = f"column {name!r} numbers the rows, and how many there will be is not known"
                raise CompetitionError(what, self.path, "Remove the column from a copy of the file, and name that")

    def arrange(
        self, rows: Iterable[Sequence[str]], header: Sequence[str], id_columns: Sequence[str]
    ) -> Iterator[tuple[str, ...]]:
        """Yield rows whose cells are in the order of ``header``, in the order of the sample's ids and columns.

        Rows of one id, such as the objects of an image, stay together in their own order. Columns that ``header`` lacks
        are copied from the sample.

        Raises:
            CompetitionError: An id is missing, or one is not in the sample, with the nearest name.
        """
        by_id: dict[str, list[Sequence[str]]] = {}
        for row in rows:
            by_id.setdefault(_id(row, header, id_columns), []).append(row)
        wanted = self.ids(id_columns)
        if problem := other_ids(list(by_id), wanted):
            raise CompetitionError(f"the ids are not those of the sample submission: {problem}", self.path)
        copied = self.copied_cells(header, id_columns)
        places = [(*header, *self.copied_columns(header)).index(name) for name in self.columns]
        for one in wanted:
            for row in by_id[one]:
                cells = (*row, *copied[one])
                yield tuple(cells[place] for place in places)

    def reorder(self, lines: Iterable[tuple[int, list[str]]], header: Sequence[str]) -> list[tuple[int, list[str]]]:
        """Return numbered rows of a file with the sample's columns, only the cells of ``header``, in its order."""
        places = [self.columns.index(name) for name in header]
        return [(number, [cells[place] for place in places]) for number, cells in lines]

    def both_ids(
        self, lines: Iterable[tuple[int, list[str]]], id_columns: Sequence[str], header: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        """Return the ids of numbered rows, each once, and those of the sample."""
        found = dict.fromkeys(_id(cells, header, id_columns) for _, cells in lines)
        return list(found), self.ids(id_columns)

    def has_endings(self, column: str) -> bool:
        """Return whether the ids of a column are file names with the ending of a picture."""
        return all(is_picture(cell) for cell in self.column(column))


def _id(cells: Sequence[str], header: Sequence[str], id_columns: Sequence[str]) -> str:
    return " ".join(cells[header.index(name)] for name in id_columns)


def read_sample(path: Path) -> OfficialSample:
    """Read a sample submission; a file is read once until it changes.

    Raises:
        CompetitionError: It is missing, no CSV, has no row, or a row has more or fewer cells than the header.
    """
    status = path.stat() if path.exists() else None
    return _read(path, status and (status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=4)
def _read(path: Path, stamp: tuple[int, int] | None) -> OfficialSample:
    header, lines = read_csv(path)
    columns = tuple(name.strip() for name in header)
    for number, cells in lines:
        if len(cells) != len(columns):
            raise CompetitionError(f"row {number} has {len(cells)} cells, not {len(columns)}", path)
    if not lines:
        raise CompetitionError("the sample submission has no row", path)
    return OfficialSample(path, columns, tuple(tuple(cells) for _, cells in lines))


def open_checked_csv(
    path: Path, header: Sequence[str], id_columns: Sequence[str], sample: OfficialSample | None, if_more: str = ""
) -> tuple[CheckResult, list[tuple[int, list[str]]]]:
    """Read a CSV for a check, as ``open_csv``; its columns are in the order of the sample, if there is one.

    Other cells than the sample's in a column that is copied from it are recorded. ``if_more`` as of ``open_csv``.

    Returns:
        The result, and the numbered rows with their cells in the order of ``header``.
    """
    if sample is None:
        return open_csv(path, header, if_more)
    result, lines = open_csv(path, sample.columns)
    columns = sample.copied_columns(header)
    if not columns or not lines:
        return result, sample.reorder(lines, header)
    result.checked.append("copied columns")
    places, wanted = [sample.columns.index(name) for name in columns], sample.copied_cells(header, id_columns)
    for number, cells in lines:
        one = _id(cells, sample.columns, id_columns)
        for name, place, cell in zip(columns, places, wanted.get(one, ()), strict=False):  # others: see check_ids
            if not _same_value(cells[place], cell):
                other = f"row {number}: {name} of {one} is {cells[place]!r}, not {cell!r} as in {sample.path.name}"
                result.refuse(other, f"copied {name}")
    return result, sample.reorder(lines, header)


def _same_value(cell: str, other: str) -> bool:
    """Return whether two cells are equal as text or as numbers: pandas writes 512 as 512.0."""
    if cell == other:
        return True
    with suppress(ValueError):
        return float(cell) == float(other)
    return False


def check_ids(result: CheckResult, found: Sequence[str], wanted: Sequence[str], sample: OfficialSample) -> bool:
    """Record ids that are missing or not in the sample, and the first one in another place.

    Returns:
        Whether they are the same, in any order.
    """
    if problem := other_ids(found, wanted):
        result.refuse(f"the ids are not those of {sample.path.name}: {problem}")
        return False
    different = [
        (place, one, other) for place, (one, other) in enumerate(zip(found, wanted, strict=True)) if one != other
    ]
    if different:
        place, one, other = different[0]
        result.refuse(
            f"the ids are in another order than in {sample.path.name}: number {place + 1} is {one!r}, not {other!r}"
        )
    return True


def _only_in_one(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what is only in the first and what is only in the second, in their order."""
    in_first, in_second = set(first), set(second)
    return [one for one in first if one not in in_second], [one for one in second if one not in in_first]


def other_test_images(names: Sequence[str], ids: Sequence[str], sample: OfficialSample) -> CompetitionError | None:
    """Return an error if the ids that test images will get are not those of the sample; None if they are."""
    lost, strange = _only_in_one(ids, names)
    parts = [f"has {counted(len(lost), 'id')} without a test image ({few(lost)})"] * bool(lost)
    parts += [f"lacks {counted(len(strange), 'id')} of test images ({few(strange)})"] * bool(strange)
    if not parts:
        return None
    what = f"the sample submission {' and '.join(parts)}{near_misses(strange, lost)}"
    repair = "If both belong to this competition, fix test:, key: or submission: in the track's YAML file"
    return CompetitionError(what, sample.path, repair)


def other_ids(found: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return which ids are missing and which are unknown, with the nearest name; None where all are the same."""
    missing, unknown = _only_in_one(wanted, found)
    parts = [f"{len(missing)} are missing ({few(missing)})"] * bool(missing)
    parts += [f"{len(unknown)} are unknown ({few(unknown)})"] * bool(unknown)
    return " and ".join(parts) + near_misses(unknown, missing) if parts else None
