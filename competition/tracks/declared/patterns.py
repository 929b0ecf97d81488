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
    try:
        with _time_limit(SECONDS):
            found = re.search(pattern, text)
    except TimeoutError as error:
        what = f"the regular expression {pattern[:80]!r} takes more than {SECONDS:g} s on {text[:80]!r}"
        repair = "Write it without a repetition inside of a repetition, such as (a+)+"
        raise CompetitionError(what, repair=repair) from error
    return (found.group(1) or None) if found else None


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
