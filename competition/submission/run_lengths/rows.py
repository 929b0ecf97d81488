"""Rows of a CSV of run lengths, read by one rule wherever masks come from: training masks, a truth, a submission.

Columns are found by name, others (Height, Width, Usage) are skipped. Where several rows of an image and class are
allowed, one per object, they are joined; a row that appears twice is refused.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.formats.csv_files import read_columns
from competition.masks.run_length_text import format_runs, parse
from competition.submission.run_lengths.columns import RunLengthColumns

Key = tuple[str, str]
"""Image name and class."""


class Row(NamedTuple):
    """One mask of a CSV. A tuple, because a file has thousands and a data class takes three times as long to make.

    Attributes:
        line: Where it stands in the file; the header is line 1.
        image: The image's name as it is written.
        class_name: Whose mask it is.
        rle: Run lengths as they are written.
    """

    line: int
    image: str
    class_name: str
    rle: str


def read_rows(path: Path, columns: RunLengthColumns, classes: Sequence[str]) -> Iterator[Row]:
    """Read the masks of a CSV without judging names, classes or run lengths.

    Args:
        path: The CSV.
        columns: Its columns.
        classes: Of the track.

    Yields:
        The masks in the order of the file.

    Raises:
        CompetitionError: The file or a column is missing, or a row has more or fewer cells than the header.
    """
    for line, cells in read_columns(path, columns.header(classes)):
        for class_name, rle in columns.masks(cells, classes):
            yield Row(line, cells[0], class_name, rle)


def masks_by_key(rows: Iterable[Row], path: Path, several: bool) -> dict[Key, str]:
    """Return the mask of each image and class, in the order in which they come first.

    Args:
        rows: Run lengths that count from pixel 1, "" for no mask.
        path: Of the file, for messages.
        several: Whether an image and class may have several rows, which are joined.

    Raises:
        CompetitionError: A row appears twice, a second row of an image and class is not allowed, or run lengths that
            are to be joined are malformed.
    """
    grouped: dict[Key, list[Row]] = {}
    for row in rows:
        grouped.setdefault((row.image, row.class_name), []).append(row)
    doubled = [] if several else [row for group in grouped.values() for row in group[1:]]
    if doubled:
        row = min(doubled, key=lambda one: one.line)
        first = grouped[row.image, row.class_name][0].line
        more = f"; {len(doubled) - 1} more rows do" if len(doubled) > 1 else ""
        twice = f"class {row.class_name!r} of image {row.image!r} appears twice, first in row {first}{more}"
        raise CompetitionError(f"row {row.line}: {twice}", path, "Write one row for each image and class")
    return {key: group[0].rle if len(group) == 1 else _joined(group, path) for key, group in grouped.items()}


def repeated_row(rows: Iterable[Row]) -> tuple[Row, Row] | None:
    """Return the first row of one image and class that says the same as an earlier one, and that one."""
    first: dict[str, Row] = {}
    for row in rows:
        earlier = first.setdefault(row.rle, row)
        if earlier is not row:
            return row, earlier
    return None


def _joined(rows: Sequence[Row], path: Path) -> str:
    """Return the pixels of any of the rows."""
    if repeated := repeated_row(rows):
        row, earlier = repeated
        raise CompetitionError(
            f"row {row.line} repeats row {earlier.line} (image {row.image!r}, class {row.class_name!r})", path
        )
    runs = np.concatenate([parse(row.rle, f"{path}, row {row.line}") for row in rows])
    return format_runs(united := _union(runs), np.array([len(united)]))[0]


def _union(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorted, disjoint runs (m, 2) of the pixels of any runs (n, 2); those that touch become one."""
    if not len(runs):
        return runs
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    reached = np.maximum.accumulate(runs[:, 1])
    begins = np.append(True, runs[1:, 0] > reached[:-1])
    return np.stack([runs[begins, 0], reached[np.append(begins[1:], True)]], axis=1)
