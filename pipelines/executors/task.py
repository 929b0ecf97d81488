"""What an executor runs: tasks that may run at once, each a command of ./run.sh; and a worker process that runs one."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from competition.machine import rank_of_process

WORKER = "COMPETITION_WORKER"
"""Environment variable that is set in a worker process."""
LOOKING_SECONDS = 0.5
"""Between two looks of a rank for the process that started it."""


@dataclass(frozen=True)
class Task:
    """One of several independent pieces of work.

    Attributes:
        name: For messages: "fold 3".
        command: What a user would type after ./run.sh to do this alone.
        here: Does the same in this process.
        finished: Whether it is done already; it then gets no process of its own.
        devices: GPUs or, without one, cores that it takes.
    """

    name: str
    command: Sequence[str]
    here: Callable[[], None]
    finished: bool = False
    devices: int = 1


class Executor(Protocol):
    """A place where tasks run."""

    def run(self, tasks: Sequence[Task]) -> None:
        """Run all tasks and return when they are done.

        Raises:
            CompetitionError: One of them failed.
        """


def is_worker() -> bool:
    """Return whether this process runs a task for another one, which prints for it: a rank's is the first rank."""
    return WORKER in os.environ or rank_of_process()[0] > 0


def end_with_starter() -> bool:
    """End this process when the one that started it ends, if it is a worker or a rank.

    Returns:
        Whether it is a worker.
    """
    starter, launcher = multiprocessing.parent_process(), os.getppid()
    ranks = rank_of_process()[1]
    if ranks == 1 and (not is_worker() or starter is None):
        return False

    def watch() -> None:
        if starter is not None:
            starter.join()
        while starter is None and os.getppid() == launcher:
            time.sleep(LOOKING_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    return is_worker()
