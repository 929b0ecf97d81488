"""CSV files read by the names of their columns, whatever their order and whatever other columns stand beside them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from competition.errors import CompetitionError
from competition.formats.csv_files import read_csv

SHOWN_HEADER = 60
"""Characters of a wrong first line that are shown."""

SHOWN_COLUMNS = 10
"""Columns that are named; of more, the others are counted."""


def read_columns(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Read some columns of a CSV; blanks around names and cells don't count.

    Args:
        path: The CSV.
        columns: Names of the columns; others are skipped.

    Yields:
        Line number in the file (the header is line 1), and the cells in the order of ``columns``.

    Raises:
        CompetitionError: The file can't be read, a column is missing or named twice, or a row has more or fewer cells
            than the header.
    """
    header, lines = read_csv(path)
    names = [name.strip() for name in header]
    problem = header_problem(names, columns, others=True)
    if problem is not None:
        raise CompetitionError(problem, path)
    positions = [names.index(column) for column in columns]
    for line, fields in lines:
        if len(fields) != len(names):
            raise CompetitionError(f"row {line} has {len(fields)} fields, not {len(names)}", path)
        yield line, [fields[at].strip() for at in positions]


def header_problem(header: Sequence[str], columns: Sequence[str], others: bool = False) -> str | None:
    """Says which columns are missing, named twice or too many.

    Args:
        header: Names of the columns that are there.
        columns: Those that are wanted, in any order.
        others: Whether other columns may stand beside them.

    Returns:
        A sentence; None where the set is right.
    """
    counts, wanted = Counter(header), set(columns)
    missing = [column for column in columns if column not in counts]
    extra = [column for column in counts if column not in wanted]
    twice = sorted(column for column, count in counts.items() if count > 1 and not (others and column not in wanted))
    if not missing and not twice and (others or not extra):
        return None
    parts = [
        f"{what} {_listed(names)}"
        for what, names in (("missing", missing), ("too many", extra), ("twice", twice))
        if names
    ]
    told = f"the columns are not {','.join(columns)}"
    if len(missing) == len(columns):
        first_line = ",".join(header)
        shown = first_line if len(first_line) <= SHOWN_HEADER else f"{first_line[:SHOWN_HEADER]}..."
        return f"{told}: the first line is {shown!r} (no header, or a file of another track? See --track)"
    hint = " (a file of another track? See --track)" if missing else ""
    hint = " (an unnamed column is a row number: write with index=False)" if "" in extra else hint
    return f"{told}: {'; '.join(parts)}{hint}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_COLUMNS
    return ", ".join(map(repr, names[:SHOWN_COLUMNS])) + (f" and {more} more" if more > 0 else "")
