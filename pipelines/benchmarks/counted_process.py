"""Run a command and write down what it took: ``python counted_process.py REPORT.json COMMAND ...``.

It imports nothing large, because Linux counts what a process's parent held when it started it as the process's own.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path


def main(report: Path, command: list[str]) -> int:
    """Run a command; write its processor seconds, the memory of its largest process in GB, and the seconds of a clock.

    Returns:
        The exit status of the command.
    """
    start = time.perf_counter()
    status = subprocess.run(command, check=False).returncode
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    # macOS counts bytes, all others kilobytes.
    peak_gb = usage.ru_maxrss / (1024**3 if sys.platform == "darwin" else 1024**2)
    figures = {
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gb": peak_gb,
        "seconds": time.perf_counter() - start,
    }
    report.write_text(json.dumps(figures), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
