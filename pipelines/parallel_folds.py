"""Several folds at once: one process per GPU, or one per processor core where there is no GPU.

Folds do not talk to each other, so this scales without loss. On two cores two folds of one thread each run nearly twice
as fast as one after the other on two threads, because a small network's layers are too short to share.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence

from competition.console import say
from competition.data.folds import Fold
from competition.errors import CompetitionError
from pipelines.parent import CHILD


def slots(folds: int) -> list[dict[str, str]]:
    """Environments of the processes that may run at once; a single one means no other process is worth it."""
    import torch  # here, because --help should not wait for it

    gpus = torch.cuda.device_count()
    if gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(index) for index in range(gpus)]
        return [{"CUDA_VISIBLE_DEVICES": name} for name in names[:folds]]
    return [{}] * min(folds, _cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(position: int, folds: int, at_once: int) -> int:
    """Threads of one fold where there is no GPU.

    They follow from the folds that were asked for, not from how many are left: the order in which threads add numbers
    up shows in the last bit, and a resumed run must give the same weights.

    Args:
        position: Of the fold among those that were asked for.
        folds: How many were asked for.
        at_once: How many train at once.

    Returns:
        The cores, shared by the folds of its round; the last round may be smaller: the fifth of five folds on two cores
        has both for itself.
    """
    first_of_round = position - position % at_once
    return max(1, _cores() // min(at_once, folds - first_of_round))


def train_in_parallel(
    args: argparse.Namespace, asked: Sequence[Fold], unfinished: Sequence[Fold], environments: Sequence[dict[str, str]]
) -> None:
    """Trains each fold in a process of its own, as many at once as there are environments.

    Args:
        args: The stage's options, passed on to each process.
        asked: All folds that were asked for.
        unfinished: Those of them to train.
        environments: One per process that may run at once.

    Raises:
        CompetitionError: A fold failed; its own sentence was printed, and the others were stopped.
    """
    waiting = list(unfinished)
    running: dict[int, tuple[Fold, subprocess.Popen[bytes]]] = {}
    try:
        while waiting or running:
            for slot, environment in enumerate(environments):
                if waiting and slot not in running:
                    fold = waiting.pop(0)
                    count = threads(asked.index(fold), len(asked), len(environments))
                    without_gpu = {} if environment else {"OMP_NUM_THREADS": str(count)}
                    running[slot] = fold, _start(args, fold, environment | without_gpu)
            slot = _wait_for_one(running)
            fold, process = running.pop(slot)
            if process.returncode != 0:
                raise CompetitionError(
                    f"fold {fold} failed (its message is above); the same command goes on from there"
                )
    finally:
        for _, process in running.values():
            process.kill()


def _start(args: argparse.Namespace, fold: Fold, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "pipelines", "train", "--track", args.track, "--fold", str(fold)]
    for option in ("experiment", "name", "workspace"):
        if getattr(args, option) is not None:
            command += [f"--{option}", str(getattr(args, option))]
    for setting in args.set or []:
        command += ["--set", setting]
    command += [f"--{flag}" for flag in ("phantom", "force", "debug") if getattr(args, flag)]
    # Its standard input is a pipe that nobody writes to: it closes when this process ends, even by kill -9.
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | environment | {CHILD: "1"})


def _wait_for_one(running: "dict[int, tuple[Fold, subprocess.Popen[bytes]]]") -> int:
    while True:
        for slot, (_, process) in running.items():
            try:
                process.wait(timeout=0.2)
                return slot
            except subprocess.TimeoutExpired:
                continue


def announce(environments: Sequence[dict[str, str]]) -> None:
    """Says how many folds are trained at once."""
    kind = "GPU" if environments[0] else "core"
    say(f"{len(environments)} folds at once, one per {kind}")
