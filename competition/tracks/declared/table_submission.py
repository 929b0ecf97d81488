"""The form of a table in a YAML: ``submission: {kind: table, shape: wide, id: image_id, values: probability}``."""

from collections.abc import Sequence
from typing import Literal

from competition.errors import CompetitionError
from competition.metrics.tables import TableMetric
from competition.settings import Section
from competition.submission.table.class_form import ClassTableForm
from competition.submission.table.layout import Shape, TableLayout, Values
from competition.submission.table.truth import TruthTable


class TableSubmission(Section):
    """The layout of a table."""

    kind: Literal["table"] = "table"
    shape: Shape = "wide"
    """A column per class, or a row per sample and class (long)."""
    id: str = "id"
    """The column of ids. Of a long table a template with {key} and {class}, how a row is called."""
    id_column: str | None = None
    """The column of ids where ``id`` is a template; "row_id" by default."""
    values: Values | None = None
    """What cells hold: probability, binary (0 or 1), or one cell per sample: grade, mean_grade or class. By default
    what the metric scores: probabilities for AUROC, average precision, log loss and pF1; mean_grade for RMSE; else 0/1
    for independent classes, the class of those that exclude each other, the grade of ordered ones."""
    ending: bool = False
    """Whether ids have the images' ending (a1.png)."""
    column: str | None = None
    """The column of the values where there is one: long, or a grade or class; by default the target of the table."""

    def contradiction(self, classes: Sequence[str], targets: str) -> str | None:
        """Return why keys contradict each other or the task, None if they fit."""
        template = "{" in self.id
        if template and (self.shape == "wide" or "{key}" not in self.id or "{class}" not in self.id):
            return "submission: id is a template only of a long table, with {key} and {class}"
        if self.values in ("grade", "mean_grade") and targets != "ordinal":
            return f"submission: values {self.values} is for task: ordinal"
        if self.values in ("grade", "mean_grade") and not counts_from_zero(classes):
            return f"submission: values {self.values} counts grades from 0, and the classes are {', '.join(classes)}"
        if self.values == "class" and targets == "multilabel":
            return "submission: values class is for classes that exclude each other (task: multiclass or ordinal)"
        if self.shape == "long" and self.values in ("grade", "mean_grade", "class"):
            return f"submission: a long table has a row per class, so values can't be {self.values}"
        return None

    def form(
        self, metric: TableMetric, classes: Sequence[str], truth: TruthTable | None = None, where: str = ""
    ) -> ClassTableForm:
        """Return the form of a track's metric and classes; ``truth`` is of its training table.

        Raises:
            CompetitionError: Keys contradict each other or the task.
        """
        if (contradiction := self.contradiction(classes, metric.targets)) is not None:
            raise CompetitionError(contradiction, where or None)
        values = self.values or default_values(metric, self.shape, classes)
        column = self.column or (truth.target if truth is not None and self.shape == "wide" else None) or "prediction"
        template = "{" in self.id
        layout = TableLayout(
            id_column=(self.id_column or "row_id") if template else self.id,
            shape=self.shape,
            values=values,
            column=column,
            row_id=self.id if template else "{key}_{class}",
        )
        return ClassTableForm(layout, tuple(classes), metric.targets, truth)


def counts_from_zero(classes: Sequence[str]) -> bool:
    """Return whether grades are 0, 1, 2 ..., or words, for which these numbers can be written."""
    return not any(name.isdigit() for name in classes) or list(classes) == [str(n) for n in range(len(classes))]


def default_values(metric: TableMetric, shape: Shape, classes: Sequence[str]) -> Values:
    """Return what the cells of a metric's submission hold."""
    if metric.outputs == "labels":
        if metric.targets == "multilabel" or shape == "long":
            return "binary"
        return "grade" if metric.targets == "ordinal" and counts_from_zero(classes) else "class"
    graded = metric.outputs == "mean grade" and shape == "wide" and counts_from_zero(classes)
    return "mean_grade" if graded else "probability"
