"""The tables of the aneurysm track: an Index, Aneurysm and 21 locations per patient."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from competition.errors import CompetitionError
from competition.formats.csv_files import read_csv
from competition.text import shown
from competition.tracks.track import Split


@dataclass(frozen=True)
class Row:
    """A patient in the CSV: Index as written and as a number, and a 0/1 per class (test: unknown)."""

    written: str
    index: int
    targets: tuple[int, ...] | None


def read_table(path: Path, split: Split, classes: Sequence[str]) -> list[Row]:
    """Read the CSV of a split, columns Index and one per class in any order; test values are placeholders, not read.

    Raises:
        CompetitionError: It is no CSV, a column is missing, unknown or named twice, or a row is invalid.
    """
    names, lines = read_csv(path)
    header = [name.strip() for name in names]
    for name in ("Index", *classes):
        if header.count(name) != 1:
            raise CompetitionError(f"column {name!r} is {'named twice' if name in header else 'missing'}", path)
    unknown = sorted(set(header) - {"Index", *classes})
    if unknown:
        raise CompetitionError(f"unknown column {unknown[0]!r}", path, "Keep Index, Aneurysm and the 21 locations")
    rows: dict[int, Row] = {}
    for number, line in lines:
        row = _read_row(header, line, split, classes, f"{path}, row {number}")
        if row.index in rows:
            raise CompetitionError(f"Index {row.written} appears twice", f"{path}, row {number}")
        rows[row.index] = row
    return list(rows.values())


def _read_row(header: list[str], line: list[str], split: Split, classes: Sequence[str], where: str) -> Row:
    if len(line) != len(header):
        raise CompetitionError(f"{len(line)} values for {len(header)} columns", where)
    values = {name: value.strip() for name, value in zip(header, line, strict=True)}
    written = values["Index"]
    if not re.fullmatch("[0-9]{1,9}", written):
        whole = re.fullmatch(r"([0-9]{1,9})\.0+", written)
        repair = f"Write {whole[1]} (pandas writes .0 after numbers of a column with empty cells)" if whole else None
        raise CompetitionError(f"Index {shown(written)} is not a number of at most nine digits", where, repair)
    if split == "test":
        return Row(written, int(written), None)  # the zeros of test.csv are placeholders, not truth
    for name in classes:
        if values[name] not in ("0", "1"):
            raise CompetitionError(f"value {values[name]!r} is neither 0 nor 1", f"{where}, column {name}")
    return Row(written, int(written), tuple(int(values[name]) for name in classes))
