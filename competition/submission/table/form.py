"""The form of a table: a row per patient."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import find_files
from competition.formats.csv_files import read_csv
from competition.masks.run_length_votes import Quorum
from competition.metrics.metric import Metric
from competition.submission.check_result import CheckResult
from competition.submission.form import Form
from competition.submission.known_images import KnownImages
from competition.submission.labels import Labels
from competition.submission.score import Score
from competition.submission.table.checks import check_table_submission
from competition.submission.table.differences import TableDifferences, compare_tables
from competition.submission.table.files import ID_COLUMN, read_table_csv, without_zeros, write_table_csv
from competition.submission.table.scores import score_table
from competition.submission.table.votes import vote_on_tables


@dataclass(frozen=True)
class TableForm(Form):
    """A CSV of ``Index``, a probability, and columns of 0 and 1."""

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
        write_table_csv(path, ID_COLUMN, ids, classes, np.stack(rows))

    def check(self, path: Path, classes: Sequence[str], images: KnownImages) -> CheckResult:
        """Check the values and the order of the rows."""
        return check_table_submission(path, ID_COLUMN, classes, images)

    def score(
        self, path: Path, truth: Path | Labels, classes: Sequence[str], images: KnownImages, metric: Metric
    ) -> Score:
        """Return the AUROC of the first column, with the accuracy over the others beside it."""
        file = truth if isinstance(truth, Path) else _table_in(truth.folder, classes)
        return score_table(path, read_table_csv(file, ID_COLUMN, classes), classes)

    def vote(
        self, paths: Sequence[Path], election: Quorum, classes: Sequence[str], images: KnownImages, out: Path
    ) -> int:
        """Average the probability and elect each column of 0 and 1."""
        patients, values = vote_on_tables(paths, classes, election)
        write_table_csv(out, ID_COLUMN, patients, classes, values)
        return len(patients)

    def compare(self, first: Path, second: Path, classes: Sequence[str], images: KnownImages) -> TableDifferences:
        """Compare column by column."""
        return compare_tables(first, second, classes)

    def read_predictions(
        self, path: Path, classes: Sequence[str], size_of: Callable[[str], tuple[int, int]]
    ) -> dict[str, Callable[[], NDArray[np.float64]]]:
        """Open each row as probabilities."""
        table = read_table_csv(path, ID_COLUMN, classes)
        values = table.to_numpy(np.float64)
        return {str(name): partial(values.__getitem__, row) for row, name in enumerate(table.index)}


def _table_in(folder: Path, classes: Sequence[str]) -> Path:
    """Return the one CSV in submission form below a folder."""
    columns = {ID_COLUMN, *classes}
    found = [path for path in find_files(folder, "**/*.csv") if columns <= set(read_csv(path)[0])]
    if len(found) != 1:
        names = ": " + ", ".join(str(path.relative_to(folder)) for path in found) if found else ""
        raise CompetitionError(
            f"{len(found)} files with the columns {ID_COLUMN},{classes[0]},...{names}",
            folder,
            "Name the one that is the truth",
        )
    return found[0]
