"""What an executor runs: tasks that may run at once, each a command of ./run.sh; and a worker process that runs one."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

WORKER = "COMPETITION_WORKER"
"""Environment variable that is set in a worker process."""


@dataclass(frozen=True)
class Task:
    """One of several independent pieces of work.

    Attributes:
        name: For messages: "fold 3".
        command: What a user would type after ./run.sh to do this alone.
        here: Does the same in this process.
        finished: Whether it is done already; it then gets no process of its own.
    """

    name: str
    command: Sequence[str]
    here: Callable[[], None]
    finished: bool = False


class Executor(Protocol):
    """A place where tasks run."""

    def run(self, tasks: Sequence[Task]) -> None:
        """Run all tasks and return when they are done.

        Raises:
            CompetitionError: One of them failed.
        """


def is_worker() -> bool:
    """Return whether this process runs a task for another one, which prints for it."""
    return WORKER in os.environ


def end_with_starter() -> bool:
    """End this process when the one that started it ends, if it is a worker; return whether it is."""
    starter = multiprocessing.parent_process()
    if not is_worker() or starter is None:
        return False

    def watch() -> None:
        starter.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    return True
