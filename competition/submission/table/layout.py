"""The layout of a table: which cells hold what, and how rows of a file become a matrix (n, C) and back.

Between files a table is always a matrix of C classes: probabilities, 0/1 cells, or one-hot rows. A grade is the number
of its class; a mean grade of 1.25 is three quarters of grade 1 and one of grade 2, whose mean it is.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.formats.csv_files import read_columns
from competition.submission.table.files import number_in, shortened
from competition.text import nearest_hint

Shape = Literal["wide", "long"]
Values = Literal["probability", "binary", "grade", "mean_grade", "class"]


@dataclass(frozen=True)
class TableLayout:
    """The columns of a table, and what its cells hold."""

    id_column: str = "id"
    shape: Shape = "wide"  # a column per class, or a row per sample and class
    values: Values = "probability"
    column: str = "prediction"  # of the values, where there is one: long, or a grade or class
    row_id: str = "{key}_{class}"  # of a long table, how a row is called

    @property
    def single(self) -> bool:
        """Return whether a sample has one cell: a grade or the name of a class."""
        return self.values in ("grade", "mean_grade", "class")

    def header(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Return all columns."""
        one = self.single or self.shape == "long"
        return (self.id_column, *((self.column,) if one else classes))

    def rows(self, name: str, values: NDArray[np.float64], classes: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Yield the rows of a sample with values (C,).

        Raises:
            CompetitionError: A value is NaN or out of its range.
        """
        if not ((values >= 0) & (values <= 1)).all():
            position = int(np.argmin((values >= 0) & (values <= 1)))
            raise CompetitionError(f"{classes[position]} of {name} is {values[position]}, not from 0 to 1")
        if self.single:
            yield name, self._single_cell(values, classes)
            return
        cells = [self._cell(value) for value in values]
        if self.shape == "wide":
            yield (name, *cells)
            return
        for of, cell in zip(classes, cells, strict=True):
            yield self.row_id.replace("{key}", name).replace("{class}", of), cell

    def _cell(self, value: float) -> str:
        # All decimals that identify the number, because ties from rounding cost AUROC.
        return str(int(value > 0.5)) if self.values == "binary" else np.format_float_positional(value, min_digits=8)

    def _single_cell(self, values: NDArray[np.float64], classes: Sequence[str]) -> str:
        if self.values == "mean_grade":
            return np.format_float_positional(float(values @ np.arange(len(values))), min_digits=4)
        best = int(np.argmax(values))
        return str(best) if self.values == "grade" else classes[best]

    def fault(self, text: str, classes: Sequence[str]) -> str | None:
        """Return what a cell should be; None if it is."""
        if self.values == "class":
            return None if text in classes else f"one of {', '.join(classes)}{nearest_hint(text, list(classes))}"
        value, highest = number_in(text), len(classes) - 1
        if self.values == "grade":
            right = value is not None and value == np.floor(value) and 0 <= value <= highest
            return None if right else f"a whole number from 0 to {highest}"
        if self.values == "mean_grade":
            return None if value is not None and 0 <= value <= highest else f"a number from 0 to {highest}"
        if self.values == "binary":
            return None if value in (0, 1) else "0 or 1"
        return None if value is not None and 0 <= value <= 1 else "a number from 0 to 1"

    def split(self, row: str, classes: Sequence[str]) -> tuple[str, str] | None:
        """Return sample and class of a row of a long table; None if no class fits. Of several classes the longest."""
        names = "|".join(re.escape(name) for name in sorted(classes, key=len, reverse=True))
        pattern = re.escape(self.row_id).replace(r"\{key\}", "(?P<key>.+?)").replace(r"\{class\}", f"(?P<of>{names})")
        found = re.fullmatch(pattern, row)
        return None if found is None else (found["key"], found["of"])

    def vector(self, cells: Mapping[str, str], classes: Sequence[str]) -> NDArray[np.float64]:
        """Return values (C,) of a sample's valid cells, by class, or of ``column``."""
        if not self.single:
            return np.array([float(cells[name]) for name in classes])
        text = cells[self.column]
        if self.values == "class":
            return np.asarray(np.eye(len(classes))[list(classes).index(text)])
        grade = float(text)
        low = min(int(grade), len(classes) - 2)
        values = np.zeros(len(classes))
        values[low], values[low + 1] = 1 - (grade - low), grade - low
        return values

    def read(self, path: Path, classes: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Read a whole table: sample -> values (C,), in the order of the file.

        Raises:
            CompetitionError: The file or a column is missing, a cell is invalid, or a row is missing or twice.
        """
        header, cells = self.header(classes), dict[str, dict[str, str]]()
        for number, (row, *texts) in read_columns(path, header):
            key, columns = row, header[1:]
            if self.shape == "long" and not self.single:
                found = self.split(row, classes)
                if found is None:
                    raise CompetitionError(f"row {number}: {row!r} is not of the form {self.row_id}", path)
                key, columns = found[0], (found[1],)
            own = cells.setdefault(key, {})
            for column, text in zip(columns, texts, strict=True):
                if (wanted := self.fault(text, classes)) is not None:
                    raise CompetitionError(f"row {number}: {column} is {shortened(text)}, not {wanted}", path)
                if column in own:
                    raise CompetitionError(f"row {number}: {self.id_column} {row!r} appears twice", path)
                own[column] = text
        needed = set(classes) if not self.single else {self.column}
        for key, own in cells.items():
            if missing := needed - set(own):
                raise CompetitionError(f"{key} has no row of {min(missing)}", path)
        return {key: self.vector(own, classes) for key, own in cells.items()}
