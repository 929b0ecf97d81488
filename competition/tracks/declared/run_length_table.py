"""Masks as run lengths in a CSV, as on Kaggle: ``masks: {csv: train.csv, image: id, ...}`` in a YAML.

A row holds the mask of one image and class, or of one image with a column per class. Several rows of an image and
class (one per object) are joined. An image without a row, a row without an image, a class without a row and a repeated
row are problems; "no mask" is written as -1, NaN or empty.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import find_files, split_part, stem
from competition.formats.csv_files import read_csv
from competition.masks.bit_planes import pack_masks
from competition.masks.components import canvas_runs, find_components
from competition.masks.objects import Objects, components, join_classes, pixels_of_runs
from competition.masks.run_length_text import parse
from competition.masks.run_lengths import Order, runs_to_mask
from competition.submission.run_lengths.columns import NO_MASK, RunLengthColumns
from competition.submission.run_lengths.files import Row, read_rows
from competition.text import NearKeys, near_pairs, nearest_hint, same_spelling
from competition.tracks.declared.row_problems import no_row
from competition.tracks.track import WARNING, Problem

_REPAIR = "If all rows are invalid, check start, relative and order of masks in the track's YAML"
TORN = 2
"""Times as many pieces as in the other order: a disc of 20 rows falls into 20 pieces."""


TORN_MASKS = WARNING + (
    "run lengths: the masks of {count} of {labelled} images fall into more than twice as many pieces as they would if "
    "pixels were counted along the other axis ({names}): check order in the YAML"
)


class RunLengthTable(RunLengthColumns):
    """The CSV of run lengths and its columns; image names may have their ending or not."""

    csv: str
    """The CSV below the data folder, for example "train.csv"."""

    @property
    def places(self) -> list[str]:
        """Return the paths below the data folder."""
        return [self.csv]

    @property
    def template(self) -> None:
        """Return None, because there is no file for each image."""


@dataclass(frozen=True)
class Table:
    """All rows by the image name in the CSV; ``rle`` is "" for no mask."""

    rows: dict[str, list[Row]]

    @cached_property
    def has_objects(self) -> bool:
        """Return whether an image and class has several rows: then each row is an object."""
        keys = Counter((image, row.class_name) for image, own in self.rows.items() for row in own)
        return max(keys.values(), default=0) > 1

    def written(self, image_name: str) -> str:
        """Return an image's name as in the CSV, with or without its ending, in composed Unicode (NFC)."""
        name, short = same_spelling(image_name), stem(image_name)
        return short if short in self.rows and name not in self.rows else name


def read_table(path: Path, form: RunLengthTable, classes: tuple[str, ...]) -> Table:
    """Read the whole CSV.

    Raises:
        CompetitionError: The file or a column is missing, a row has too few values, or a class is unknown.
    """
    status = path.stat() if path.exists() else None
    return _read_table(path, status and (status.st_size, status.st_mtime_ns), form, classes)


@lru_cache(maxsize=4)  # asked for again by every image; a file that has changed has another stamp
def _read_table(path: Path, stamp: tuple[int, int] | None, form: RunLengthTable, classes: tuple[str, ...]) -> Table:
    rows: dict[str, list[Row]] = {}
    for row in read_rows(path, form, classes):
        if row.class_name not in classes:
            reason = f"unknown class {row.class_name!r}{nearest_hint(row.class_name, classes)}"
            raise CompetitionError(reason, f"{path}, row {row.line}")
        rows.setdefault(same_spelling(row.image), []).append(row._replace(rle="") if row.rle in NO_MASK else row)
    return Table(rows)


def find_problems(
    table: Table,
    keys: Mapping[str, str],
    form: RunLengthTable,
    classes: Sequence[str],
    missing_is_empty: bool = False,
    ignored: Collection[str] = (),
) -> list[Problem]:
    """Return images without row, rows without image, classes of an image without row, and repeated rows.

    Args:
        table: The rows.
        keys: Name of each training image as in the table -> its key.
        form: The columns.
        classes: All of them.
        missing_is_empty: Whether an image or class without row has no mask, which is no problem then.
        ignored: Names of images that are left out.
    """
    strays = [written for written in table.rows if written not in keys and written not in ignored]
    missing = {written: key for written, key in keys.items() if written not in table.rows}
    meant = near_pairs(missing, strays)
    lines = {written: rows[0].line for written, rows in table.rows.items()}
    problems = [
        no_row(key, written, meant.get(written), lines, form)
        for written, key in missing.items()
        if written in meant or not missing_is_empty
    ]
    near = NearKeys(keys)
    for written in strays:
        if written not in meant.values():
            line = table.rows[written][0].line
            reason = f"row {line}: there is no training image {written!r}{near.hint(written)}"
            problems.append(Problem(written, "train", form.csv, reason, kind="no training image"))
    for written, key in keys.items():
        problems += _faults(key, table.rows.get(written, []), form, () if missing_is_empty else classes)
    return problems


def _faults(key: str, rows: Sequence[Row], form: RunLengthTable, classes: Sequence[str]) -> list[Problem]:
    """Return what is wrong with the rows of one image: a class without a row, or a repeated row."""
    problems = []
    for class_name in classes if rows else ():
        if all(row.class_name != class_name for row in rows):
            reason = f"annotation missing: no row of class {class_name!r} (write -1 where there is no mask)"
            problems.append(Problem(key, "train", form.csv, reason))
    first: dict[tuple[str, str], int] = {}
    for row in rows:
        line = first.setdefault((row.class_name, row.rle), row.line)
        if line != row.line:
            reason = f"row {row.line} repeats row {line}"
            problems.append(Problem(key, "train", form.csv, reason, kind="rows twice"))
    return problems


def read_run_lengths(
    path: Path,
    size_hw: tuple[int, int],
    form: RunLengthTable,
    classes: tuple[str, ...],
    missing_is_empty: bool = False,
) -> NDArray[np.uint8]:
    """Read the masks of one image, "train.csv#0007a.png" with its name as in the CSV.

    ``missing_is_empty`` is as of ``find_problems``.

    Returns:
        Label planes (H, W, ceil(C/8)) uint8.

    Raises:
        CompetitionError: The image has no row, or run lengths are malformed, overlap or leave the image.
    """
    file, image = split_part(path)
    table = read_table(file, form, classes)
    rows = table.rows.get(image, [] if missing_is_empty else None)
    if rows is None:
        raise CompetitionError(f"no row of image {image!r}{NearKeys(table.rows).hint(image)}", file)
    return _decode(rows, file, size_hw, form, classes, form.order)


def read_objects(
    path: Path,
    size_hw: tuple[int, int],
    form: RunLengthTable,
    classes: tuple[str, ...],
    missing_is_empty: bool = False,
) -> Objects:
    """Read the objects of one image: its rows, where any image and class of the table has several; else components.

    Arguments and errors as ``read_run_lengths``; objects may overlap.
    """
    file, image = split_part(path)
    table = read_table(file, form, classes)
    if not table.has_objects:
        return components(read_run_lengths(path, size_hw, form, classes, missing_is_empty), len(classes))
    by_class: list[list[NDArray[np.int64]]] = [[] for _ in classes]
    for row in table.rows.get(image, ()):
        if row.rle:
            runs = _parsed(row, file, size_hw, form)
            by_class[classes.index(row.class_name)].append(pixels_of_runs(runs, size_hw, form.order))
    return join_classes(size_hw, by_class)


def is_torn(path: Path, size_hw: tuple[int, int], form: RunLengthTable, classes: tuple[str, ...]) -> bool:
    """Return whether the masks of an image make sense only in the other ``order``; arguments as ``read_run_lengths``.

    Read along the wrong axis, each run of an object becomes a piece of its own. In an image that is square, or whose
    sides differ by less than a run, the masks are only transposed or slanted, which can't be detected.
    """
    if size_hw[0] == size_hw[1]:
        return False
    file, image = split_part(path)
    rows = read_table(file, form, classes).rows.get(image, [])

    def pieces(order: Order) -> int:
        canvas, runs = canvas_runs(_decode(rows, file, size_hw, form, classes, order), len(classes))
        return len(find_components(canvas, runs).areas)

    declared = pieces(form.order)
    if 2 * declared <= sum(len(row.rle.split()) for row in rows) // 2:
        return False  # an object of several runs is whole
    return declared > TORN * pieces("column" if form.order == "row" else "row")


def _decode(
    rows: list[Row], file: Path, size_hw: tuple[int, int], form: RunLengthTable, classes: Sequence[str], order: Order
) -> NDArray[np.uint8]:
    masks = np.zeros((len(classes), *size_hw), np.bool_)
    for row in rows:
        masks[classes.index(row.class_name)] |= runs_to_mask(_parsed(row, file, size_hw, form), size_hw, order)
    return pack_masks(masks)


def _parsed(row: Row, file: Path, size_hw: tuple[int, int], form: RunLengthTable) -> NDArray[np.int64]:
    """Return the runs (n, 2) of one row."""
    where = f"{file}, row {row.line}, image {row.image}, class {row.class_name}"
    try:
        return parse(row.rle, where, size_hw[0] * size_hw[1], form.start, form.relative)
    except CompetitionError as error:
        raise CompetitionError(error.what, where, _REPAIR) from error


def find_rows(
    folder: Path, form: RunLengthTable, classes: tuple[str, ...], endings: Collection[str]
) -> dict[str, list[Path]]:
    """Find the images of every CSV below a folder that has the declared columns.

    Args:
        folder: Searched with all folders below it.
        form: The declaration.
        classes: All of them.
        endings: Of image files (".png"), in small letters, which names in a CSV may or may not have.

    Returns:
        Image name without ending -> paths for ``read_run_lengths``.
    """
    wanted = set(form.header(classes))
    found: dict[str, list[Path]] = {}
    for path in find_files(folder, "**/*.csv"):
        if wanted <= {name.strip() for name in read_csv(path)[0]}:
            for image in read_table(path, form, classes).rows:
                key = stem(image) if Path(image).suffix.lower() in endings else image
                found.setdefault(key, []).append(Path(f"{path}#{image}"))
    return found
