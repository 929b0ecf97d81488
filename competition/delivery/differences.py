"""Where two submissions differ: rows, classes, pixels. Joined by key, without drawing a mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from competition.delivery.file_votes import read_alike
from competition.delivery.submissions import ID_COLUMN, few, read_table_csv
from competition.errors import CompetitionError
from competition.imaging.runlength_votes import parse_image
from competition.imaging.runlengths import area, intersection
from competition.metrics import dice


@dataclass(frozen=True)
class MaskDifferences:
    """Two run-length submissions side by side.

    Attributes:
        table: One row per (image, class): image, class, only_a, only_b (pixels that one of the two has alone), dice.
    """

    table: pd.DataFrame

    def by_class(self) -> pd.DataFrame:
        """Per class, in the track's order: rows that differ, pixels only one has, and the mean Dice of the two."""
        grouped = self.table.assign(differ=(self.table.only_a + self.table.only_b) > 0).groupby("class", sort=False)
        return grouped.agg(
            rows=("differ", "sum"), only_a=("only_a", "sum"), only_b=("only_b", "sum"), dice=("dice", "mean")
        )


def compare_masks(first: Path, second: Path, classes: Sequence[str]) -> MaskDifferences:
    """Compares two run-length submissions.

    Args:
        first: CSV of image_name, class, rle.
        second: Another one of the same images.
        classes: Of the track.

    Raises:
        CompetitionError: A row is missing in one of them, or run lengths are malformed.
    """
    a, b = read_alike([first, second], classes)
    rows = []
    for image in dict.fromkeys(name for name, _ in a):
        runs = []
        for path, file in ((first, a), (second, b)):
            joined, counts = parse_image([file[image, name] for name in classes], f"{path}, {image}", None)
            runs.append(np.split(joined, np.cumsum(counts)[:-1]))
        for name, ours, theirs in zip(classes, *runs, strict=True):
            both, of_a, of_b = intersection(ours, theirs), area(ours), area(theirs)
            value = float(dice(np.array(both), np.array(of_a), np.array(of_b)))
            rows.append((image, name, of_a - both, of_b - both, value))
    return MaskDifferences(pd.DataFrame(rows, columns=["image", "class", "only_a", "only_b", "dice"]))


def compare_tables(first: Path, second: Path, classes: Sequence[str]) -> pd.DataFrame:
    """Compares two table submissions.

    Args:
        first: CSV of Index and the classes.
        second: Another one of the same patients.
        classes: The probability's column, then those of the decisions.

    Returns:
        One row per class: rows that differ, the largest difference, and Spearman's rank correlation (NaN where one of
        the columns is constant).

    Raises:
        CompetitionError: A patient is missing in one of them.
    """
    a, b = (read_table_csv(path, ID_COLUMN, classes) for path in (first, second))
    for path, table, other in ((first, a, b), (second, b, a)):
        missing = [str(name) for name in other.index if name not in table.index]
        if missing:
            raise CompetitionError(f"{len(missing)} patients are missing ({few(missing)})", path)
    b = b.loc[a.index]
    change = (a - b).abs()
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = a.rank().corrwith(b.rank())
    return pd.DataFrame({"rows": (change > 0).sum(), "largest": change.max(), "rank_correlation": correlation})
