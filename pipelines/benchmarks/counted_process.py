"""Run a command and write its cost: ``python counted_process.py REPORT.json COMMAND ...``.

It imports nothing large, because Linux counts memory of the starting process as the started one's.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path


def main(report: Path, command: list[str]) -> int:
    """Write a command's processor seconds, largest process in GB and wall seconds; return its exit status."""
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
