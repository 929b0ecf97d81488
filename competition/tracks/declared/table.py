"""Labels of whole images in a CSV: ``table: {csv: train.csv, image: id, targets: [A, B]}`` in a YAML.

A row holds the labels of one sample: a column of 0 and 1 per class (``targets``), or one column (``target``) with the
name of a class, a grade, or several names in one cell (``split``). An image without row, a row without image and a
second row of one id are problems.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from competition.errors import CompetitionError
from competition.file_listing import stem, without_picture_ending
from competition.formats.csv_files import read_columns
from competition.metrics.tables import Targets
from competition.settings import Section
from competition.submission.table.truth import TruthTable
from competition.text import NearKeys, near_pairs, same_spelling
from competition.tracks.declared.row_problems import no_row
from competition.tracks.track import Problem


class ImageTable(Section):
    """The CSV and its columns; ids may have the images' ending or not."""

    csv: str
    """The CSV below the data folder, for example "train.csv"."""
    image: str
    """The column of ids: the names of the images, or with ``views`` the text of their {stem}."""
    group: str | None = None
    """The column of what is never split between folds (the patient)."""
    targets: tuple[str, ...] = ()
    """The columns of the classes, 0 or 1 in each."""
    target: str | None = None
    """In place of ``targets``: the column that holds the class."""
    split: str | None = None
    """What separates several classes in a cell of ``target``: "|" in "Cardiomegaly|Emphysema"."""
    empty: str | None = None
    """What a cell of ``target`` holds where there is none of the classes: "No Finding". A blank cell is that too."""

    @property
    def truth(self) -> TruthTable:
        """Return the columns as a submission's truth may have them."""
        return TruthTable(self.image, self.target, self.split, self.empty)

    def contradiction(self, task: Targets) -> str | None:
        """Return why the keys contradict each other or the task; None if they don't."""
        if bool(self.targets) == (self.target is not None):
            return "table needs either targets (a column of 0 and 1 per class) or target (one column of classes)"
        if self.targets and task == "ordinal":
            return "table.target names the column of grades; targets is for classes that have columns of their own"
        if (self.split is not None or self.empty is not None) and (task != "multilabel" or self.targets):
            return "table.split and table.empty are for a target of several classes (task: multilabel)"
        if self.target is not None and task == "multilabel" and not self.split:
            return f"table.split says what separates the classes in column {self.target!r}, for example split: '|'"
        columns = [self.image, *self.targets, *(name for name in (self.target, self.group) if name is not None)]
        twice = [name for number, name in enumerate(columns) if name in columns[:number] and name != self.group]
        return f"table names the column {twice[0]!r} twice" if twice else None


@dataclass(frozen=True)
class TableRow:
    """The labels of one sample."""

    line: int  # in the CSV, whose header is line 1
    targets: tuple[int, ...]  # 0 or 1 per class
    group: str | None  # None where the table has no column of groups


@dataclass(frozen=True)
class LabelTable:
    """The rows by id, and the second rows of ids, which are not used."""

    rows: dict[str, TableRow]
    repeated: list[tuple[str, int]]  # id and line

    def written(self, image_name: str) -> str:
        """Return the id of an image, with or without its ending, in composed Unicode (NFC)."""
        name, short = same_spelling(image_name), stem(image_name)
        return name if name in self.rows and short not in self.rows else short


def read_label_table(path: Path, form: ImageTable, classes: Sequence[str], task: Targets) -> LabelTable:
    """Read the whole CSV.

    Raises:
        CompetitionError: The file or a column is missing, an id or group is empty, or a target is no 0 or 1, no class
            or, where one class is needed, none or several.
    """
    columns = (*form.truth.columns(classes), *([] if form.group is None else [form.group]))
    rows, repeated = dict[str, TableRow](), list[tuple[str, int]]()
    for line, (name, *cells) in read_columns(path, columns):
        key, where = same_spelling(name), f"{path}, row {line}"
        if not key:
            raise CompetitionError(f"column {form.image!r} is empty", where)
        group = None if form.group is None else same_spelling(cells.pop())
        if group == "":
            raise CompetitionError(f"column {form.group!r} of {key!r} is empty", where)
        if key in rows:
            repeated.append((key, line))
        rows.setdefault(key, TableRow(line, form.truth.targets(cells, classes, task, where), group))
    return LabelTable(rows, repeated)


def find_row_problems(
    table: LabelTable, keys: dict[str, str], form: ImageTable, others: Collection[str] = ()
) -> list[Problem]:
    """Return images without row, rows without image, and second rows of one id.

    Args:
        table: The rows.
        keys: Id of each training image as in the table -> the sample's key.
        form: The declaration.
        others: Ids of images that need no row, those of the test split.
    """
    strays = [
        written for written in table.rows if written not in keys and without_picture_ending(written) not in others
    ]
    missing = {written: key for written, key in keys.items() if written not in table.rows}
    meant = near_pairs(missing, strays)
    lines = {written: row.line for written, row in table.rows.items()}
    problems = [no_row(key, written, meant.get(written), lines, form) for written, key in missing.items()]
    near = NearKeys(keys)
    for written in strays:
        if written not in meant.values():
            reason = f"row {table.rows[written].line}: there is no training image {written!r}{near.hint(written)}"
            problems.append(Problem(written, "train", form.csv, reason, kind="no training image"))
    for written, line in table.repeated:
        reason = f"row {line} is a second row of {written!r} (the first is row {table.rows[written].line})"
        problems.append(Problem(keys.get(written, written), "train", form.csv, reason, kind="rows twice"))
    return problems
