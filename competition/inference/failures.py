"""What can't be predicted: each reason once, at the end, so that the others are predicted first."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from competition.console import shout
from competition.errors import CompetitionError


@dataclass(frozen=True)
class Failure:
    """Something that can't be predicted, and the reason in one sentence that names it."""

    path: str
    reason: str


def failure(path: Path, error: CompetitionError) -> Failure:
    """Return the failure of an error."""
    return Failure(str(path), str(error))


def failures_as_error(failures: Sequence[Failure], total: int) -> CompetitionError:
    """Return the error of the failures among all that was given; they are listed first unless there is one thing.

    Args:
        failures: At least one.
        total: How many things were given, those that were predicted included.
    """
    if total == 1:
        return CompetitionError(failures[0].reason)
    for one in failures:
        shout(f"not predicted: {one.reason}")
    return CompetitionError(f"{len(failures)} of {total} could not be predicted; the reasons are listed above")
