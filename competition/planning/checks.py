"""Checks of a machine before anything is trained: the card, shared memory, the disk and the cores of each fold."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from competition.data.loader import BATCHES_AHEAD, SHARED_MEMORY
from competition.machine import MB, cores
from competition.planning.devices import GB, Machine
from competition.text import counted


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, whether it is in order, and the finding with its repair."""

    name: str
    good: bool
    finding: str


def check_machine(machine: Machine, batch_bytes: int, written_bytes: int, folder: Path, at_once: int) -> list[Check]:
    """Return what speaks for and against training here.

    Args:
        machine: That trains.
        batch_bytes: Of a batch as loading processes hand it over.
        written_bytes: What the run will write.
        folder: Of the workspace; it may not exist yet.
        at_once: Folds that train at once.
    """
    return [
        Check(
            "device", not machine.fault, machine.fault or f"{machine.name}, {machine.memory / GB:.1f} GB for training"
        ),
        _check_shared_memory(batch_bytes),
        _check_disk(written_bytes, folder),
        Check(
            "cores",
            cores() >= at_once,
            f"{cores()} cores, {max(1, cores() // at_once)} for each of {at_once} folds at once",
        ),
    ]


def _check_shared_memory(batch_bytes: int) -> Check:
    if not SHARED_MEMORY.is_dir():
        return Check("shared memory", True, "not limited on this system")
    free, needed = shutil.disk_usage(SHARED_MEMORY).free, BATCHES_AHEAD * batch_bytes
    processes = min(8, free // max(1, needed))
    enough = counted(processes, "loading process", "loading processes")
    finding = (
        f"{SHARED_MEMORY} has {free // MB:,} MB free, enough for {enough} that hold {max(1, needed // MB):,} MB each"
    )
    repair = "" if processes > 1 else "; in Docker give --shm-size 8g, else set data.workers=0"
    return Check("shared memory", processes > 1, finding + repair)


def _check_disk(written_bytes: int, folder: Path) -> Check:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    finding = f"the run writes about {written_bytes / GB:.1f} GB, and {free / GB:.1f} GB are free"
    repair = "" if free > written_bytes else "; free some, or give another --workspace"
    return Check("disk", free > written_bytes, finding + repair)
