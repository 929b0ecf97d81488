"""Several folds at once: one process per GPU, or one per processor core where there is no GPU.

Folds do not talk to each other, so this scales without loss. On two cores two folds of one thread each run nearly twice
as fast as one after the other on two threads, because a small network's layers are too short to share.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess

from competition.console import say
from competition.data.folds import Fold
from competition.errors import CompetitionError
from pipelines.cores import cores
from pipelines.parent import CHILD


def slots(folds: int) -> list[dict[str, str]]:
    """Environments of the processes that may run at once; a single one means no other process is worth it."""
    import torch  # here, because --help should not wait for it

    gpus = torch.cuda.device_count()
    if gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(index) for index in range(gpus)]
        return [{"CUDA_VISIBLE_DEVICES": name} for name in names[:folds]]
    return [{}] * min(folds, cores())


def threads(folds: int) -> int:
    """Threads of one fold where there is no GPU.

    They follow from the folds that were asked for, not from how many are left: the order in which threads add numbers
    up shows in the last bit, and a resumed run must give the same weights.

    Args:
        folds: How many were asked for.
    """
    return max(1, cores() // folds)


def at_once(unfinished: int, environments: Sequence[dict[str, str]]) -> int:
    """Returns how many folds train at once.

    Where there is no GPU the last ones share the cores, so that none is idle: five folds take two cores as long as two
    and a half, not three.

    Args:
        unfinished: Number of folds that have not ended.
        environments: Of ``slots``.
    """
    places = len(environments)
    return unfinished if not environments[0] and unfinished < 2 * places else places


def start_importing() -> ForkServerContext:
    """Starts the process from which folds are forked: it imports what they need while this process goes on."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipelines.train"])
    forkserver.ensure_running()
    return context


def train_in_parallel(
    args: argparse.Namespace, asked: Sequence[Fold], unfinished: Sequence[Fold], environments: Sequence[dict[str, str]]
) -> None:
    """Trains each fold in a process of its own, as many at once as there are environments.

    The processes are forked from one that has imported everything and done nothing yet (Python's forkserver): the
    imports take 5 to 7 s of a core, and five folds pay for them once.

    Args:
        args: The stage's options, passed on to each process.
        asked: All folds that were asked for.
        unfinished: Those of them to train.
        environments: One per process that may run at once.

    Raises:
        CompetitionError: A fold failed; its own sentence was printed, and the others were stopped.
    """
    context = start_importing()
    waiting = list(unfinished)
    running: dict[int, tuple[Fold, BaseProcess]] = {}
    try:
        while waiting or running:
            for slot in range(at_once(len(waiting) + len(running), environments)):
                if waiting and slot not in running:
                    fold = waiting.pop(0)
                    environment = environments[slot % len(environments)]
                    count = None if environment else threads(len(asked))
                    process = context.Process(target=_train_fold, args=(_words(args, fold), environment, count))
                    process.start()
                    running[slot] = fold, process
            slot = _wait_for_one(running)
            fold, ended = running.pop(slot)
            if ended.exitcode != 0:
                raise CompetitionError(
                    f"fold {fold} failed (its message is above); the same command goes on from there"
                )
    finally:
        for _, unneeded in running.values():
            unneeded.kill()


def _words(args: argparse.Namespace, fold: Fold) -> list[str]:
    """What a user would type to train this fold alone."""
    words = ["train", "--track", args.track, "--fold", str(fold)]
    for option in ("experiment", "name", "workspace"):
        if getattr(args, option) is not None:
            words += [f"--{option}", str(getattr(args, option))]
    for setting in args.set or []:
        words += ["--set", setting]
    return [*words, *(f"--{flag}" for flag in ("phantom", "force", "debug") if getattr(args, flag))]


def _train_fold(words: list[str], environment: dict[str, str], thread_count: int | None) -> None:
    """Trains one fold; runs in the process that was forked for it, and ends it."""
    from pipelines.__main__ import main

    os.environ.update(environment | {CHILD: "1"})
    if thread_count is not None:
        import torch

        torch.set_num_threads(thread_count)
    sys.exit(main(words))


def _wait_for_one(running: "dict[int, tuple[Fold, BaseProcess]]") -> int:
    """Waits until a process has ended; returns its slot."""
    ended = wait([process.sentinel for _, process in running.values()])[0]
    slot = next(slot for slot, (_, process) in running.items() if process.sentinel == ended)
    running[slot][1].join()
    return slot


def announce(environments: Sequence[dict[str, str]]) -> None:
    """Says how many folds are trained at once."""
    kind = "GPU" if environments[0] else "core"
    say(f"{len(environments)} folds at once, one per {kind}")
