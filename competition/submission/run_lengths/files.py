"""Run lengths as files: written row by row and whole or not at all, read back by image and class."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from competition.errors import CompetitionError
from competition.submission.csv_submission import write_csv
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, NO_MASK, SubmissionColumns
from competition.submission.run_lengths.rows import Key, Row, masks_by_key, read_rows
from competition.text import few


def write_rle_csv(
    path: Path,
    rows: Iterable[tuple[str, str, str]],
    classes: Sequence[str] = (),
    columns: SubmissionColumns = IMAGE_CLASS_RLE,
) -> None:
    """Write a run-length submission, one row at a time: memory does not grow with the number of images.

    Args:
        path: The file to write; an old one is replaced only when the new one is whole.
        rows: Image name, class, run lengths (pixels counted from 1 in the form's order, "" for an empty mask), in the
            organiser's order: all classes of an image one after the other.
        classes: Of the track; only a form without a column of classes asks for them.
        columns: The organiser's.

    Raises:
        CompetitionError: The disk is full or the folder can't be written.
    """
    write_csv(path, columns.header(classes), _cells(rows, columns))


def _cells(rows: Iterable[tuple[str, str, str]], columns: SubmissionColumns) -> Iterator[tuple[str, ...]]:
    if columns.rle is None:
        for name, of_image in groupby(rows, key=itemgetter(0)):
            yield (name, *(columns.write(rle) for _, _, rle in of_image))
        return
    for name, class_name, rle in rows:
        yield (name, columns.write(rle)) if columns.class_column is None else (name, class_name, columns.write(rle))


def read_rle_csv(
    path: Path, classes: Sequence[str] = (), columns: SubmissionColumns = IMAGE_CLASS_RLE
) -> dict[Key, str]:
    """Read a run-length submission.

    Takes a byte order mark, Windows line ends and NaN for an empty mask, as spreadsheets and pandas write them.

    Args:
        path: CSV in the form; its columns may come in any order, with others beside them, because they are joined by
            name.
        classes: Of the track; only a form without a column of classes asks for them.
        columns: The organiser's.

    Returns:
        (image name, class) -> run lengths (pixels counted from 1 in the form's order, "" for an empty mask), in the
        order of the file.

    Raises:
        CompetitionError: The file or a column is missing, a row is cut, or an image and class has two rows where the
            form allows one.
    """
    return masks_by_key(_texts(path, classes, columns, truth=False), path, columns.several_rows)


def read_truth_csv(
    path: Path, classes: Sequence[str] = (), columns: SubmissionColumns = IMAGE_CLASS_RLE
) -> dict[Key, str]:
    """Read a truth in the form of a submission, by the rule that prepare reads training masks by.

    Several rows of an image and class, one per object, are joined, and no mask is written as -1, NaN or an empty cell.

    Args:
        path: The CSV.
        classes: As in ``read_rle_csv``.
        columns: As in ``read_rle_csv``.

    Returns:
        As ``read_rle_csv``.

    Raises:
        CompetitionError: The file or a column is missing, a row is cut or appears twice, or run lengths are malformed.
    """
    return masks_by_key(_texts(path, classes, columns, truth=True), path, several=True)


def _texts(path: Path, classes: Sequence[str], columns: SubmissionColumns, truth: bool) -> Iterator[Row]:
    """Return the rows of a file, their run lengths counted from pixel 1 and "" for no mask."""
    for row in read_rows(path, columns, classes):
        where = "" if columns.plain else f"{path}, row {row.line}, class {row.class_name}"
        rle = "" if truth and row.rle in NO_MASK else columns.read(row.rle, where)
        yield row if rle == row.rle else row._replace(rle=rle)


def no_known_class(found: Iterable[str], classes: Sequence[str]) -> str | None:
    """Say that none of a submission's classes is the track's; None where one is, or where there are none at all."""
    names = list(dict.fromkeys(found))
    if not names or not set(names).isdisjoint(classes):
        return None
    return f"no class of it is the track's ({few(names)}; not {few(classes)}): another track? See --track"


def check_classes(found: Iterable[str], classes: Sequence[str], path: Path) -> None:
    """Reject a submission of which no class is the track's.

    Raises:
        CompetitionError: It is one to another track.
    """
    if problem := no_known_class(found, classes):
        raise CompetitionError(problem, path)
