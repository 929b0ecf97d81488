"""Where two tables differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from competition.submission.form import ComparisonTable
from competition.submission.table.votes import read_tables_alike


@dataclass(frozen=True)
class TableDifferences:
    """Two tables side by side.

    Attributes:
        columns: One row per class: rows that differ, the largest difference, and Spearman's rank correlation (NaN where
            one of the columns is constant).
    """

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


def compare_tables(first: Path, second: Path, classes: Sequence[str]) -> TableDifferences:
    """Compare two table submissions.

    Args:
        first: CSV of Index and the classes.
        second: Another one of the same patients.
        classes: The probability's column, then those of the decisions.

    Raises:
        CompetitionError: A patient is missing in one of them, or a value is no probability or no decision.
    """
    a, b = read_tables_alike([first, second], classes)
    change = (a - b).abs()
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = a.rank().corrwith(b.rank())
    columns = {"rows": (change > 0).sum(), "largest": change.max(), "rank_correlation": correlation}
    return TableDifferences(pd.DataFrame(columns))
