"""Tables as files: one row per patient, ``Index``, a probability, then columns of 0 and 1."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.formats.csv_files import read_columns
from competition.submission.csv_submission import write_csv

ID_COLUMN = "Index"

SHOWN_CELL = 40
"""Characters of a wrong cell that are shown."""

# pandas writes a missing number as "nan" or "NaN"; the range of numbers is checked elsewhere.
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE | re.ASCII
)


def write_table_csv(path: Path, ids: Sequence[str], columns: Sequence[str], values: NDArray[np.floating]) -> None:
    """Write a submission: the first value of a row is a probability in [0, 1], the others are decisions, 0 or 1.

    Probabilities are written with all the decimals that identify the number, at least eight, because ties from rounding
    cost AUROC. An old file is replaced only when the new one is whole.

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
        raise CompetitionError(f"{columns[column]} of {ID_COLUMN} {ids[row]} is {value}, not {kind}", path)
    rows = (
        (name, np.format_float_positional(line[0], min_digits=8), *(str(int(value)) for value in line[1:]))
        for name, line in zip(ids, values, strict=True)
    )
    write_csv(path, (ID_COLUMN, *columns), rows)


def read_table_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a submission or a truth in the same form; its columns may come in any order, with others beside them.

    Returns float64 columns in the order of ``columns``, indexed by the id as text in the order of the file. Raises
    CompetitionError: the file or a column is missing, a cell is not a number, an id appears twice.
    """
    ids: dict[str, None] = {}
    values = []
    for number, (name, *cells) in read_columns(path, (ID_COLUMN, *columns)):
        if name in ids:
            raise CompetitionError(f"row {number}: {ID_COLUMN} {name!r} appears twice", path)
        ids[name] = None
        values.append([_number(path, number, column, text) for column, text in zip(columns, cells, strict=True)])
    index = pd.Index(list(ids), name=ID_COLUMN, dtype=object)
    return pd.DataFrame(np.array(values, dtype=np.float64).reshape(-1, len(columns)), index, list(columns))


def number_in(text: str) -> float | None:
    """Return the number in a cell, or None; unlike Python, it accepts ASCII digits only and no "0_1"."""
    return float(text) if _NUMBER.fullmatch(text) else None


def without_zeros(name: str) -> str:
    """Return an id without the leading zeros that spreadsheets and pandas drop; other text is returned unchanged."""
    return name.lstrip("0") or "0" if name.isascii() and name.isdigit() else name


def shortened(text: str) -> str:
    """Return a cell in quotes, at most ``SHOWN_CELL`` characters of it."""
    return repr(text if len(text) <= SHOWN_CELL else f"{text[:SHOWN_CELL]}...")


def _number(path: Path, row: int, column: str, text: str) -> float:
    value = number_in(text)
    if value is None:
        raise CompetitionError(f"row {row}: {column} is {shortened(text)}, not a number", path)
    return value
