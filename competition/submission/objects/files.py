"""CSVs of run lengths with one row per object: image, perhaps class, run lengths of one object.

An image without an object of a class has one row with an empty mask, so that a missing image can be told from an empty
one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.masks.objects import Objects, join_classes, pixels_of_runs, runs_of_pixels
from competition.masks.run_length_text import format_runs, parse
from competition.submission.csv_submission import write_csv
from competition.submission.run_lengths.columns import SubmissionColumns
from competition.submission.run_lengths.files import Row, check_classes, read_rows
from competition.submission.sample import OfficialSample
from competition.text import few, nearest_hint


class ObjectColumns(SubmissionColumns):
    """Columns of a submission with a row per object; all but ``kind`` as those of run lengths."""

    kind: Literal["objects"]
    """Always "objects"."""


@dataclass(frozen=True)
class ObjectFile:
    """A submission that was read; run lengths are parsed when an image is asked for."""

    path: Path
    columns: SubmissionColumns
    classes: Sequence[str]
    rows: dict[str, list[Row]]  # image name -> its rows in the order of the file, with "" for no object

    def objects(self, image: str, size_hw: tuple[int, int]) -> Objects:
        """Return the objects of an image.

        Raises:
            CompetitionError: Run lengths are malformed or leave the image.
        """
        by_class: list[list[NDArray[np.int64]]] = [[] for _ in self.classes]
        for row in self.rows[image]:
            if row.rle:
                runs = self.runs(row, size_hw[0] * size_hw[1])
                by_class[self.classes.index(row.class_name)].append(pixels_of_runs(runs, size_hw, self.columns.order))
        return join_classes(size_hw, by_class)

    def runs(self, row: Row, pixels: int | None) -> NDArray[np.int64]:
        """Return the runs (n, 2) of one object in the order of the columns; errors as ``objects``."""
        where = f"{self.path}, row {row.line}, image {row.image}"
        return parse(row.rle, where, pixels, self.columns.start, self.columns.relative)


def read_object_file(path: Path, classes: Sequence[str], columns: SubmissionColumns) -> ObjectFile:
    """Read a submission, or a truth in its form.

    Raises:
        CompetitionError: The file or a column is missing, a class is unknown, or an empty row lies beside objects.
    """
    rows: dict[str, list[Row]] = {}
    for row in read_rows(path, columns, classes):
        if row.class_name not in classes:
            check_classes([row.class_name], classes, path)
            what = f"row {row.line}: unknown class {row.class_name!r}{nearest_hint(row.class_name, classes)}"
            raise CompetitionError(what, path)
        rle = "" if columns.is_empty(row.rle) else row.rle
        rows.setdefault(row.image, []).append(row._replace(rle=rle))
    for own in rows.values():
        if fault := next(empty_beside_objects(own), None):
            raise CompetitionError(fault, path)
    if not rows:
        raise CompetitionError("there are no rows", path)
    return ObjectFile(path, columns, classes, rows)


def empty_beside_objects(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what is wrong with the empty rows ("") of an image: other rows of the class lie beside them."""
    first: dict[str, Row] = {}
    for row in rows:
        other = first.setdefault(row.class_name, row)
        if other is not row and not (row.rle and other.rle):
            empty, beside = (other, row) if row.rle else (row, other)
            yield f"row {empty.line} is empty, but row {beside.line} is of the same image and class ({row.image!r})"


def overlaps(rows: Sequence[Row], runs: Sequence[NDArray[np.int64]]) -> Iterator[str]:
    """Yield what is wrong with the objects of one image and class: pixels that an earlier row has too."""
    if len(rows) < 2:
        return
    every = np.concatenate(runs)
    of_run = np.repeat(np.arange(len(rows)), [len(own) for own in runs])
    order = np.lexsort((of_run, every[:, 0]))
    reached, holder = -1, 0
    shared: dict[tuple[int, int], int] = {}
    for at in order.tolist():
        begin, end = every[at].tolist()
        if begin < reached:
            pair = (min(holder, int(of_run[at])), max(holder, int(of_run[at])))
            shared[pair] = shared.get(pair, 0) + min(reached, end) - begin
        if end > reached:
            reached, holder = end, int(of_run[at])
    for (one, other), pixels in shared.items():
        where = f"image {rows[other].image!r}, class {rows[other].class_name!r}"
        yield f"row {rows[other].line} shares {pixels} pixels with row {rows[one].line} ({where})"


def write_object_csv(
    path: Path,
    images: Iterable[tuple[str, Objects]],
    classes: Sequence[str],
    columns: SubmissionColumns,
    sample: OfficialSample | None = None,
) -> int:
    """Write a submission, one image in memory at a time, and return the number of its rows.

    Raises:
        CompetitionError: The disk is full or the folder can't be written.
    """
    written = 0

    def cells() -> Iterator[tuple[str, ...]]:
        nonlocal written
        for image, objects in images:
            for index, name in enumerate(classes):
                runs = [runs_of_pixels(one, objects.size_hw, columns.order) for one in objects.of_class(index)]
                counts = np.array([len(own) for own in runs], dtype=np.int64)
                texts = format_runs(np.concatenate(runs), counts) if runs else [""]
                for text in texts:
                    written += 1
                    between = () if columns.class_column is None else (name,)
                    yield (columns.named(image, name), *between, columns.write(text))

    header = columns.header(classes)
    if sample is None:
        write_csv(path, header, cells())
    else:
        write_csv(path, sample.columns, sample.arrange(cells(), header, columns.id_columns(classes)))
    return written


def check_same_images(files: Sequence[ObjectFile]) -> list[str]:
    """Return the images of submissions that are to be joined, in the order of the first.

    Raises:
        CompetitionError: One lacks an image that another has.
    """
    images = dict.fromkeys(image for file in files for image in file.rows)
    for file in files:
        if missing := [image for image in images if image not in file.rows]:
            raise CompetitionError(f"{len(missing)} images are missing ({few(missing)})", file.path)
    return list(images)
