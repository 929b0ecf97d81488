"""Regular expressions of users, searched with a time limit, because a short one can take years."""

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from competition.errors import CompetitionError

SECONDS = 1.0
"""For one text. A normal pattern takes microseconds on a file name."""


def find_group(pattern: str, text: str) -> str | None:
    r"""Return what the first bracket of a pattern such as "^(\d+)_" matches in a text; None if nothing.

    Raises:
        CompetitionError: The search takes longer than ``SECONDS``. The limit applies in the main thread, which all
            stages run in; in other threads Python can't stop a search.
    """
    found = _search(pattern, text)
    return (found.group(1) or None) if found else None


def find_named(pattern: str, text: str) -> dict[str, str] | None:
    r"""Return what the named brackets of a pattern such as "(?P<case>\d+)/" match; None if the pattern does not.

    Brackets that take no part in the match are left out. Errors as ``find_group``.
    """
    found = _search(pattern, text)
    return None if found is None else {name: part for name, part in found.groupdict().items() if part is not None}


def _search(pattern: str, text: str) -> re.Match[str] | None:
    try:
        with _time_limit(SECONDS):
            return re.search(pattern, text)
    except TimeoutError as error:
        what = f"the regular expression {pattern[:80]!r} takes more than {SECONDS:g} s on {text[:80]!r}"
        repair = "Write it without a repetition inside of a repetition, such as (a+)+"
        raise CompetitionError(what, repair=repair) from error


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after so many seconds; Python's ``re`` looks for signals while it searches."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
