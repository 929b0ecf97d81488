"""Start the processes that train one fold together, by the launcher of torch (torchrun) on this machine alone."""

import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from competition.errors import CompetitionError
from competition.training.ranks import AGAIN
from pipelines.executors.task import WORKER

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def run_ranks(name: str, command: Sequence[str], count: int) -> None:
    """Run a command of ./run.sh in several processes, each on its own GPU or, without one, on its part of the cores.

    Where one of them ends, the launcher ends the others.

    Args:
        name: For messages: "fold 3".
        command: As in ``Task``.
        count: How many processes.

    Raises:
        CompetitionError: One of them failed; its own message was printed.
    """
    # Here, because other commands should not wait for it.
    import torch
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for part in ("", ".agent.server.api"):
        logging.getLogger(f"torch.distributed.elastic{part}").setLevel(logging.CRITICAL)  # the errors below say it
    with tempfile.TemporaryDirectory() as logs, _own_environment(torch.get_num_threads() // count):
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=str(uuid.uuid4()),
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",  # any free port
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "pipelines", *command)
        except SignalException as error:
            raise KeyboardInterrupt from error
        except ChildFailedError as error:
            number, failure = error.get_first_failure()
            if failure.exitcode == 130:
                raise KeyboardInterrupt from error
            what = f"{name} failed (its message is above)"
            if failure.exitcode < 0:
                what = f"{name} failed: its process {number} was ended by {failure.signal_name()}"
            raise CompetitionError(what, None, AGAIN) from error


@contextmanager
def _own_environment(threads: int) -> Iterator[None]:
    """Let the ranks know whose workers they are and how many threads they have; keep this process's own signals."""
    before = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    # As many as they would be after an interruption: another order of additions changes the last bit.
    os.environ |= {WORKER: "1", "OMP_NUM_THREADS": str(max(1, threads))}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before
        for number, handler in handlers.items():
            signal.signal(number, handler)
