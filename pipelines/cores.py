"""How many processor cores there are to work with."""

import os


def cores() -> int:
    """Returns how many cores this process may use: those of its affinity, where the system has one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
