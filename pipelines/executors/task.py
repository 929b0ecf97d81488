"""What an executor runs: tasks that may run at once, each a command of ./run.sh; and a worker process that runs one."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from competition.machine import rank_of_process

WORKER = "COMPETITION_WORKER"
"""Environment variable that is set in a worker process: ``OF_JOB`` in that of a job, else "1"."""
OF_JOB = "job"
"""A worker that was started by a job of a cluster, with a pipe as its standard input."""
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
        devices: GPUs or, on this machine without one, cores that it takes.
    """

    name: str
    command: Sequence[str]
    here: Callable[[], object]
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
    if os.environ.get(WORKER) == OF_JOB:
        # Nothing is written to the pipe, which is closed when the job ends. Not sys.stdin.read, whose lock would still
        # be held at the end of this process, which Python answers by SIGABRT.
        wait: Callable[[], object] = partial(os.read, 0, 1)
    elif is_worker() and starter is not None:
        wait = starter.join
    elif rank_of_process()[1] > 1:
        wait = partial(_wait_for_end, launcher)
    else:
        return False

    def watch() -> None:
        wait()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    return is_worker()


def _wait_for_end(launcher: int) -> None:
    """Return when this process has another parent than its launcher, which has ended."""
    while os.getppid() == launcher:
        time.sleep(LOOKING_SECONDS)
