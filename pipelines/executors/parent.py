"""A process that trains one fold for another process: it ends when that one does, and leaves the talking to it."""

import multiprocessing
import os
import threading

CHILD = "COMPETITION_FOLD_OF_PARENT"
"""Set for such a process."""


def works_for_another() -> bool:
    """Return whether this process does."""
    return CHILD in os.environ


def end_with_parent() -> bool:
    """In a process started here: watches for the end of the parent.

    Returns:
        Whether this process trains for another one.
    """
    parent = multiprocessing.parent_process()
    if not works_for_another() or parent is None:
        return False

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    return True
