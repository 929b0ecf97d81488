"""Submissions as files: written row by row and whole or not at all, read back by key.

Two forms: run lengths, one row per image and class (``image_name,class,rle``, or as a track's ``RunLengthSubmission``
says), and a table, one row per patient (``Index``, a probability, then 0/1 columns).
"""

import csv
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.files import whole_file
from competition.formats.named_columns import read_columns
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, NO_MASK, RunLengthSubmission
from competition.submission.run_lengths.rows import Key, Row, masks_by_key, read_rows
from competition.text import few

ID_COLUMN = "Index"

SHOWN_CELL = 40
"""Characters of a wrong cell that are shown."""

# pandas writes a missing number as "nan" or "NaN"; that it is none of those that are wanted is judged elsewhere.
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE | re.ASCII
)


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
        path: CSV in the form; its columns may come in any order, with others beside them, because they are joined by
            name.
        classes: Of the track; only a form without a column of classes asks for them.
        form: The organiser's.

    Returns:
        (image name, class) -> run lengths (pixels counted from 1 in the form's order, "" for an empty mask), in the
        order of the file.

    Raises:
        CompetitionError: The file or a column is missing, a row is cut, or an image and class has two rows where the
            form allows one.
    """
    return masks_by_key(_texts(path, classes, form, truth=False), path, form.several_rows)


def read_truth_csv(
    path: Path, classes: Sequence[str] = (), form: RunLengthSubmission = IMAGE_CLASS_RLE
) -> dict[Key, str]:
    """Reads a truth in the form of a submission, by the rule that prepare reads training masks by.

    Several rows of an image and class, one per object, are joined, and no mask is written as -1, NaN or an empty cell.

    Args:
        path: The CSV.
        classes: As in ``read_rle_csv``.
        form: As in ``read_rle_csv``.

    Returns:
        As ``read_rle_csv``.

    Raises:
        CompetitionError: The file or a column is missing, a row is cut or appears twice, or run lengths are malformed.
    """
    return masks_by_key(_texts(path, classes, form, truth=True), path, several=True)


def _texts(path: Path, classes: Sequence[str], form: RunLengthSubmission, truth: bool) -> Iterator[Row]:
    """The rows of a file, their run lengths counted from pixel 1 and "" for no mask."""
    for row in read_rows(path, form, classes):
        where = "" if form.plain else f"{path}, row {row.line}, class {row.class_name}"
        rle = "" if truth and row.rle in NO_MASK else form.read(row.rle, where)
        yield row if rle == row.rle else row._replace(rle=rle)


def read_table_csv(path: Path, id_column: str, columns: Sequence[str]) -> pd.DataFrame:
    """Reads a table submission or a truth in the same form.

    Args:
        path: The CSV; its columns may come in any order, with others beside them, because they are joined by name.
        id_column: The column that names the row ("Index"); kept as text, so that "0047" stays what it is.
        columns: The columns of numbers.

    Returns:
        float64 columns in the order of ``columns``, indexed by the id in the order of the file.

    Raises:
        CompetitionError: The file or a column is missing, a cell is not a number, an id appears twice.
    """
    ids: dict[str, None] = {}
    values = []
    for number, (name, *cells) in read_columns(path, (id_column, *columns)):
        if name in ids:
            raise CompetitionError(f"row {number}: {id_column} {name!r} appears twice", path)
        ids[name] = None
        values.append([_number(path, number, column, text) for column, text in zip(columns, cells, strict=True)])
    index = pd.Index(list(ids), name=id_column, dtype=object)
    return pd.DataFrame(np.array(values, dtype=np.float64).reshape(-1, len(columns)), index, list(columns))


def number_in(text: str) -> float | None:
    """Returns the number that a cell of a table holds, or None.

    A decimal number in ASCII, as every program reads it: not "0_1" and no other alphabet's digits, which Python takes.
    """
    return float(text) if _NUMBER.fullmatch(text) else None


def without_zeros(name: str) -> str:
    """Returns an id without the leading zeros that spreadsheets and pandas drop; one that is no number stays."""
    return name.lstrip("0") or "0" if name.isascii() and name.isdigit() else name


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


def shortened(text: str) -> str:
    """Returns a cell in quotes, cut where it is long: a message must stay readable."""
    return repr(text if len(text) <= SHOWN_CELL else f"{text[:SHOWN_CELL]}...")


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


def _number(path: Path, row: int, column: str, text: str) -> float:
    value = number_in(text)
    if value is None:
        raise CompetitionError(f"row {row}: {column} is {shortened(text)}, not a number", path)
    return value
