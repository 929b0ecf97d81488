"""How much memory the program holds."""

import resource
import sys
from pathlib import Path

MB = 1024**2

_STATUS = Path("/proc/self/status")


def peak_memory_mb() -> float:
    """The most memory this process has held so far, in MB.

    Linux tells it in its status file. Its getrusage would count what the parent held before it started this process.
    """
    if _STATUS.exists():
        held = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if held is not None:
            return round(int(held.split()[1]) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, all others kilobytes.
    return round(peak / (MB if sys.platform == "darwin" else 1024), 1)
