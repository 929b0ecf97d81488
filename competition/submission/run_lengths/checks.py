"""Check a CSV of run lengths: all that is wrong with it at once, with the rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from competition.errors import CompetitionError
from competition.submission.check_result import CheckResult, compare_names
from competition.submission.csv_submission import compare_order, open_csv
from competition.submission.known_images import NOTHING_KNOWN, KnownImages
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, SubmissionColumns
from competition.submission.run_lengths.files import no_known_class
from competition.submission.run_lengths.rows import Key
from competition.text import few, nearest_hint


def check_rle_submission(
    path: Path,
    classes: Sequence[str],
    images: KnownImages = NOTHING_KNOWN,
    columns: SubmissionColumns = IMAGE_CLASS_RLE,
) -> CheckResult:
    """Check a run-length submission.

    Args:
        path: CSV in the form; here the order of the columns counts too.
        classes: In the organiser's order; every image must have each once, in this order.
        images: Their names in the organiser's order, where known; without them any images in any order are taken. Where
            the size of an image is known, no run may leave it.
        columns: The organiser's.

    Returns:
        All that was found. A file that can't be read at all is one error.
    """
    result, lines = open_csv(path, columns.header(classes))
    result.enter_scope(["form", "classes", "run lengths"], images, unbounded="whether runs leave their image")
    masks = [(number, cells[0], *mask) for number, cells in lines for mask in columns.masks(cells, classes)]
    if problem := no_known_class((name for _, _, name, _ in masks), classes):
        result.refuse(problem)
    if problem or not masks:
        return result
    first_row: dict[Key, int] = {}
    said: set[tuple[str, str, str]] = set()
    filled: set[Key] = set()
    known = frozenset(classes)
    for number, image, name, cell in masks:
        first = first_row.setdefault((image, name), number)
        if name not in known:
            result.refuse(f"row {number}: unknown class {name!r}{nearest_hint(name, classes)}", "unknown class")
        elif first != number and (not columns.several_rows or (image, name, cell) in said):
            result.refuse(f"row {number}: class {name!r} of image {image!r} appears twice (first in row {first})")
        else:
            said.add((image, name, cell))
            try:
                if columns.check(cell, f"row {number}, {image}, {name}", images.pixels_of(image)):
                    filled.add((image, name))
            except CompetitionError as error:
                filled.add((image, name))
                result.refuse(str(error), error.what)
    found = list(dict.fromkeys(image for image, _ in first_row))
    non_empty = Counter(name for _, name in filled)
    result.images = len(found)
    result.positive_share = {name: non_empty[name] / len(found) for name in classes}
    if images.names is not None:
        compare_names(result, "images", found, images.names)
    _check_rows(result, first_row, classes, found if images.names is None else images.names)
    if empty := [name for name in classes if not non_empty[name]]:
        result.warnings.append(f"{len(empty)} of {len(classes)} classes are empty in every image: {few(empty)}")
    return result


def _check_rows(
    result: CheckResult, first_row: Mapping[Key, int], classes: Sequence[str], images: Sequence[str]
) -> None:
    """Enter images that lack classes, and the first row that is not where it belongs."""
    for image in dict.fromkeys(name for name, _ in first_row):
        missing = [name for name in classes if (image, name) not in first_row]
        if missing:
            result.refuse(
                f"image {image!r} has {len(classes) - len(missing)} of {len(classes)} classes; missing: {few(missing)}",
                "images that lack classes",
            )
    wanted = [(image, name) for image in images for name in classes]
    describe = "class {0[1]!r} of image {0[0]!r}".format
    compare_order(result, list(first_row), wanted, describe, first_row.__getitem__)
