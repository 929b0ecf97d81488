"""Processor cores and memory of this machine."""

import os
import resource
import sys
from pathlib import Path

MB = 1024**2
AT_ONCE = "COMPETITION_FOLDS_AT_ONCE"
"""Environment variable: how many processes like this one share the machine; set by what started them."""
_STATUS = Path("/proc/self/status")


def cores() -> int:
    """Return how many cores this process may use: those of its affinity, where the system has one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def own_cores() -> int:
    """Return how many cores this process may use beside the others that train at once with it, at least one."""
    folds, ranks = (max(1, int(os.environ.get(name, "1"))) for name in (AT_ONCE, "LOCAL_WORLD_SIZE"))
    return max(1, cores() // (folds * ranks))


def rank_of_process() -> tuple[int, int]:
    """Return this process's number among those that torchrun started to train together, and their count; else 0, 1."""
    if not os.environ.keys() >= {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"}:
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def peak_memory_mb() -> float:
    """Return the most memory this process has held so far, in MB.

    On Linux it is read from the status file: getrusage would count what the starting process held before.
    """
    if _STATUS.exists():
        held = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if held is not None:
            return round(int(held.split()[1]) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, all others kilobytes.
    return round(peak / (MB if sys.platform == "darwin" else 1024), 1)
