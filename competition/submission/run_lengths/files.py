"""CSVs of run lengths: training masks, a truth or a submission, all read by one rule.

Columns are found by name, others (Height, Width, Usage) are skipped. Where several rows of an image and class are
allowed, one per object, they are joined; a repeated row is an error.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.formats.csv_files import read_columns
from competition.masks.run_length_text import format_runs, parse
from competition.submission.csv_submission import write_csv
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, RunLengthColumns, SubmissionColumns
from competition.submission.sample import OfficialSample
from competition.text import few

Key = tuple[str, str]
"""Image name and class."""


class Row(NamedTuple):
    """One mask of a CSV, its name and run lengths as written. A tuple, because a data class takes three times as long.

    Attributes:
        line: Its line in the file; the header is line 1.
    """

    line: int
    image: str
    class_name: str
    rle: str


def write_rle_csv(
    path: Path,
    rows: Iterable[tuple[str, str, str]],
    classes: Sequence[str] = (),
    columns: SubmissionColumns = IMAGE_CLASS_RLE,
    sample: OfficialSample | None = None,
) -> None:
    """Write a submission, one row at a time: memory does not grow with the number of images.

    Args:
        path: The file to write; an old one is replaced only when the new one is whole.
        rows: Image name, class, run lengths (pixels counted from 1 in the form's order, "" for an empty mask), in the
            organiser's order: all classes of an image one after the other.
        classes: Of the track; needed only without a column of classes.
        columns: The organiser's.
        sample: Whose order of columns and rows is written; the rows of all images are then in memory as text.

    Raises:
        CompetitionError: The disk is full or the folder can't be written, or the sample has other ids.
    """
    header, cells = columns.header(classes), _cells(rows, columns)
    if sample is None:
        write_csv(path, header, cells)
    else:
        write_csv(path, sample.columns, sample.arrange(cells, header, columns.id_columns(classes)))


def _cells(rows: Iterable[tuple[str, str, str]], columns: SubmissionColumns) -> Iterator[tuple[str, ...]]:
    if columns.rle is None:
        for name, of_image in groupby(rows, key=itemgetter(0)):
            yield (name, *(columns.write(rle) for _, _, rle in of_image))
        return
    for name, class_name, rle in rows:
        between = () if columns.class_column is None else (class_name,)
        yield (columns.named(name, class_name), *between, columns.write(rle))


def read_rle_csv(
    path: Path, classes: Sequence[str] = (), columns: SubmissionColumns = IMAGE_CLASS_RLE
) -> dict[Key, str]:
    """Read a submission.

    Takes a byte order mark, Windows line ends and NaN for an empty mask, as spreadsheets and pandas write them.

    Args:
        path: CSV in the form; its columns may come in any order, with others beside them.
        classes: Of the track; needed only without a column of classes.
        columns: The organiser's.

    Returns:
        (image name, class) -> run lengths (pixels counted from 1 in the form's order, "" for an empty mask), in the
        order of the file.

    Raises:
        CompetitionError: The file or a column is missing, a row is incomplete, or an image and class has two rows where
            the form allows one.
    """
    return _by_key(read_masks(path, classes, columns, truth=False), path, columns.several_rows)


def read_truth_csv(
    path: Path, classes: Sequence[str] = (), columns: SubmissionColumns = IMAGE_CLASS_RLE
) -> dict[Key, str]:
    """Read a truth in submission form as ``read_rle_csv``; rows of an image and class are joined, -1 is no mask too."""
    return _by_key(read_masks(path, classes, columns, truth=True), path, several=True)


def read_masks(path: Path, classes: Sequence[str], columns: SubmissionColumns, truth: bool) -> Iterator[Row]:
    """Yield the rows of a file, their run lengths counted from pixel 1 and "" for no mask; of a ``truth`` -1 too."""
    for row in read_rows(path, columns, classes):
        where = "" if columns.plain else f"{path}, row {row.line}, class {row.class_name}"
        rle = "" if truth and columns.is_empty(row.rle) else columns.read(row.rle, where)
        yield row if rle == row.rle else row._replace(rle=rle)


def read_rows(path: Path, columns: RunLengthColumns, classes: Sequence[str]) -> Iterator[Row]:
    """Yield the masks of a CSV in the order of the file, without checking names, classes or run lengths.

    Raises:
        CompetitionError: The file or a column is missing, or a row has more or fewer cells than the header.
    """
    lines = list(read_columns(path, columns.header(classes)))
    known = columns.certain_images((cells[0] for _, cells in lines), classes)
    for line, cells in lines:
        for mask in columns.masks(cells, classes, known):
            yield Row(line, *mask)


def _by_key(rows: Iterable[Row], path: Path, several: bool) -> dict[Key, str]:
    """Return the mask of each image and class, in the order in which they come first; ``several`` rows are joined."""
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


def _joined(rows: Sequence[Row], path: Path) -> str:
    """Return the pixels of any of the rows of one image and class."""
    first: dict[str, Row] = {}
    for row in rows:
        earlier = first.setdefault(row.rle, row)
        if earlier is not row:
            what = f"row {row.line} repeats row {earlier.line} (image {row.image!r}, class {row.class_name!r})"
            raise CompetitionError(what, path)
    runs = np.concatenate([parse(row.rle, f"{path}, row {row.line}") for row in rows])
    return format_runs(united := _union(runs), np.array([len(united)]))[0]


def _union(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return sorted, disjoint runs (m, 2) of the pixels of any runs (n, 2); those that touch become one."""
    if not len(runs):
        return runs
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    reached = np.maximum.accumulate(runs[:, 1])
    begins = np.append(True, runs[1:, 0] > reached[:-1])
    return np.stack([runs[begins, 0], reached[np.append(begins[1:], True)]], axis=1)


def no_known_class(found: Iterable[str], classes: Sequence[str]) -> str | None:
    """Return a sentence if none of a submission's classes is the track's; None if one is, or if there are none."""
    names = list(dict.fromkeys(found))
    if not names or not set(names).isdisjoint(classes):
        return None
    return f"no class of it is the track's ({few(names)}; not {few(classes)}): another track? See --track"


def check_classes(found: Iterable[str], classes: Sequence[str], path: Path) -> None:
    """Raise CompetitionError if no class of a submission is the track's."""
    if problem := no_known_class(found, classes):
        raise CompetitionError(problem, path)
