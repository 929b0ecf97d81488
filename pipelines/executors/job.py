"""What a job of a cluster does on the machine that it runs on: a command of ./run.sh, as a process of its own.

Imports nothing but Python's own modules, because Ray sends this module to machines as it is.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL_BYTES = 4000
"""How much of the end of a log a job returns."""


@dataclass(frozen=True)
class Job:
    """A command and where it runs.

    Attributes:
        words: What is typed after ./run.sh.
        workspace: A folder that all machines share.
        logs: Receives the output, in one file per start: NAME.1.log, NAME.2.log ...
        name: Of the files.
        folder: Where the command was typed; the workspace is taken where there is no such folder.
        environment: Variables that are set for it.
    """

    words: Sequence[str]
    workspace: str
    logs: str
    name: str
    folder: str
    environment: Mapping[str, str]


class KilledError(Exception):
    """The command did not end by itself and can be started again."""


def log_files(folder: str, name: str) -> list[Path]:
    """Return the logs of a job's starts, the first one first."""
    return sorted(Path(folder).glob(f"{name}.*.log"), key=lambda path: int(path.suffixes[-2][1:]))


def run_job(job: Job) -> tuple[int, str]:
    """Run a command to its end.

    Returns:
        Its exit status and the end of what it printed.

    Raises:
        KilledError: It was killed or interrupted.
    """
    machine = socket.gethostname()
    if not Path(job.workspace).is_dir():
        return 1, f"the machine {machine} has no folder {job.workspace}"
    Path(job.logs).mkdir(parents=True, exist_ok=True)
    log = Path(job.logs) / f"{job.name}.{len(log_files(job.logs, job.name)) + 1}.log"
    with log.open("wb", buffering=0) as output:
        output.write(f"{machine}, {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines", *job.words, "--workspace", job.workspace],
            stdin=subprocess.PIPE,  # closed when this process ends, however it ends: then the command ends too
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=job.folder if Path(job.folder).is_dir() else job.workspace,
            env=os.environ | job.environment,
        )
        try:
            status = process.wait()
        finally:  # the job was cancelled
            process.kill()
            process.wait()
    if status < 0 or status == 130:
        raise KilledError(f"killed on {machine}" if status < 0 else f"interrupted on {machine}")
    return status, log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
