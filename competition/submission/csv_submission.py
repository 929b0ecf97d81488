"""Submissions as CSV: writing one, opening one for a check, comparing the order of its rows."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from competition.errors import CompetitionError
from competition.files import whole_file
from competition.formats.csv_files import header_problem, read_csv
from competition.submission.check_result import CheckResult
from competition.submission.known_images import Item

# 8,352 rows of hands take 21-24 MB; a submission with masks full of specks was too large for the organiser's server.
LARGE_BYTES = 100_000_000


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV row by row, whole or not at all.

    Raises:
        CompetitionError: The disk is full or the folder can't be written.
    """
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(_outside(rows))
        file.flush()
        os.fsync(file.fileno())  # renamed before its bytes are on disk, a power cut would leave an empty file


def _outside(rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
    """Pass rows on; a prediction that can't be read must not be reported as a file that can't be written."""
    try:
        yield from rows
    except OSError as error:
        what = f"a prediction for the submission can't be read ({error.strerror or error})"
        raise CompetitionError(what, error.filename) from error


def _traces_of_a_spreadsheet(path: Path) -> list[str]:
    """Return a warning about what a spreadsheet leaves in a file, because the organiser's reader may reject it."""
    with path.open("rb") as file:
        start = file.read(4096)
    traces = ["begins with a byte-order mark"] * start.startswith(b"\xef\xbb\xbf")
    traces += ["has Windows line ends"] * (b"\r\n" in start)
    return [f"the file {' and '.join(traces)}: was it saved by a spreadsheet?"] if traces else []


def open_csv(path: Path, columns: Sequence[str], if_more: str = "") -> tuple[CheckResult, list[tuple[int, list[str]]]]:
    """Read a CSV for a check; rows of another width than the header are reported and left out.

    ``if_more`` is added to the error on further columns beside all that are expected.
    """
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
        result.refuse(problem + (if_more if set(columns) < set(header) and "" not in header else ""))
        return result, []
    if not lines:
        result.refuse("there is no row below the header")
    if result.size_bytes > LARGE_BYTES:
        result.warnings.append(
            f"the file has {result.size_bytes / 1e6:.0f} MB (29 classes of 288 hands need 21-24): "
            "the organiser's server may reject it; are the masks full of specks?"
        )
    whole = []
    for number, fields in lines:
        if len(fields) == len(columns):
            whole.append((number, fields))
        else:
            result.refuse(f"row {number} has {len(fields)} fields, not {len(columns)}")
    return result, whole


def compare_order(
    result: CheckResult,
    found: Sequence[Item],
    expected: Sequence[Item],
    describe: Callable[[Item], str],
    row: Callable[[Item], int],
) -> None:
    """Record where the order of the items that both have differs first; ``compare_names`` records the others."""
    in_found, in_expected = set(found), set(expected)
    common = [item for item in found if item in in_expected]
    wanted = [item for item in expected if item in in_found]
    for have, want in zip(common, wanted, strict=True):
        if have != want:
            same = "the rows are the same but" if in_found == in_expected else "the rows both have are"
            result.refuse(
                f"{same} in another order than the test set's, first in row {row(have)}: "
                f"{describe(have)} where {describe(want)} belongs"
            )
            return
