"""Run tasks at once: one or more processes per GPU, or one per processor core where there is no GPU.

Folds are independent, so this scales without loss. Two folds of one thread each run nearly twice as fast on two cores
as one after the other on two threads, because a small network's layers are too short to share.
"""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess

from competition.console import say, shout
from competition.errors import CompetitionError
from competition.machine import AT_ONCE, cores
from competition.text import counted
from pipelines.executors.task import WORKER, Task, is_worker


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch  # here, because --help should not wait for it

    gpus = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    # CUDA itself takes the names up to the first of a GPU that is not there.
    return visible.split(",")[:gpus] if visible else [str(index) for index in range(gpus)]


def slots(tasks: int, devices: int = 1, per_gpu: int = 1) -> list[dict[str, str]]:
    """Return the environments of the processes that may run at once; a single one means that no process is started.

    Args:
        tasks: How many there are.
        devices: GPUs or, without one, cores that each of them takes.
        per_gpu: How many tasks share a GPU, or a group of ``devices`` of them.

    Raises:
        CompetitionError: There are fewer GPUs than a task takes, or none that tasks could share.
    """
    names = visible_gpus()
    if not names:
        if per_gpu > 1:
            what = f"--folds-per-gpu {per_gpu}: there is no GPU, and without one the cores are shared anyway"
            raise CompetitionError(what, None, "Leave it out")
        return [{}] * max(1, min(tasks, cores() // devices))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if visible.count(",") >= len(names):
        shout(f"CUDA_VISIBLE_DEVICES={visible}: CUDA finds only {', '.join(names)}, so no other GPU is used")
    if len(names) < devices:
        what = f"--gpus-per-fold {devices}: this machine has {counted(len(names), 'GPU')}"
        raise CompetitionError(what, None, f"Give --gpus-per-fold {len(names)} or fewer")
    groups = [",".join(names[first : first + devices]) for first in range(0, len(names) - devices + 1, devices)]
    # The first tasks take a GPU each; only then are they shared.
    return [{"CUDA_VISIBLE_DEVICES": group} for group in (groups * per_gpu)[:tasks]]


def threads(folds: int) -> int:
    """Return the threads of one fold where there is no GPU, given how many folds were asked for.

    How many are left does not matter: the order in which threads add up numbers changes the last bit, and a resumed run
    must give the same weights.
    """
    return max(1, cores() // folds)


def at_once(unfinished: int, environments: Sequence[dict[str, str]]) -> int:
    """Return how many of the unfinished folds train at once.

    Without a GPU the last ones share the cores, so that none is idle: five folds take two cores as long as two and a
    half, not three.
    """
    places = len(environments)
    return unfinished if not environments[0] and unfinished < 2 * places else places


def start_importing(stage: str) -> ForkServerContext:
    """Start the process that workers are forked from: it imports what a stage needs while this process goes on."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"pipelines.{stage}"])
    forkserver.ensure_running()
    return context


@dataclass(frozen=True)
class LocalExecutor:
    """Run tasks on this machine: ``per_gpu`` processes at once on each GPU or, without one, one on each core."""

    per_gpu: int = 1

    def run(self, tasks: Sequence[Task]) -> None:
        """Run all tasks, in this process where only one can run at a time."""
        environments = slots(len(tasks), tasks[0].devices, self.per_gpu)
        if len(environments) < 2 or is_worker():
            for task in tasks:
                task.here()
            return
        if not all(task.finished for task in tasks):
            doing = "training {} folds" if tasks[0].command[0] == "train" else "running {} tasks"
            kind = "GPU" if environments[0] else "core"
            if tasks[0].devices > 1:
                kind = f"{tasks[0].devices} {kind}s"
            share = "one" if self.per_gpu == 1 else f"up to {self.per_gpu}"
            say(f"{doing.format(len(environments))} at once, {share} per {kind}")
        run_in_processes(tasks, environments)


def run_in_processes(tasks: Sequence[Task], environments: Sequence[dict[str, str]]) -> None:
    """Run each unfinished task in a process of its own, as many at once as there are environments.

    The processes are forked from one that has imported everything and done nothing else (Python's forkserver): the
    imports take 5 to 7 s of a core, and five folds pay for them once.

    Raises:
        CompetitionError: A task failed; its own message was printed, and the others were stopped.
    """
    context = start_importing(tasks[0].command[0])
    waiting = [task for task in tasks if not task.finished]
    running: dict[int, tuple[Task, BaseProcess]] = {}
    try:
        while waiting or running:
            for slot in range(at_once(len(waiting) + len(running), environments)):
                if waiting and slot not in running:
                    task = waiting.pop(0)
                    environment = environments[slot % len(environments)]
                    count = None if environment else threads(len(tasks))
                    environment = environment | {AT_ONCE: str(len(environments))}
                    process = context.Process(target=_run_command, args=(task.command, environment, count))
                    process.start()
                    running[slot] = task, process
            slot = _wait_for_one(running)
            task, ended = running.pop(slot)
            if ended.exitcode != 0:
                raise CompetitionError(
                    f"{task.name} failed (its message is above); run the same command again to resume"
                )
    finally:
        for _, unneeded in running.values():
            unneeded.kill()


def _run_command(command: Sequence[str], environment: dict[str, str], thread_count: int | None) -> None:
    """Run a command in the process that was forked for it, and end the process."""
    from pipelines.__main__ import main

    os.environ.update(environment | {WORKER: "1"})
    if thread_count is not None:
        import torch

        torch.set_num_threads(thread_count)
    sys.exit(main([*command]))


def _wait_for_one(running: "dict[int, tuple[Task, BaseProcess]]") -> int:
    """Wait until a process has ended; return its slot."""
    ended = wait([process.sentinel for _, process in running.values()])[0]
    slot = next(slot for slot, (_, process) in running.items() if process.sentinel == ended)
    running[slot][1].join()
    return slot
