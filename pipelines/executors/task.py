"""What an executor runs: tasks that may run at once, each a command of ./run.sh."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Task:
    """One of several pieces of work that do not talk to each other.

    Attributes:
        name: For messages: "fold 3".
        command: What a user would type after ./run.sh to do this alone.
        here: Does the same in this process.
        finished: Whether it was done before; it then gets no process of its own.
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
