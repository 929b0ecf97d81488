"""Join submissions and truth by name: what one of them lacks is an error."""

from collections.abc import Collection, Container, Sequence
from pathlib import Path
from typing import TypeVar

from competition.errors import CompetitionError
from competition.text import few, near_misses

Item = TypeVar("Item")


def same_rows(
    expected: Sequence[tuple[str, ...]], found: Sequence[tuple[str, ...]], where: Path | str, extra: str
) -> None:
    """Reject a side that lacks a row of the other; the first word of a row is its image or patient.

    Raises:
        CompetitionError: With the rows, and with the right spelling of a misspelt name.
    """
    in_expected, in_found = set(expected), set(found)
    missing = [row for row in expected if row not in in_found]
    unknown = [row for row in found if row not in in_expected]
    parts = []
    if missing:
        parts.append(f"{len(missing)} rows are missing ({few([' '.join(row) for row in missing])})")
    if unknown:
        parts.append(f"{len(unknown)} rows are {extra} ({few([' '.join(row) for row in unknown])})")
    if parts:
        hint = near_misses((row[0] for row in unknown), {row[0]: None for row in missing})
        raise CompetitionError(" and ".join(parts) + hint, where)


def held_by(missing: Collection[Item], paths: Sequence[Path], files: Sequence[Container[Item]]) -> str:
    """Return which file has what another one lacks, for it may be the one that is wrong: ", which B.csv has", or ""."""
    holder = next((path for path, file in zip(paths, files, strict=True) if any(key in file for key in missing)), None)
    return "" if holder is None else f", which {holder} has"
