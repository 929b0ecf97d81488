"""What this machine offers: processor cores and memory."""

import os
import resource
import sys
from pathlib import Path


def cores() -> int:
    """Return how many cores this process may use: those of its affinity, where the system has one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


MB = 1024**2


_STATUS = Path("/proc/self/status")


def peak_memory_mb() -> float:
    """Return the most memory this process has held so far, in MB.

    Linux tells it in its status file. Its getrusage would count what the parent held before it started this process.
    """
    if _STATUS.exists():
        held = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if held is not None:
            return round(int(held.split()[1]) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, all others kilobytes.
    return round(peak / (MB if sys.platform == "darwin" else 1024), 1)
