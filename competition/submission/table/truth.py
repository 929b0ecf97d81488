"""A truth of a table: in the form of the submission, or in that of the training table, whose cells are read here."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import without_picture_ending
from competition.formats.csv_files import read_columns, read_csv
from competition.metrics.tables import Targets
from competition.submission.table.layout import TableLayout
from competition.text import nearest_hint, same_spelling, shown

_REPAIR = "Correct the row, or name it under classes: in the track's YAML"


@dataclass(frozen=True)
class TruthTable:
    """The columns of a training table."""

    id_column: str
    target: str | None = None  # the column of the grade, the class, or the classes; None for a column per class
    separator: str | None = None  # between several classes in ``target``; None where there is one
    empty: str | None = None  # what a cell of ``target`` holds where there is none of the classes, beside nothing

    def columns(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Return the columns of ids and of labels."""
        return (self.id_column, *(classes if self.target is None else (self.target,)))

    def targets(self, cells: Sequence[str], classes: Sequence[str], task: Targets, where: str) -> tuple[int, ...]:
        """Return 0 or 1 per class for the cells of labels of one row.

        Raises:
            CompetitionError: A target is no 0 or 1, no class or, where one class is needed, none or several.
        """
        if self.target is None:
            found = tuple(
                _zero_or_one(cell, f"{where}, column {name!r}") for name, cell in zip(classes, cells, strict=True)
            )
            if task != "multilabel" and sum(found) != 1:
                what = f"{sum(found)} of {', '.join(classes)} are 1, and classes that exclude each other need one"
                raise CompetitionError(what, where, "Correct the row, or declare task: multilabel")
            return found
        where = f"{where}, column {self.target!r}"
        if task != "multilabel":
            number = _class_number(cells[0], classes, task, where)
            return tuple(int(number == index) for index in range(len(classes)))
        names = [name.strip() for name in cells[0].split(self.separator)]
        numbers = {_class_number(name, classes, task, where) for name in names if name not in ("", self.empty)}
        return tuple(int(index in numbers) for index in range(len(classes)))


def read_truth(
    path: Path,
    layout: TableLayout,
    table: TruthTable | None,
    classes: Sequence[str],
    task: Targets,
    submitted: Collection[str],
) -> dict[str, NDArray[np.float64]]:
    """Return id -> 0/1 (C,) of a CSV in either form.

    Args:
        path: The CSV.
        layout: Of a submission.
        table: Of the training table; None where there is none.
        classes: Of the track.
        task: How they relate.
        submitted: The ids of the submission. One that differs in an image's ending only is the same.

    Raises:
        CompetitionError: It has the columns of neither, or a cell is invalid.
    """
    header = set(read_csv(path)[0])
    if set(layout.header(classes)) <= header and not (table and table.target and table.target in header):
        truth = layout.read(path, classes)
    elif table is not None and set(table.columns(classes)) <= header:
        truth = _read_training_table(path, table, classes, task)
    else:
        wanted = ",".join(layout.header(classes)[:3])
        raise CompetitionError(f"a truth has the columns of a submission ({wanted} ...) or of the training table", path)
    for name, values in truth.items():
        if not np.isin(values, (0, 1)).all():
            raise CompetitionError(f"the truth of {name} is not 0 or 1", path)
    called = _without_ending(submitted)
    return {
        name if name in submitted else called.get(without_picture_ending(name), name): values
        for name, values in truth.items()
    }


def _without_ending(submitted: Collection[str]) -> dict[str, str]:
    """Return id without an image's ending -> id, of those that are then still different."""
    found = defaultdict[str, list[str]](list)
    for name in submitted:
        found[without_picture_ending(name)].append(name)
    return {short: names[0] for short, names in found.items() if len(names) == 1}


def _read_training_table(
    path: Path, table: TruthTable, classes: Sequence[str], task: Targets
) -> dict[str, NDArray[np.float64]]:
    truth = dict[str, NDArray[np.float64]]()
    for number, (name, *cells) in read_columns(path, table.columns(classes)):
        if name in truth:
            raise CompetitionError(f"row {number}: {table.id_column} {name!r} appears twice", path)
        truth[name] = np.array(table.targets(cells, classes, task, f"{path}, row {number}"), dtype=np.float64)
    return truth


def _zero_or_one(cell: str, where: str) -> int:
    try:
        value = float(cell)
    except ValueError:
        raise CompetitionError(f"the target {shown(cell)} is no number", where, "Write 0 or 1") from None
    if value not in (0, 1):
        raise CompetitionError(f"the target {shown(cell)} is neither 0 nor 1", where, "Write 0 or 1")
    return int(value)


def _class_number(cell: str, classes: Sequence[str], task: Targets, where: str) -> int:
    """Return the number of a class by its name; grades are compared as numbers, so that "2.0" is "2".

    Grades whose classes are words ("none", "mild") may be numbers from 0 in the file.
    """
    name = same_spelling(cell)
    if name in classes:
        return list(classes).index(name)
    if task == "ordinal" and _is_number(name) and not any(map(_is_number, classes)):
        classes = [str(number) for number in range(len(classes))]
    try:
        grade = float(cell)
        grades = [float(one) for one in classes]
    except ValueError:
        numbers = task == "ordinal" and all(map(_is_number, classes))
        kind = "is no number" if numbers else "is none of the classes"
        what = f"the target {shown(cell)} {kind}{nearest_hint(name, classes)}"
        raise CompetitionError(what, where, _REPAIR) from None
    if grade not in grades:
        what = f"the target {shown(cell)} is none of the classes {', '.join(classes)}"
        raise CompetitionError(what, where, _REPAIR)
    return grades.index(grade)


def _is_number(name: str) -> bool:
    return name.lstrip("-").replace(".", "", 1).isdigit()
