"""Where two submissions of masks differ: rows, classes, pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from competition.submission.form import ComparisonTable
from competition.submission.mask_counts import MaskCounts

SHOWN = 10
"""Classes and rows that are printed."""


@dataclass(frozen=True)
class MaskDifferences:
    """Two submissions of masks side by side.

    Attributes:
        table: One row per (image, class): image, class, only_a, only_b (pixels that one of the two has alone), dice.
    """

    table: pd.DataFrame

    def by_class(self) -> pd.DataFrame:
        """Return per class, in the track's order: rows that differ, pixels only one has, and the mean Dice."""
        grouped = self.table.assign(differ=(self.table.only_a + self.table.only_b) > 0).groupby("class", sort=False)
        return grouped.agg(
            rows=("differ", "sum"), only_a=("only_a", "sum"), only_b=("only_b", "sum"), dice=("dice", "mean")
        )

    def figures(self) -> dict[str, Any]:
        """Return rows, rows_that_differ, pixels, dice (the mean over all rows) and per_class."""
        by_class = self.by_class()
        return {
            "rows": len(self.table),
            "rows_that_differ": int(by_class.rows.sum()),
            "pixels": int(self.table.only_a.sum() + self.table.only_b.sum()),
            "dice": float(self.table.dice.mean()),
            "per_class": {str(name): float(value) for name, value in by_class.dice.items()},
        }

    def tables(self) -> list[ComparisonTable]:
        """Return the classes and the rows that agree least; none where the submissions are equal."""
        by_class, columns = self.by_class(), ["only in A", "only in B", "Dice"]
        if not by_class.rows.sum():
            return []
        return [
            _least(
                "classes that agree least (pixels)",
                ["class", "rows that differ", *columns],
                by_class.reset_index()[["class", "rows", "only_a", "only_b", "dice"]],
            ),
            _least("rows that agree least (pixels)", ["image", "class", *columns], self.table),
        ]

    def summary(self) -> str:
        """Return the number of rows and pixels that differ, and the mean Dice."""
        figures = self.figures()
        return (
            f"{figures['rows_that_differ']} of {figures['rows']} rows differ, by {figures['pixels']} pixels; "
            f"Dice of the two {figures['dice']:.6f}"
        )


def compare_counts(counts: MaskCounts) -> MaskDifferences:
    """Return the differences that pixel counts show."""
    images, classes = len(counts.images), len(counts.classes)
    columns = {
        "image": np.repeat(np.array(counts.images, dtype=object), classes),
        "class": np.tile(np.array(counts.classes, dtype=object), images),
        "only_a": (counts.first - counts.both).ravel(),
        "only_b": (counts.second - counts.both).ravel(),
        "dice": counts.values().ravel(),
    }
    return MaskDifferences(pd.DataFrame(columns))


def _least(title: str, columns: list[str], frame: pd.DataFrame) -> ComparisonTable:
    """Return the rows of the smallest Dice."""
    least = frame.sort_values("dice", kind="stable").head(SHOWN)
    return ComparisonTable(title, columns, least.assign(dice=least["dice"].map("{:.4f}".format)).to_numpy().tolist())
