"""Run tasks as tasks of Ray Core, on a running Ray cluster or on one that is started on this machine."""

import os
import re
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from competition.console import shout
from competition.errors import CompetitionError
from competition.installation import needs_package
from competition.machine import AT_ONCE
from pipelines.executors import job as job_module
from pipelines.executors.job import Job, run_job
from pipelines.executors.jobs import RESTARTS, Ending, Submit
from pipelines.executors.task import Task

ANSWER_SECONDS = 10.0
"""How long an address may take to answer; Ray itself would wait for minutes."""
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""How each gRPC connection begins (RFC 9113, section 3.4): the preface and an empty SETTINGS frame."""


@dataclass(frozen=True)
class Ray:
    """A Ray cluster; without an address the one that runs on this machine, or a new one."""

    address: str | None = None
    tasks_per_gpu: int = 1

    @contextmanager
    def connect(self, tasks: Sequence[Task], logs: Path) -> Iterator[Submit]:
        """Connect to the cluster; see ``Cluster``."""
        needs_package("ray", "--on ray")
        address = self.address or os.environ.get("RAY_ADDRESS")
        if address is None:
            address = running_here() or "local"  # which starts one
        else:
            check_answer(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no figures leave this machine
        import ray

        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address, log_to_driver=False, logging_level="error", configure_logging=False)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise _no_answer(address, str(error).strip().split("\n")[0]) from error
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own handler would end the program without cancelling
        try:
            ray.cloudpickle.register_pickle_by_value(job_module)
            gpus = tasks[0].devices / self.tasks_per_gpu
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            yield partial(_submit, share_of_machine(nodes, gpus, len(tasks)))
        finally:
            ray.shutdown()


def running_here(folder: Path | None = None) -> str | None:
    """Return the address of the Ray cluster that runs on this machine, of which Ray keeps a file in ``folder``.

    A cluster that was killed leaves the file behind, and ``ray.init()`` would wait for it for minutes.
    """
    file = (folder or Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray") / "ray_current_cluster"
    try:
        address = file.read_text(encoding="utf-8").strip()
        check_answer(address)
    except (OSError, CompetitionError):
        return None
    return address


def check_answer(address: str) -> None:
    """Make sure that a server of Ray answers at HOST:PORT or ray://HOST:PORT.

    Raises:
        CompetitionError: There is no such address, or it does not answer within ``ANSWER_SECONDS``.
    """
    found = re.fullmatch(r"(?:ray://)?\[?([^/\[\]]+)\]?:(\d{1,5})", address)
    if found is None:
        if address in ("auto", "local"):
            return
        raise CompetitionError(
            f"--on ray:{address} is not a valid address", None, "Give ray:HOST:6379 or ray:ray://HOST:10001"
        )
    try:
        with socket.create_connection((found[1], int(found[2])), timeout=ANSWER_SECONDS) as connection:
            if "RAY_USE_TLS" in os.environ:
                return
            connection.sendall(HELLO)
            if connection.recv(4)[3:] != b"\x04":  # the type of the server's first frame, which is SETTINGS too
                raise OSError("something else than Ray answers")
    except (OSError, OverflowError) as error:
        raise _no_answer(address, getattr(error, "strerror", None) or str(error)) from error


def _no_answer(address: str, reason: str) -> CompetitionError:
    repair = "Start Ray there (ray start --head)"
    if not address.startswith("ray://"):
        repair += "; from a machine outside the cluster give --on ray:ray://HOST:10001"
    if "RAY_AUTH_TOKEN" not in os.environ:
        repair += "; for a cluster with a token set RAY_AUTH_TOKEN"
    return CompetitionError(f"no Ray cluster answers ({reason})", address, repair)


@dataclass(frozen=True)
class Share:
    """What a task gets of a machine: GPUs and cores, and how many like it there may be on one machine."""

    gpus: float
    cores: int
    at_once: int


def share_of_machine(machines: Sequence[Mapping[str, float]], gpus: float, tasks: int) -> Share:
    """Return the share of each of ``tasks`` tasks that need ``gpus`` GPUs, in a cluster of some machines.

    Without any GPU in the cluster, the cores are divided as on one machine (``local.threads``).

    Raises:
        CompetitionError: No machine has as many GPUs.
    """
    if not any(machine.get("GPU") for machine in machines):
        shout("the Ray cluster has no GPU: tasks run on its cores")
        total = sum(machine.get("CPU", 0) for machine in machines)
        most = max(machine.get("CPU", 0) for machine in machines)
        cores = max(1, int(min(most, total // tasks)))
        return Share(0, cores, max(1, int(most // cores)))
    fitting = [machine for machine in machines if machine.get("GPU", 0) >= gpus]
    if not fitting:
        most = max(machine.get("GPU", 0) for machine in machines)
        raise CompetitionError(f"a task needs {gpus:g} GPUs, and no machine of the Ray cluster has more than {most:g}")
    cores = min(int(machine.get("CPU", 1) * gpus / machine["GPU"]) for machine in fitting)
    return Share(gpus, max(1, cores), max(int(machine["GPU"] / gpus) for machine in fitting))


def _submit(share: Share, task: Task, job: Job) -> "RayTask":
    import ray

    job = replace(job, environment={**job.environment, AT_ONCE: str(share.at_once)})
    options = {"num_gpus": share.gpus, "num_cpus": share.cores, "max_retries": RESTARTS, "retry_exceptions": True}
    return RayTask(ray.remote(**options)(run_job).options(name=task.name).remote(job))


class RayTask:
    """A task of Ray, which Ray itself starts again when it was killed or its machine was lost."""

    def __init__(self, reference: Any) -> None:
        """Remember where its result will be."""
        self._reference = reference

    def ending(self) -> Ending | None:
        """Return how it ended; see ``Handle``."""
        import ray

        if not ray.wait([self._reference], timeout=0)[0]:
            return None
        try:
            return Ending(*ray.get(self._reference))
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            return Ending(None, str(cause).strip().split("\n")[0])

    def cancel(self) -> None:
        """End it; see ``Handle``."""
        import ray

        ray.cancel(self._reference, force=True)
