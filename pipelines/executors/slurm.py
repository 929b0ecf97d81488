"""Run tasks as jobs of Slurm, by submitit."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from competition.errors import CompetitionError
from competition.installation import needs_package
from competition.text import nearest_hint, shown
from pipelines.executors.job import Job, run_job
from pipelines.executors.jobs import RESTARTS, Ending, Submit
from pipelines.executors.task import Task

if TYPE_CHECKING:
    import submitit

KEYS = (
    *("partition", "account", "qos", "time", "mem", "mem_per_cpu", "mem_per_gpu", "cpus_per_task", "gpus_per_node"),
    *("gres", "constraint", "nodelist", "exclude", "exclusive", "comment", "mail_type", "mail_user", "wckey"),
)
"""What --slurm may set, as sbatch has it, with _ for -."""
MINUTES = 24 * 60
"""A job's time limit unless --slurm time=MINUTES is given; a fold that reaches it is started again and resumes."""
CORES = 8
"""Cores of a job unless cpus_per_task is given: as many as there are loading processes at most."""


def parse_slurm(texts: Sequence[str]) -> dict[str, str | int]:
    """Read the KEY=VALUE of --slurm.

    Raises:
        CompetitionError: A key is unknown, or a value is missing or no number of minutes.
    """
    settings: dict[str, str | int] = {}
    for text in texts:
        key, _, value = text.partition("=")
        key = key.strip().replace("-", "_")
        if key not in KEYS:
            raise CompetitionError(f"--slurm has no key {shown(key)}{nearest_hint(key, KEYS)}")
        if not value:
            raise CompetitionError(f"--slurm {key} has no value", None, f"Give --slurm {key}=VALUE")
        if key in ("time", "cpus_per_task", "gpus_per_node") and not value.isdecimal():
            unit = "minutes, such as 1440" if key == "time" else "a whole number"
            raise CompetitionError(f"--slurm {key} takes {unit}, not {shown(value)}")
        settings[key] = int(value) if value.isdecimal() else value
    return settings


@dataclass(frozen=True)
class Slurm:
    """A Slurm cluster, whose sbatch gets ``settings``; ``cluster="local"`` is submitit's stand-in without Slurm."""

    settings: Mapping[str, str | int] = field(default_factory=dict)
    cluster: str = "slurm"

    @contextmanager
    def connect(self, tasks: Sequence[Task], logs: Path) -> Iterator[Submit]:
        """Find Slurm; see ``Cluster``."""
        needs_package("submitit", "--on slurm")
        import submitit

        try:
            executor = submitit.AutoExecutor(logs / "submitit", cluster=self.cluster)
        except RuntimeError as error:
            repair = "Run this on a machine of a Slurm cluster, or leave out --on slurm"
            raise CompetitionError("Slurm is not installed on this machine", None, repair) from error
        yield partial(self._submit, executor)

    def _submit(self, executor: "submitit.AutoExecutor", task: Task, job: Job) -> "SlurmJob":
        shown_name, settings = f"{task.command[0]} {task.name}", dict(self.settings)
        minutes, cores = settings.pop("time", MINUTES), settings.pop("cpus_per_task", CORES)
        gpus = settings.pop("gpus_per_node", None if "gres" in settings else task.devices)
        executor.update_parameters(
            **{f"slurm_{key}": value for key, value in settings.items()},
            name=shown_name,
            timeout_min=minutes,
            cpus_per_task=cores,
            gpus_per_node=gpus or None,
            # The executor starts a job again, so Slurm must not do so too.
            slurm_additional_parameters={"no-requeue": True},
        )
        return SlurmJob(partial(_start, executor, job))


def _start(executor: "submitit.AutoExecutor", job: Job) -> "submitit.Job[tuple[int, str]]":
    import submitit

    try:
        return executor.submit(run_job, job)
    except (submitit.core.utils.FailedSubmissionError, submitit.core.utils.FailedJobError, OSError) as error:
        raise _refused(error) from error


def _refused(error: Exception) -> CompetitionError:
    """Return the error that quotes the first line of what Slurm, or submitit, answered."""
    line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    repair = "Change --slurm KEY=VALUE, or log in to a machine of the Slurm cluster"
    return CompetitionError(f"Slurm refuses: {line.strip()}", None, repair)


def reason_of(text: str) -> str:
    """Return the last exception of a traceback that submitit quotes, or the first line where there is none."""
    raised = re.findall(r"^[\w.]+(?:Error|Exception|Interrupt)\b.*", text, re.MULTILINE)
    return raised[-1].rpartition("KilledError: ")[2] if raised else text.strip().split("\n")[0]


class SlurmJob:
    """A job that is submitted again when it was killed, ran out of time, or its machine was lost."""

    def __init__(self, start: "Callable[[], submitit.Job[tuple[int, str]]]") -> None:
        """Submit it."""
        self._start, self._job, self._restarts = start, start(), RESTARTS

    def ending(self) -> Ending | None:
        """Return how it ended; see ``Handle``."""
        import submitit

        if not self._job.done():
            return None
        try:
            return Ending(*self._job.result())
        except submitit.core.utils.UncompletedJobError as error:
            if not self._restarts:
                return Ending(None, reason_of(str(error)))
        self._restarts -= 1
        self._job = self._start()
        return None

    def cancel(self) -> None:
        """End it; see ``Handle``."""
        self._job.cancel(check=False)
