"""Would the organiser take it? Everything that is wrong with a submission, at once, with the rows."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from competition.config import nearest_hint
from competition.delivery.submissions import Key, few, header_problem, no_known_class
from competition.errors import CompetitionError
from competition.tracks.run_length_form import IMAGE_CLASS_RLE, RunLengthSubmission
from competition.workspace import read_csv

Item = TypeVar("Item")

# 8,352 rows of hands are 21-24 MB; a submission smeared by a CRF was too large for the organiser's server.
LARGE_BYTES = 100_000_000


@dataclass
class CheckResult:
    """What is wrong with a submission, and what is in it.

    Attributes:
        errors: Why it would be refused or scored wrongly; each names the row, image or class.
        warnings: What is allowed and hardly meant.
        rows: Rows below the header.
        images: Different images (patients in a table).
        positive_share: Class -> share of the images with a mask (in a table: of the rows above 0.5).
        size_bytes: Size of the file.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rows: int = 0
    images: int = 0
    positive_share: dict[str, float] = field(default_factory=dict)
    size_bytes: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against handing it in."""
        return not self.errors


def check_rle_submission(
    path: Path,
    classes: Sequence[str],
    size_hw: tuple[int, int] | None = None,
    expected: Sequence[str] | None = None,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    form: RunLengthSubmission = IMAGE_CLASS_RLE,
) -> CheckResult:
    """Checks a run-length submission.

    Args:
        path: CSV in the form; here the order of the columns counts too.
        classes: In the organiser's order; every image must have each once, in this order.
        size_hw: Rows and columns of every image that ``sizes`` does not know; None checks no bounds there.
        expected: The image names in the organiser's order; None takes any images in any order.
        sizes: Image name -> rows and columns, where images differ in size.
        form: The organiser's.

    Returns:
        All that was found. A file that can't be read at all is one error.
    """
    columns = form.header(classes)
    result, lines = _open(path, columns)
    rows = [(number, dict(zip(columns, fields, strict=True))) for number, fields in lines]
    masks = [(number, row[form.image], name, cell) for number, row in rows for name, cell in form.masks(row, classes)]
    if problem := no_known_class((name for _, _, name, _ in masks), classes):
        result.errors.append(problem)
    if problem or not masks:
        return result
    first_row: dict[Key, int] = {}
    non_empty = dict.fromkeys(classes, 0)
    for number, image, name, cell in masks:
        first = first_row.setdefault((image, name), number)
        if name not in non_empty:
            result.errors.append(f"row {number}: unknown class {name!r}{nearest_hint(name, classes)}")
        elif first != number:
            result.errors.append(f"row {number}: class {name!r} of image {image!r} stands twice (first in row {first})")
        else:
            size = (sizes or {}).get(image, size_hw)
            try:
                non_empty[name] += form.check(cell, f"row {number}, {image}, {name}", size and math.prod(size))
            except CompetitionError as error:
                non_empty[name] += 1
                result.errors.append(str(error))
    found = list(dict.fromkeys(image for image, _ in first_row))
    result.images = len(found)
    result.positive_share = {name: count / len(found) for name, count in non_empty.items()}
    if expected is not None:
        result.errors += wrong_names("images", found, expected)
    result.errors += _wrong_rows(first_row, classes, found if expected is None else expected)
    if empty := [name for name, count in non_empty.items() if not count]:
        result.warnings.append(f"{len(empty)} of {len(classes)} classes are empty in every image: {few(empty)}")
    return result


def check_table_submission(
    path: Path, id_column: str, columns: Sequence[str], expected: Sequence[str] | None = None
) -> CheckResult:
    """Checks a table submission: first column a probability, the others 0 or 1.

    Args:
        path: The CSV; here the order of the columns counts too.
        id_column: Header of the first column ("Index").
        columns: Headers of the others, in the organiser's order.
        expected: The ids in the organiser's order (his scorer joins by position); None takes any.

    Returns:
        All that was found. A file that can't be read at all is one error.
    """
    result, lines = _open(path, (id_column, *columns))
    if not lines:
        return result
    first_row: dict[str, int] = {}
    positive = dict.fromkeys(columns, 0)
    probabilities = set()
    for number, (name, *cells) in lines:
        if name in first_row:
            result.errors.append(f"row {number}: {id_column} {name!r} stands twice (first in row {first_row[name]})")
            continue
        first_row[name] = number
        for position, (column, text) in enumerate(zip(columns, cells, strict=True)):
            value = _probability(text) if position == 0 else _decision(text)
            if value is None:
                kind = "a number from 0 to 1" if position == 0 else "the integer 0 or 1"
                result.errors.append(f"row {number}: {column} of {id_column} {name} is {text!r}, not {kind}")
                continue
            positive[column] += value > 0.5
            if position == 0:
                probabilities.add(value)
    found = list(first_row)
    result.images = len(found)
    result.positive_share = {column: count / max(len(found), 1) for column, count in positive.items()}
    if expected is not None:
        result.errors += wrong_names("rows", found, expected)
        result.errors += _wrong_order(found, expected, lambda name: f"{id_column} {name}", first_row.__getitem__)
    if len(found) > 1 and len(probabilities) == 1:
        result.warnings.append(f"{columns[0]} is {probabilities.pop():g} in every row: an AUROC of 0.5")
    return result


def _traces_of_a_spreadsheet(path: Path) -> list[str]:
    """What a spreadsheet leaves in a file it has saved; an organiser's plain reader may stumble over it."""
    start = path.read_bytes()[:4096]
    traces = ["begins with a byte-order mark"] * start.startswith(b"\xef\xbb\xbf") + ["has Windows line ends"] * (
        b"\r\n" in start
    )
    return [f"the file {' and '.join(traces)}: was it saved by a spreadsheet?"] if traces else []


def _open(path: Path, columns: Sequence[str]) -> tuple[CheckResult, list[tuple[int, list[str]]]]:
    """Reads the file; rows of another width than the header are reported and left out."""
    result = CheckResult()
    try:
        header, lines = read_csv(path)
        result.size_bytes = path.stat().st_size
    except CompetitionError as error:
        result.errors.append(str(error))
        return result, []
    result.rows = len(lines)
    result.warnings += _traces_of_a_spreadsheet(path)
    problem = header_problem(header, columns)
    if problem is None and header != list(columns):
        problem = f"the columns are in another order: {','.join(header)} instead of {','.join(columns)}"
    if problem is not None:
        result.errors.append(problem)
        return result, []
    if not lines:
        result.errors.append("there is no row below the header")
    if result.size_bytes > LARGE_BYTES:
        result.warnings.append(
            f"the file has {result.size_bytes / 1e6:.0f} MB (29 classes of 288 hands need 21-24): "
            "the organiser's server may refuse it; are the masks full of specks?"
        )
    whole = []
    for number, fields in lines:
        if len(fields) == len(columns):
            whole.append((number, fields))
        else:
            result.errors.append(f"row {number} has {len(fields)} fields, not {len(columns)}")
    return result, whole


def wrong_names(kind: str, found: Sequence[str], expected: Sequence[str]) -> list[str]:
    """Says which names are missing and which don't belong, one sentence each; nothing where the sets are equal."""
    in_found, in_expected = set(found), set(expected)
    missing = [name for name in expected if name not in in_found]
    unknown = [name for name in found if name not in in_expected]
    errors = []
    if {Path(name).stem for name in unknown} & set(missing):
        errors.append(f"{kind} are named with an ending here, and should be without")
    elif {Path(name).stem for name in missing} & set(unknown):
        errors.append(f"{kind} are named without their ending")
    if missing:
        errors.append(f"{len(missing)} of {len(expected)} {kind} missing: {few(missing)}")
    if unknown:
        errors.append(f"{len(unknown)} of {len(found)} {kind} not in the test set: {few(unknown)}")
    return errors


def _wrong_rows(first_row: Mapping[Key, int], classes: Sequence[str], images: Sequence[str]) -> list[str]:
    """Images that lack classes, and the first row that is not where it belongs."""
    errors = []
    present = dict.fromkeys(name for name, _ in first_row)
    for image in present:
        missing = [name for name in classes if (image, name) not in first_row]
        if missing:
            errors.append(
                f"image {image!r} has {len(classes) - len(missing)} of {len(classes)} classes; missing: {few(missing)}"
            )
    wanted = [(image, name) for image in images for name in classes]
    return errors + _wrong_order(
        list(first_row), wanted, lambda key: f"class {key[1]!r} of image {key[0]!r}", first_row.__getitem__
    )


def _wrong_order(
    found: Sequence[Item], expected: Sequence[Item], describe: Callable[[Item], str], row: Callable[[Item], int]
) -> list[str]:
    """Compares the order of what both have; what only one has is reported elsewhere."""
    in_found, in_expected = set(found), set(expected)
    common = [item for item in found if item in in_expected]
    wanted = [item for item in expected if item in in_found]
    for have, want in zip(common, wanted, strict=True):
        if have != want:
            same = "the rows are the same but" if in_found == in_expected else "the rows both have are"
            return [
                f"{same} in another order than the organiser's, first in row {row(have)}: "
                f"{describe(have)} where {describe(want)} belongs"
            ]
    return []


def _probability(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _decision(text: str) -> float | None:
    return float(text) if text in ("0", "1") else None
