"""The form of a table of any declared layout: a sample's probabilities, 0/1 cells, grade or class."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.formats.csv_files import read_csv
from competition.masks.run_length_votes import Quorum
from competition.metrics.metric import Metric
from competition.metrics.tables import TableMetric, Targets, mean_grades, one_hot
from competition.submission.check_result import CheckResult, compare_names
from competition.submission.csv_submission import compare_order, open_csv, write_csv
from competition.submission.form import Form, Score, ScoredTable
from competition.submission.known_images import NOTHING_KNOWN, KnownImages, Truth, held_by, same_rows
from competition.submission.table.files import shortened
from competition.submission.table.form import TableDifferences
from competition.submission.table.layout import TableLayout
from competition.submission.table.truth import TruthTable, read_truth
from competition.text import few, near_misses

# Rows of classes that exclude each other sum to 1; a sum further off is no rounding.
ROUNDING = 0.01


@dataclass(frozen=True)
class ClassTableForm(Form):
    """A CSV of a declared layout."""

    item: ClassVar[str] = "sample"
    of_masks: ClassVar[bool] = False

    layout: TableLayout = field(default_factory=TableLayout)
    classes: tuple[str, ...] = ()  # of the track
    targets: Targets = "multilabel"
    truth: TruthTable | None = None  # the columns of the training table, in whose form a truth may come

    @property
    def elects(self) -> bool:
        """Return whether cells are 0 or 1."""
        return self.layout.values == "binary"

    def describe(self, classes: Sequence[str]) -> str:
        """Return the columns."""
        header = self.layout.header(classes)
        shown = ",".join(header[:3]) + (f" and {len(header) - 3} more columns" if len(header) > 3 else "")
        return f"CSV {shown} of {self.layout.values.replace('_', ' ')}, {self.layout.shape}"

    def names(self, path: Path) -> list[str]:
        """Return the sample of every row; that of a row of a long table without its class."""
        rows = [cells[0] for _, cells in read_csv(path)[1] if cells]
        if self.layout.shape == "wide" or self.layout.single:
            return rows
        return [found[0] if (found := self.layout.split(row, self.classes)) else row for row in rows]

    def write(self, path: Path, classes: Sequence[str], predictions: Iterable[tuple[str, NDArray[np.float64]]]) -> None:
        """Write the rows of each sample."""

        def rows() -> Iterator[tuple[str, ...]]:
            for name, values in predictions:
                yield from self.layout.rows(name, values, classes)

        write_csv(path, self.layout.header(classes), rows())

    def check(self, path: Path, classes: Sequence[str], images: KnownImages = NOTHING_KNOWN) -> CheckResult:
        """Check the columns, the values, and rows and their order."""
        layout = self.layout
        header = layout.header(classes)
        result, lines = open_csv(path, header)
        result.enter_scope(["form", "values"], images)
        first_row: dict[str, int] = {}
        sums, positive = dict[str, float](), dict.fromkeys(classes, 0)
        long = layout.shape == "long" and not layout.single
        for row, (name, *texts) in lines:
            if name in first_row:
                result.refuse(f"row {row}: {header[0]} {name!r} appears twice (first in row {first_row[name]})")
                continue
            first_row[name] = row
            found = layout.split(name, classes) if long else (name, "")
            if found is None:
                result.refuse(f"row {row}: {name!r} is not of the form {layout.row_id}", layout.row_id)
                continue
            cells = dict(zip((found[1],) if long else header[1:], texts, strict=True))
            faults = {column: fault for column, text in cells.items() if (fault := layout.fault(text, classes))}
            for column, fault in faults.items():
                result.refuse(f"row {row}: {column} of {found[0]} is {shortened(cells[column])}, not {fault}", column)
            if not faults:
                values = cells if long else dict(zip(classes, layout.vector(cells, classes).tolist(), strict=True))
                for of, value in values.items():
                    positive[of] += float(value) > 0.5
                    sums[found[0]] = sums.get(found[0], 0.0) + float(value)
        if lines:
            self._compare(result, list(first_row), classes, images, first_row)
        result.images = len(sums)
        result.positive_share = {column: count / max(len(sums), 1) for column, count in positive.items()}
        exclusive = self.targets != "multilabel" and layout.values == "probability"
        if exclusive and (off := [name for name, total in sums.items() if abs(total - 1) > ROUNDING]):
            result.warnings.append(f"the probabilities of {len(off)} samples do not sum to 1 ({few(off)})")
        return result

    def _compare(
        self,
        result: CheckResult,
        found: list[str],
        classes: Sequence[str],
        images: KnownImages,
        first_row: Mapping[str, int],
    ) -> None:
        if images.names is None:
            return
        expected = [row for name in images.names for row in self._row_names(name, classes)]
        compare_names(result, "rows", found, expected)
        column = self.layout.id_column
        compare_order(result, found, expected, lambda name: f"{column} {name}", first_row.__getitem__)

    def _row_names(self, name: str, classes: Sequence[str]) -> list[str]:
        return [row[0] for row in self.layout.rows(name, np.zeros(len(classes)), classes)]

    def score(self, path: Path, truth: Truth, classes: Sequence[str], images: KnownImages, metric: Metric) -> Score:
        """Score against a table in the same form, or in the form of the training table, joined by id."""
        if not isinstance(truth, Path):
            raise CompetitionError("the truth of a table is a CSV, not a folder", truth.folder)
        if not isinstance(metric, TableMetric):
            raise CompetitionError(f"{metric.label} scores masks, and this is a table", path)
        given = self.layout.read(path, classes)
        wanted = read_truth(truth, self.layout, self.truth, classes, self.targets, given)
        same_rows([(name,) for name in wanted], [(name,) for name in given], path, "not in the truth")
        answers = np.stack(list(wanted.values())).astype(np.int64)
        outputs = metric.plain(np.stack([given[name] for name in wanted]))
        score = metric.score_table(answers, outputs)
        if np.isnan(score):
            what = f"the truth has too few kinds of samples, so there is no {metric.title}"
            raise CompetitionError(what, truth, "Give a truth of more samples")
        per_class = [None if np.isnan(value) else float(value) for value in metric.class_scores(answers, outputs)]
        scored = ScoredTable(tuple(wanted), answers, outputs, metric)
        note = f"as the organiser writes it: {-score:.6f}; an error is scored negative, higher is better"
        note = note if metric.label.startswith("-") else ""
        by_class = dict(zip(classes, per_class, strict=True))
        return Score(metric.name, score, by_class, len(wanted), note=note, table=scored)

    def vote(self, paths: list[Path], election: Quorum, classes: Sequence[str], images: KnownImages, out: Path) -> int:
        """Average probabilities and grades; elect each 0/1 cell, and the class with the most weight."""
        tables = self._read_alike(paths, classes)
        names = list(tables[0])
        members = np.stack([[table[name] for name in names] for table in tables])
        shares = np.array([weight / sum(election.weights) for weight in election.weights])
        mean = np.clip(np.tensordot(shares, members, axes=1), 0, 1)  # shares sum to 1 within rounding
        whole = np.tensordot(np.array(election.weights), members, axes=1)
        voted = {
            "binary": (whole > election.more_than).astype(np.float64),
            "class": one_hot(np.argmax(whole, axis=1), len(classes)).astype(np.float64),
            "grade": one_hot(np.floor(mean_grades(mean) + 0.5).astype(np.int64), len(classes)).astype(np.float64),
        }.get(self.layout.values, mean)
        self.write(out, classes, zip(names, voted, strict=True))
        return len(names)

    def compare(self, first: Path, second: Path, classes: Sequence[str], images: KnownImages) -> TableDifferences:
        """Compare class by class, or the mean grade."""
        frames = []
        for table in self._read_alike([first, second], classes):
            values = np.stack(list(table.values()))
            graded = self.layout.values in ("grade", "mean_grade")
            columns = [self.layout.column] if graded else list(classes)
            frames.append(pd.DataFrame(mean_grades(values)[:, None] if graded else values, list(table), columns))
        change = (frames[0] - frames[1]).abs()
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = frames[0].rank().corrwith(frames[1].rank())
        differences = {"rows": (change > 0).sum(), "largest": change.max(), "rank_correlation": correlation}
        return TableDifferences(pd.DataFrame(differences))

    def _read_alike(self, paths: Sequence[Path], classes: Sequence[str]) -> list[dict[str, NDArray[np.float64]]]:
        """Read submissions of the same samples, in the order of the first."""
        tables = [self.layout.read(path, classes) for path in paths]
        every = {name: None for table in tables for name in table}
        if not every:
            raise CompetitionError("there are no rows", paths[0])
        for path, table in zip(paths, tables, strict=True):
            if missing := [name for name in every if name not in table]:
                what = f"{len(missing)} samples are missing{held_by(missing, paths, tables)} ({few(missing)})"
                raise CompetitionError(what + near_misses(dict.fromkeys(table), missing), path)
        return [{name: table[name] for name in tables[0]} for table in tables]

    def read_predictions(
        self, path: Path, classes: Sequence[str], size_of: Callable[[str], tuple[int, int]]
    ) -> dict[str, Callable[[], NDArray[np.float64]]]:
        """Open each row as probabilities."""
        return {name: partial(np.asarray, values) for name, values in self.layout.read(path, classes).items()}
