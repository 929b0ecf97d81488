"""Check a table: all that is wrong with it at once, with the rows."""

from collections.abc import Sequence
from pathlib import Path

from competition.submission.check_result import CheckResult, compare_names
from competition.submission.csv_submission import compare_order, open_csv
from competition.submission.known_images import NOTHING_KNOWN, KnownImages
from competition.submission.table.files import number_in, shortened


def check_table_submission(
    path: Path, id_column: str, columns: Sequence[str], images: KnownImages = NOTHING_KNOWN
) -> CheckResult:
    """Check a table submission: first column a probability, the others 0 or 1.

    Args:
        path: The CSV; here the order of the columns counts too.
        id_column: Header of the first column ("Index").
        columns: Headers of the others, in the organiser's order.
        images: The ids in the organiser's order (the scorer joins by position); any are taken where none are known.

    Returns:
        All that was found. A file that can't be read at all is one error.
    """
    result, lines = open_csv(path, (id_column, *columns))
    result.enter_scope(["form", "values"], images)
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
    if images.names is not None:
        compare_names(result, "rows", found, images.names)
        compare_order(result, found, images.names, lambda name: f"{id_column} {name}", first_row.__getitem__)
    if len(found) > 1 and len(probabilities) == 1:
        result.warnings.append(f"{columns[0]} is {probabilities.pop():g} in every row: an AUROC of 0.5")
    return result


def _probability(text: str) -> float | None:
    value = number_in(text)
    return value if value is not None and 0 <= value <= 1 else None


def _decision(text: str) -> float | None:
    return float(text) if text in ("0", "1") else None
