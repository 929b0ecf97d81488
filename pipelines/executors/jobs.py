"""Run tasks as the jobs of a cluster: a log per job, a table of their states, and an end to all when one fails."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shlex import join
from typing import Protocol

from competition.console import say, status_table
from competition.errors import CompetitionError
from competition.files import make_folder
from competition.installation import PACKAGE
from competition.workspace import Workspace
from pipelines.executors.job import Job, log_files
from pipelines.executors.task import OF_JOB, WORKER, Task

RESTARTS = 2
"""How often the command of a job that was killed, or whose machine was lost, is started again."""
POLL_SECONDS = 1.0
PASSED_ON = ("WANDB_MODE", "HF_HOME", "HF_HUB_OFFLINE", "TORCH_HOME")
"""Environment variables that a job gets where they are set here, beside those of run.sh."""


@dataclass(frozen=True)
class Ending:
    """How a job ended: the command's exit status and the end of its log, or None and why the job was lost."""

    status: int | None
    text: str


class Handle(Protocol):
    """A job that was submitted."""

    def ending(self) -> Ending | None:
        """Return how it ended; None while it waits or runs, also once more after it was killed."""

    def cancel(self) -> None:
        """End it, whether it waits or runs."""


Submit = Callable[[Task, Job], Handle]


class Cluster(Protocol):
    """A service that runs jobs on other machines."""

    def connect(self, tasks: Sequence[Task], logs: Path) -> AbstractContextManager[Submit]:
        """Open a connection to run ``tasks``; files of its own go to ``logs``, which all machines share.

        Raises:
            CompetitionError: The cluster does not answer or refuses, or its package is not installed.
        """


@dataclass(frozen=True)
class JobExecutor:
    """Run each unfinished task as a job of a cluster whose machines share the workspace."""

    cluster: Cluster
    workspace: Workspace

    def run(self, tasks: Sequence[Task]) -> None:
        """Run all tasks; when one fails, or on Ctrl-C, cancel the others."""
        waiting = [task for task in tasks if not task.finished]
        if not waiting:
            return
        logs = self.workspace.job_logs_folder(f"{datetime.now():%Y%m%d-%H%M%S}-{waiting[0].command[0]}-{os.getpid()}")
        make_folder(logs)
        try:
            with self.cluster.connect(waiting, logs) as submit:
                say(f"running {', '.join(task.name for task in waiting)} as jobs; their logs: {logs}")
                self._run_on(submit, waiting, logs)
        finally:
            with suppress(OSError):  # it holds logs, unless the cluster refused
                logs.rmdir()

    def _run_on(self, submit: Submit, tasks: Sequence[Task], logs: Path) -> None:
        running: dict[str, Handle] = {}
        try:
            for task in tasks:
                running[task.name] = submit(task, job_of(task, self.workspace, logs))
            _wait_for_all(tasks, running, logs)
        finally:
            for handle in running.values():
                handle.cancel()


def job_of(task: Task, workspace: Workspace, logs: Path) -> Job:
    """Return what a machine needs to know to run a task."""
    from pipelines.__main__ import ENVIRONMENT  # here, because it imports this package

    passed_on = {name: os.environ[name] for name in (*ENVIRONMENT, *PASSED_ON) if name in os.environ}
    paths = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
    environment = passed_on | {"PYTHONPATH": paths, WORKER: OF_JOB}
    return Job(task.command, str(workspace.root), str(logs), _file_name(task), os.getcwd(), environment)


def _file_name(task: Task) -> str:
    return task.name.replace(" ", "_")


def _wait_for_all(tasks: Sequence[Task], running: dict[str, Handle], logs: Path) -> None:
    """Wait until all jobs have ended, and take each that has out of ``running``, which maps names of tasks to jobs.

    Raises:
        CompetitionError: One failed; the end of its log and its command were printed.
    """
    endings: dict[str, Ending] = {}
    with status_table("jobs", ["task", "state", "newest line of its log"]) as show:
        while running and all(ending.status == 0 for ending in endings.values()):
            time.sleep(POLL_SECONDS)
            for name, handle in [*running.items()]:
                if (ending := handle.ending()) is not None:
                    endings[name] = ending
                    del running[name]
            show([[task.name, _state(task, endings.get(task.name), logs), _newest_line(task, logs)] for task in tasks])
    for task in tasks:
        if task.name in endings and endings[task.name].status != 0:
            raise _failure(task, endings[task.name], logs)


def _state(task: Task, ending: Ending | None, logs: Path) -> str:
    if ending is not None:
        return "finished" if ending.status == 0 else "failed"
    starts = len(log_files(str(logs), _file_name(task)))
    return "waiting" if not starts else "running" if starts == 1 else f"running, started {starts} times"


def _newest_line(task: Task, logs: Path) -> str:
    files = log_files(str(logs), _file_name(task))
    if not files:
        return ""
    with files[-1].open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 1000))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _failure(task: Task, ending: Ending, logs: Path) -> CompetitionError:
    files = log_files(str(logs), _file_name(task))
    repair = "Run the same command again to resume"
    if ending.status is None:
        what = f"{task.name} was lost {RESTARTS + 1} times ({ending.text})"
        return CompetitionError(what, files[-1] if files else logs, repair)
    if not files:  # it could not begin, because the machine does not see the workspace
        repair = "Give a --workspace on a folder that all machines share under the same path"
        return CompetitionError(f"{task.name} failed: {ending.text.strip()}", None, repair)
    say(f"\nend of the log of {task.name}:\n{ending.text.rstrip()}\n\nits command: ./run.sh {join(task.command)}")
    return CompetitionError(f"{task.name} failed (the end of its log is above)", files[-1], repair)
