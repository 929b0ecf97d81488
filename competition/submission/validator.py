"""Would the organiser take it? Everything that is wrong with a submission, at once, with the rows."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from competition.errors import CompetitionError, on_one_line
from competition.formats.csv_files import read_csv
from competition.formats.named_columns import header_problem
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, RunLengthSubmission
from competition.submission.run_lengths.rows import Key
from competition.submission.submission_files import no_known_class, number_in, shortened
from competition.text import few, near_misses, nearest_hint

Item = TypeVar("Item")

# 8,352 rows of hands are 21-24 MB; a submission smeared by a CRF was too large for the organiser's server.
LARGE_BYTES = 100_000_000

# What makes two errors of one kind differ: names in quotes and numbers.
_VARIES = re.compile(r"'[^']*'|[0-9]+")


@dataclass
class CheckResult:
    """What is wrong with a submission, and what is in it.

    Attributes:
        warnings: What is allowed and hardly meant.
        rows: Rows below the header.
        images: Different images (patients in a table).
        positive_share: Class -> share of the images with a mask (in a table: of the rows above 0.5).
        size_bytes: Size of the file.
    """

    warnings: list[str] = field(default_factory=list)
    rows: int = 0
    images: int = 0
    positive_share: dict[str, float] = field(default_factory=dict)
    size_bytes: int = 0
    _first: dict[str, str] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)

    @property
    def ok(self) -> bool:
        """Whether no error was found."""
        return not self._counts

    @property
    def faults(self) -> int:
        """Number of errors."""
        return self._counts.total()

    @property
    def errors(self) -> list[str]:
        """Why it would be refused or scored wrongly, a sentence for each kind of error.

        It names the row, image or class of the first error of that kind, and how many more there are.
        """
        return [
            f"{first.removesuffix('.')} (and {self._counts[kind] - 1:,} more like it)"
            if self._counts[kind] > 1
            else first
            for kind, first in self._first.items()
        ]

    def refuse(self, sentence: str, kind: str | None = None) -> None:
        """Enters an error.

        Args:
            sentence: What is wrong and where.
            kind: What it has in common with others like it; by default the sentence itself. Numbers and quoted names
                don't count.
        """
        key = _VARIES.sub("", sentence if kind is None else kind)
        self._first.setdefault(key, on_one_line(sentence))
        self._counts[key] += 1


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
    result, lines = _open(path, form.header(classes))
    masks = [(number, cells[0], *mask) for number, cells in lines for mask in form.masks(cells, classes)]
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
        elif first != number and (not form.several_rows or (image, name, cell) in said):
            result.refuse(f"row {number}: class {name!r} of image {image!r} appears twice (first in row {first})")
        else:
            said.add((image, name, cell))
            size = (sizes or {}).get(image, size_hw)
            try:
                if form.check(cell, f"row {number}, {image}, {name}", size and math.prod(size)):
                    filled.add((image, name))
            except CompetitionError as error:
                filled.add((image, name))
                result.refuse(str(error), error.what)
    found = list(dict.fromkeys(image for image, _ in first_row))
    non_empty = Counter(name for _, name in filled)
    result.images = len(found)
    result.positive_share = {name: non_empty[name] / len(found) for name in classes}
    if expected is not None:
        compare_names(result, "images", found, expected)
    _check_rows(result, first_row, classes, found if expected is None else expected)
    if empty := [name for name in classes if not non_empty[name]]:
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
            result.refuse(f"row {number}: {id_column} {name!r} appears twice (first in row {first_row[name]})")
            continue
        first_row[name] = number
        for position, (column, text) in enumerate(zip(columns, cells, strict=True)):
            value = _probability(text) if position == 0 else _decision(text)
            if value is None:
                kind = "a number from 0 to 1" if position == 0 else "the integer 0 or 1"
                result.refuse(f"row {number}: {column} of {id_column} {name} is {shortened(text)}, not {kind}", kind)
                continue
            positive[column] += value > 0.5
            if position == 0:
                probabilities.add(value)
    found = list(first_row)
    result.images = len(found)
    result.positive_share = {column: count / max(len(found), 1) for column, count in positive.items()}
    if expected is not None:
        compare_names(result, "rows", found, expected)
        _compare_order(result, found, expected, lambda name: f"{id_column} {name}", first_row.__getitem__)
    if len(found) > 1 and len(probabilities) == 1:
        result.warnings.append(f"{columns[0]} is {probabilities.pop():g} in every row: an AUROC of 0.5")
    return result


def _traces_of_a_spreadsheet(path: Path) -> list[str]:
    """What a spreadsheet leaves in a file it has saved; an organiser's plain reader may stumble over it."""
    with path.open("rb") as file:
        start = file.read(4096)
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
        result.refuse(str(error))
        return result, []
    result.rows = len(lines)
    result.warnings += _traces_of_a_spreadsheet(path)
    problem = header_problem(header, columns)
    if problem is None and header != list(columns):
        problem = f"the columns are in another order: {','.join(header)} instead of {','.join(columns)}"
    if problem is not None:
        result.refuse(problem)
        return result, []
    if not lines:
        result.refuse("there is no row below the header")
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
            result.refuse(f"row {number} has {len(fields)} fields, not {len(columns)}")
    return result, whole


def compare_names(result: CheckResult, kind: str, found: Sequence[str], expected: Sequence[str]) -> None:
    """Enters which names are missing and which don't belong; where they are misspelt, with the right spelling.

    Args:
        result: Gets a sentence for each of the two.
        kind: What is named: "images", "rows" or "files".
        found: Names in the submission.
        expected: Names of the test set.
    """
    in_found, in_expected = set(found), set(expected)
    missing = [name for name in expected if name not in in_found]
    unknown = [name for name in found if name not in in_expected]
    if missing:
        result.refuse(f"{len(missing)} of {len(expected)} {kind} missing: {few(missing)}")
    if unknown:
        hint = near_misses(unknown, missing)
        result.refuse(f"{len(unknown)} of {len(found)} {kind} not in the test set: {few(unknown)}{hint}")


def _check_rows(
    result: CheckResult, first_row: Mapping[Key, int], classes: Sequence[str], images: Sequence[str]
) -> None:
    """Enters images that lack classes, and the first row that is not where it belongs."""
    for image in dict.fromkeys(name for name, _ in first_row):
        missing = [name for name in classes if (image, name) not in first_row]
        if missing:
            result.refuse(
                f"image {image!r} has {len(classes) - len(missing)} of {len(classes)} classes; missing: {few(missing)}",
                "images that lack classes",
            )
    wanted = [(image, name) for image in images for name in classes]
    describe = "class {0[1]!r} of image {0[0]!r}".format
    _compare_order(result, list(first_row), wanted, describe, first_row.__getitem__)


def _compare_order(
    result: CheckResult,
    found: Sequence[Item],
    expected: Sequence[Item],
    describe: Callable[[Item], str],
    row: Callable[[Item], int],
) -> None:
    """Compares the order of what both have; what only one has is reported elsewhere."""
    in_found, in_expected = set(found), set(expected)
    common = [item for item in found if item in in_expected]
    wanted = [item for item in expected if item in in_found]
    for have, want in zip(common, wanted, strict=True):
        if have != want:
            same = "the rows are the same but" if in_found == in_expected else "the rows both have are"
            result.refuse(
                f"{same} in another order than the organiser's, first in row {row(have)}: "
                f"{describe(have)} where {describe(want)} belongs"
            )
            return


def _probability(text: str) -> float | None:
    value = number_in(text)
    return value if value is not None and 0 <= value <= 1 else None


def _decision(text: str) -> float | None:
    return float(text) if text in ("0", "1") else None
