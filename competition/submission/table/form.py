"""The form of a table: a row per patient; scored against a truth in the same form."""

import math
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import find_files
from competition.formats.csv_files import read_csv
from competition.masks.run_length_votes import Quorum
from competition.metrics.metric import Metric
from competition.metrics.tables import score_aneurysm
from competition.submission.check_result import CheckResult, compare_names
from competition.submission.csv_submission import compare_order, open_csv
from competition.submission.form import ComparisonTable, Form, Score
from competition.submission.known_images import NOTHING_KNOWN, KnownImages, Truth, held_by, same_rows
from competition.submission.table.files import (
    ID_COLUMN,
    number_in,
    read_table_csv,
    shortened,
    without_zeros,
    write_table_csv,
)
from competition.text import few, near_misses


@dataclass(frozen=True)
class TableDifferences:
    """Two tables side by side."""

    # one row per class: rows that differ, the largest difference, and Spearman's rank correlation (NaN where one of the
    # columns is constant)
    columns: pd.DataFrame

    def figures(self) -> dict[str, Any]:
        """Return rows_that_differ and per_class."""
        per_class = {str(name): int(rows) for name, rows in self.columns.rows.items()}
        return {"rows_that_differ": int(self.columns.rows.max()), "per_class": per_class}

    def tables(self) -> list[ComparisonTable]:
        """Return the columns that differ."""
        changed = self.columns[self.columns.rows > 0]
        if not len(changed):
            return []
        headers = ["class", "rows", "largest difference", "rank correlation"]
        rows = changed.round(4).reset_index().to_numpy().tolist()
        return [ComparisonTable("columns that differ", headers, rows)]

    def summary(self) -> str:
        """Return the number of columns that differ."""
        return f"{(self.columns.rows > 0).sum()} of {len(self.columns)} columns differ"


@dataclass(frozen=True)
class TableForm(Form):
    """A CSV of ``Index``, a probability, and columns of 0 and 1."""

    item: ClassVar[str] = "patient"
    of_masks: ClassVar[bool] = False

    def describe(self, classes: Sequence[str]) -> str:
        """Return the first columns."""
        return f"CSV {ID_COLUMN},{classes[0]} and {len(classes) - 1} more columns of 0 and 1"

    def name_in_score(self, image_name: str) -> str:
        """Return an id without leading zeros, which spreadsheets and pandas drop."""
        return without_zeros(image_name)

    def write(self, path: Path, classes: Sequence[str], predictions: Iterable[tuple[str, NDArray[np.float64]]]) -> None:
        """Write a row per patient."""
        ids, rows = zip(*predictions, strict=True)
        write_table_csv(path, ids, classes, np.stack(rows))

    def check(self, path: Path, classes: Sequence[str], images: KnownImages = NOTHING_KNOWN) -> CheckResult:
        """Check the columns and their order, the values, and the order of the rows."""
        result, lines = open_csv(path, (ID_COLUMN, *classes))
        result.enter_scope(["form", "values"], images)
        if not lines:
            return result
        first_row: dict[str, int] = {}
        positive = dict.fromkeys(classes, 0)
        probabilities = set()
        for row, (name, *cells) in lines:
            if name in first_row:
                result.refuse(f"row {row}: {ID_COLUMN} {name!r} appears twice (first in row {first_row[name]})")
                continue
            first_row[name] = row
            for position, (column, text) in enumerate(zip(classes, cells, strict=True)):
                value = number_in(text) if position == 0 or text in ("0", "1") else None
                if value is None or not 0 <= value <= 1:
                    kind = "a number from 0 to 1" if position == 0 else "the integer 0 or 1"
                    result.refuse(f"row {row}: {column} of {ID_COLUMN} {name} is {shortened(text)}, not {kind}", kind)
                    continue
                positive[column] += value > 0.5
                if position == 0:
                    probabilities.add(value)
        found = list(first_row)
        result.images = len(found)
        result.positive_share = {column: count / max(len(found), 1) for column, count in positive.items()}
        if images.names is not None:
            compare_names(result, "rows", found, images.names)
            compare_order(result, found, images.names, lambda name: f"{ID_COLUMN} {name}", first_row.__getitem__)
        if len(found) > 1 and len(probabilities) == 1:
            result.warnings.append(f"{classes[0]} is {probabilities.pop():g} in every row: an AUROC of 0.5")
        return result

    def score(self, path: Path, truth: Truth, classes: Sequence[str], images: KnownImages, metric: Metric) -> Score:
        """Return the AUROC of the first column, with the accuracy over the others beside it."""
        file = truth if isinstance(truth, Path) else _table_in(truth.folder, classes)
        return score_table(path, read_table_csv(file, classes), classes)

    def vote(self, paths: list[Path], election: Quorum, classes: Sequence[str], images: KnownImages, out: Path) -> int:
        """Average the probability and elect each column of 0 and 1."""
        patients, values = vote_on_tables(paths, classes, election)
        write_table_csv(out, patients, classes, values)
        return len(patients)

    def compare(self, first: Path, second: Path, classes: Sequence[str], images: KnownImages) -> TableDifferences:
        """Compare column by column."""
        a, b = read_tables_alike([first, second], classes)
        change = (a - b).abs()
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = a.rank().corrwith(b.rank())
        columns = {"rows": (change > 0).sum(), "largest": change.max(), "rank_correlation": correlation}
        return TableDifferences(pd.DataFrame(columns))

    def read_predictions(
        self, path: Path, classes: Sequence[str], size_of: Callable[[str], tuple[int, int]]
    ) -> dict[str, Callable[[], NDArray[np.float64]]]:
        """Open each row as probabilities."""
        table = read_table_csv(path, classes)
        values = table.to_numpy(np.float64)
        return {str(name): partial(values.__getitem__, row) for row, name in enumerate(table.index)}


def _table_in(folder: Path, classes: Sequence[str]) -> Path:
    """Return the one CSV in submission form below a folder."""
    columns = {ID_COLUMN, *classes}
    found = [path for path in find_files(folder, "**/*.csv") if columns <= set(read_csv(path)[0])]
    if len(found) != 1:
        names = ": " + ", ".join(str(path.relative_to(folder)) for path in found) if found else ""
        what = f"{len(found)} files with the columns {ID_COLUMN},{classes[0]},...{names}"
        raise CompetitionError(what, folder, "Name the one that is the truth")
    return found[0]


def read_tables_alike(paths: Sequence[Path], classes: Sequence[str]) -> list[pd.DataFrame]:
    """Read submissions that are to be joined; all have the same patients, in the order of the first.

    Raises:
        CompetitionError: A file is no submission, lacks a patient that another one has, or holds an invalid value.
    """
    tables = [read_table_csv(path, classes) for path in paths]
    every = {str(name) for table in tables for name in table.index}
    if not every:
        raise CompetitionError("there are no rows", paths[0])
    for path, table in zip(paths, tables, strict=True):
        here = {str(name): None for name in table.index}
        if missing := sorted(every - here.keys()):
            holder = held_by(missing, paths, [set(map(str, other.index)) for other in tables])
            hint = near_misses(here, missing)
            raise CompetitionError(f"{len(missing)} patients are missing{holder} ({few(missing)}){hint}", path)
        repair = f"See ./run.sh check {shlex.quote(str(path))}"
        if not table[classes[0]].between(0, 1).all():  # NaN is not between them
            raise CompetitionError(f"{classes[0]} is not a probability from 0 to 1", path, repair)
        if not np.isin(table[list(classes[1:])], (0, 1)).all():
            raise CompetitionError("a location is neither 0 nor 1", path, repair)
    return [table.loc[tables[0].index, list(classes)] for table in tables]


def vote_on_tables(
    paths: Sequence[Path], classes: Sequence[str], election: Quorum
) -> tuple[list[str], NDArray[np.float64]]:
    """Return the weighted mean of the probability and the elected 0/1 of the other columns.

    Returns:
        The patients in the order of the first file, and their values (n, C).

    Raises:
        CompetitionError: As ``read_tables_alike``.
    """
    tables = read_tables_alike(paths, classes)
    patients = [str(name) for name in tables[0].index]
    values = np.stack([table.to_numpy(np.float64) for table in tables])
    shares = np.array([weight / sum(election.weights) for weight in election.weights])
    sums = np.tensordot(np.array(election.weights), values[:, :, 1:].astype(np.int64), axes=1)
    probability = np.clip(np.tensordot(shares, values[:, :, 0], axes=1), 0, 1)  # shares sum to 1 within rounding
    return patients, np.column_stack([probability, sums > election.more_than])


def score_table(submission: Path, truth: pd.DataFrame, classes: Sequence[str]) -> Score:
    """Return the AUROC of the first column and the accuracy over the others, as the aneurysm organiser scores.

    The organiser joins by position; this joins by id, which is the same for a valid submission. Ids that differ only in
    leading zeros ("0047", "47") are one patient, because spreadsheets and pandas drop them.

    Args:
        submission: CSV of Index and the classes.
        truth: 0/1 columns of the classes, indexed by id, in any order.
        classes: The probability's column, then those of the decisions.

    Raises:
        CompetitionError: An id is missing on either side, a value is NaN or the truth is not 0 or 1, or the truth has
            no positive or no negative at all.
    """
    predicted = _by_number(read_table_csv(submission, classes), submission)
    truth = _by_number(truth, "the truth")
    same_rows([(name,) for name in truth.index], [(name,) for name in predicted.index], submission, "not in the truth")
    outputs = predicted.loc[truth.index, list(classes)].to_numpy(np.float64)
    answers = truth[list(classes)].to_numpy(np.float64)
    if not np.isfinite(outputs).all():
        row, column = np.argwhere(~np.isfinite(outputs))[0]
        what = f"{classes[column]} of {ID_COLUMN} {truth.index[row]} is not a finite number"
        raise CompetitionError(what, submission)
    if not np.isin(answers, (0, 1)).all():
        row, column = np.argwhere(~np.isin(answers, (0, 1)))[0]
        value = answers[row, column]
        what = f"the truth of {classes[column]} of {ID_COLUMN} {truth.index[row]} is {value}, not 0 or 1"
        raise CompetitionError(what)
    if len(set(answers[:, 0])) < 2:
        what = f"the truth has only one kind of {classes[0]}, so there is no AUROC (zeros in test.csv are placeholders)"
        raise CompetitionError(what)
    result = score_aneurysm(answers.astype(np.int64), outputs)
    per_class = {
        name: None if math.isnan(value) else float(value)
        for name, value in zip(classes, (result.auroc, *result.location_aurocs), strict=True)
    }
    beside = {name: getattr(result, name) for name in ("accuracy", "all_zero_accuracy", "cells_gained")}
    ranked = {
        str(name): (int(answer), float(prob))
        for name, answer, prob in zip(truth.index, answers[:, 0], outputs[:, 0], strict=True)
    }
    note = (
        f"accuracy of the locations {result.accuracy:.6f}, all zero would give {result.all_zero_accuracy:.6f}: "
        f"{result.cells_gained:+.0f} cells gained"
    )
    return Score("auroc", float(result.auroc), per_class, len(truth), beside, ranked=ranked, note=note)


def _by_number(frame: pd.DataFrame, where: Path | str) -> pd.DataFrame:
    """Return the same rows, ids without leading zeros."""
    plain = [without_zeros(str(name)) for name in frame.index]
    twice = sorted(name for name, count in Counter(plain).items() if count > 1)
    if twice:
        raise CompetitionError(f"{ID_COLUMN} {few(twice)} appears twice, once with leading zeros", where)
    return frame.set_axis(plain, axis="index")
