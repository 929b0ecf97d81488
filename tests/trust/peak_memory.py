"""The most memory that a process held since it was last asked to forget it (Linux)."""

from pathlib import Path

_PROCESS = Path("/proc/self")


def forget_peak() -> int:
    """Lets the peak begin anew; returns the bytes that the process holds now."""
    (_PROCESS / "clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    """Returns the most that this process held; its own, not that of the process it was forked from."""
    status = (_PROCESS / "status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
