"""Where two submissions differ: rows, classes, pixels. Joined by key, without drawing a mask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from competition.masks.run_length_text import parse_image
from competition.masks.run_lengths import overlaps
from competition.metrics.counts import dice
from competition.submission.file_votes import read_alike, read_tables_alike
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, RunLengthSubmission


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


def compare_masks(
    first: Path,
    second: Path,
    classes: Sequence[str],
    sizes: Mapping[str, tuple[int, int]],
    form: RunLengthSubmission = IMAGE_CLASS_RLE,
) -> MaskDifferences:
    """Compares two run-length submissions.

    Args:
        first: CSV in the form.
        second: Another one of the same images.
        classes: Of the track.
        sizes: Image name -> rows and columns, where known: a run beyond the last pixel is then refused.
        form: The organiser's.

    Raises:
        CompetitionError: A row is missing in one of them, or run lengths are malformed.
    """
    a, b = read_alike([first, second], classes, form)
    rows = []
    for image in dict.fromkeys(name for name, _ in a):
        height, width = sizes.get(image, (0, 0))
        pixels = height * width or None
        runs_a, runs_b = (
            parse_image(
                [file[image, name] for name in classes], [f"{path}, {image}, {name}" for name in classes], pixels
            )
            for path, file in ((first, a), (second, b))
        )
        both, of_a, of_b = overlaps(runs_a, runs_b)
        columns = (both, of_a, of_b, dice(both, of_a, of_b))
        for name, shared, area_a, area_b, value in zip(classes, *(column.tolist() for column in columns), strict=True):
            rows.append((image, name, area_a - shared, area_b - shared, value))
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
        CompetitionError: A patient is missing in one of them, or a value is no probability or no decision.
    """
    a, b = read_tables_alike([first, second], classes)
    change = (a - b).abs()
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = a.rank().corrwith(b.rank())
    return pd.DataFrame({"rows": (change > 0).sum(), "largest": change.max(), "rank_correlation": correlation})
