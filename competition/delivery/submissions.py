"""Submissions as files: written row by row and whole or not at all, read back by key.

Two forms: run lengths, one row per image and class (``image_name,class,rle``, or as a track's ``RunLengthSubmission``
says), and a table, one row per patient (``Index``, a probability, then 0/1 columns).
"""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.tracks.run_length_form import IMAGE_CLASS_RLE, RunLengthSubmission
from competition.workspace import read_csv, whole_file

ID_COLUMN = "Index"

SHOWN_HEADER = 60
"""Characters of a wrong first line that are shown."""

Key = tuple[str, str]
"""Image name and class."""


def write_rle_csv(
    path: Path,
    rows: Iterable[tuple[str, str, str]],
    classes: Sequence[str] = (),
    form: RunLengthSubmission = IMAGE_CLASS_RLE,
) -> None:
    """Writes a run-length submission, one row at a time: memory does not grow with the number of images.

    Args:
        path: The file to write; an old one is replaced only when the new one is whole.
        rows: Image name, class, run lengths (pixels counted from 1 in the form's order, "" for an empty mask), in the
            organiser's order: all classes of an image one after the other.
        classes: Of the track; only a form without a column of classes asks for them.
        form: The organiser's.

    Raises:
        CompetitionError: The disk is full or the folder can't be written.
    """
    _write(path, form.header(classes), _cells(rows, form))


def _cells(rows: Iterable[tuple[str, str, str]], form: RunLengthSubmission) -> Iterator[tuple[str, ...]]:
    if form.rle is None:
        for name, of_image in groupby(rows, key=itemgetter(0)):
            yield (name, *(form.write(rle) for _, _, rle in of_image))
        return
    for name, class_name, rle in rows:
        yield (name, form.write(rle)) if form.class_column is None else (name, class_name, form.write(rle))


def write_table_csv(
    path: Path, id_column: str, ids: Sequence[str], columns: Sequence[str], values: NDArray[np.floating]
) -> None:
    """Writes a table submission: the first value of a row is a probability, the others are decisions.

    Args:
        path: The file to write; an old one is replaced only when the new one is whole.
        id_column: Header of the first column ("Index").
        ids: One per row, in the organiser's order.
        columns: Headers of the values.
        values: (rows, columns) float; column 0 in [0, 1], the others 0 or 1. Probabilities are written with as many
            decimals as it takes to read the same number again, at least eight: ties that were none cost AUROC.

    Raises:
        CompetitionError: A value is NaN or out of its range, the shape does not fit, or the file can't be written.
    """
    if values.shape != (len(ids), len(columns)):
        raise CompetitionError(f"{values.shape} values for {len(ids)} rows x {len(columns)} columns", path)
    allowed = np.isin(values, (0, 1))
    allowed[:, 0] = (values[:, 0] >= 0) & (values[:, 0] <= 1)
    if not allowed.all():
        row, column = np.argwhere(~allowed)[0]
        kind = "a probability from 0 to 1" if column == 0 else "0 or 1"
        value = values[row, column]
        raise CompetitionError(f"{columns[column]} of {id_column} {ids[row]} is {value}, not {kind}", path)
    rows = (
        (name, np.format_float_positional(line[0], min_digits=8), *(str(int(value)) for value in line[1:]))
        for name, line in zip(ids, values, strict=True)
    )
    _write(path, (id_column, *columns), rows)


def read_rle_csv(
    path: Path, classes: Sequence[str] = (), form: RunLengthSubmission = IMAGE_CLASS_RLE
) -> dict[Key, str]:
    """Reads a run-length submission.

    Takes a byte order mark, Windows line ends and NaN for an empty mask, as spreadsheets and pandas write them.

    Args:
        path: CSV in the form; its columns may stand in any order, because they are joined by name.
        classes: Of the track; only a form without a column of classes asks for them.
        form: The organiser's.

    Returns:
        (image name, class) -> run lengths (pixels counted from 1 in the form's order, "" for an empty mask), in the
        order of the file.

    Raises:
        CompetitionError: The file is missing, a column is missing or too many, a row is cut, a key stands twice.
    """
    header, lines = read_csv(path)
    _positions(path, header, form.header(classes))
    found: dict[Key, str] = {}
    for number, fields in lines:
        _check_width(path, number, fields, len(header))
        row = dict(zip(header, fields, strict=True))
        for class_name, cell in form.masks(row, classes):
            key = (row[form.image], class_name)
            if key in found:
                raise CompetitionError(f"row {number}: class {class_name!r} of image {key[0]!r} stands twice", path)
            found[key] = form.read(cell, f"{path}, row {number}, class {class_name}")
    return found


def read_table_csv(path: Path, id_column: str, columns: Sequence[str]) -> pd.DataFrame:
    """Reads a table submission or a truth in the same form.

    Args:
        path: The CSV; its columns may stand in any order, because they are joined by name.
        id_column: The column that names the row ("Index"); kept as text, so that "0047" stays what it is.
        columns: The columns of numbers.

    Returns:
        float64 columns in the order of ``columns``, indexed by the id in the order of the file.

    Raises:
        CompetitionError: The file is missing, a column is missing or too many, a cell is not a number, an id stands
            twice.
    """
    header, lines = read_csv(path)
    id_at, *value_at = _positions(path, header, (id_column, *columns))
    ids: dict[str, None] = {}
    values = []
    for number, fields in lines:
        _check_width(path, number, fields, len(header))
        name = fields[id_at].strip()
        if name in ids:
            raise CompetitionError(f"row {number}: {id_column} {name!r} stands twice", path)
        ids[name] = None
        values.append([_number(path, number, column, fields[at]) for column, at in zip(columns, value_at, strict=True)])
    index = pd.Index(list(ids), name=id_column, dtype=object)
    return pd.DataFrame(np.array(values, dtype=np.float64).reshape(-1, len(columns)), index, list(columns))


def header_problem(header: Sequence[str], columns: Sequence[str]) -> str | None:
    """Says which columns are missing or too many; None where the set is right, in whatever order."""
    missing = [column for column in columns if column not in header]
    extra = [column for column in header if column not in columns]
    twice = sorted({column for column in header if header.count(column) > 1})
    parts = [
        f"{what} {', '.join(repr(name) for name in names)}"
        for what, names in (("missing", missing), ("too many", extra), ("twice", twice))
        if names
    ]
    if not parts:
        return None
    wanted = f"the columns are not {','.join(columns)}"
    if len(missing) == len(columns):
        first_line = ",".join(header)
        shown = first_line if len(first_line) <= SHOWN_HEADER else f"{first_line[:SHOWN_HEADER]}..."
        return f"{wanted}: the first line is {shown!r} (no header, or a submission to another track? See --track)"
    hint = " (a submission to another track? See --track)" if missing else ""
    hint = " (an unnamed column is a row number: write with index=False)" if "" in extra else hint
    return f"{wanted}: {'; '.join(parts)}{hint}"


def no_known_class(found: Iterable[str], classes: Sequence[str]) -> str | None:
    """Says that none of a submission's classes is the track's; None where one is, or where there are none at all."""
    names = list(dict.fromkeys(found))
    if not names or not set(names).isdisjoint(classes):
        return None
    return f"no class of it is the track's ({few(names)}; not {few(classes)}): another track? See --track"


def check_classes(found: Iterable[str], classes: Sequence[str], path: Path) -> None:
    """Refuses a submission of which no class is the track's.

    Raises:
        CompetitionError: It is one to another track.
    """
    if problem := no_known_class(found, classes):
        raise CompetitionError(problem, path)


def few(names: Sequence[str]) -> str:
    """The first five of many names, and how many more there are: a message must stay readable."""
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more} more" if more > 0 else "")


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(_outside(rows))
        file.flush()
        os.fsync(file.fileno())  # renamed before its bytes are on disk, a power cut would leave an empty file


def _outside(rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
    """Passes rows on; a file their maker can't read must not be reported as one that can't be written."""
    try:
        yield from rows
    except OSError as error:
        raise CompetitionError(
            f"a prediction for the submission can't be read ({error.strerror or error})", error.filename
        ) from error


def _positions(path: Path, header: list[str], columns: Sequence[str]) -> list[int]:
    problem = header_problem(header, columns)
    if problem is not None:
        raise CompetitionError(problem, path)
    return [header.index(column) for column in columns]


def _check_width(path: Path, number: int, fields: list[str], width: int) -> None:
    if len(fields) != width:
        raise CompetitionError(f"row {number} has {len(fields)} fields, not {width}", path)


def _number(path: Path, row: int, column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CompetitionError(f"row {row}: {column} is {text!r}, not a number", path) from error
