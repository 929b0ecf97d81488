"""Compare the results of two versions of the program: ``python -m pipelines.benchmarks.same_results BEFORE AFTER``.

A restructuring must not change a digit. Run the same commands (``./run.sh demo``) with both versions, each in its own
workspace, then compare these: fold files, identities of folds, losses and scores, out-of-fold predictions,
decisions, submissions and leaderboard rows. Times, identifiers and the version itself may differ.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from competition.console import say, table
from competition.masks.stored_arrays import read_array

MADE_BY = ("seconds", "memory_mb", "created", "finished", "sha256", "id", "time", "git_commit")
"""Columns and keys on when and by which version something was made."""
IN_ONE_VERSION = ("shuffled", "metric", "trained", "optuna_threshold")
"""Keys that 0.2.0 added, and a column that it dropped."""
MAY_DIFFER = frozenset(MADE_BY + IN_ONE_VERSION)
RENAMED = {"cuts": "levels"}
"""Keys before 0.2.0 -> their names since."""


def without_times(value: Any) -> Any:
    """Return JSON content without the keys of ``MAY_DIFFER``, at any depth."""
    if isinstance(value, dict):
        return {RENAMED.get(key, key): without_times(item) for key, item in value.items() if key not in MAY_DIFFER}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV without the columns of ``MAY_DIFFER``."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: cell for name, cell in row.items() if name not in MAY_DIFFER} for row in csv.DictReader(file)]


def read_histograms(path: Path) -> dict[str, list[Any]]:
    """Return the arrays of an .npz file as lists."""
    with np.load(path) as stored:
        return {name: stored[name].tolist() for name in stored.files}


KINDS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "fold files": ("folds/phantom_*.csv", Path.read_bytes),
    "identities of folds": ("runs/*/*/fold*/finished.json", lambda path: without_times(json.loads(path.read_text()))),
    "losses and scores": ("runs/*/*/fold*/history.csv", read_rows),
    "histograms": ("runs/*/*/fold*/oof/histograms.npz", read_histograms),
    "probability maps": ("runs/*/*/fold*/oof/*.b2", lambda path: read_array(path, "").tobytes()),
    "probabilities": ("runs/*/*/fold*/oof/scores.parquet", lambda path: pd.read_parquet(path).to_dict()),
    "decisions": ("runs/*/ensembles/*/decision.json", lambda path: without_times(json.loads(path.read_text()))),
    "tables of decisions": ("runs/*/ensembles/*/*.csv", read_rows),
    "submissions": ("submissions/*/submission.csv", Path.read_bytes),
    "leaderboard": ("submissions/leaderboard.csv", read_rows),
}
"""What is compared -> its pattern below a workspace, and the function that reads a file."""


def compare_workspaces(before: Path, after: Path) -> list[tuple[str, int, list[str]]]:
    """Return, for each kind of file, its name, the number of files, and those that differ or are missing."""
    found = []
    for kind, (pattern, read) in KINDS.items():
        names = {path.relative_to(root).as_posix() for root in (before, after) for path in root.glob(pattern)}
        wrong = []
        for name in sorted(names):
            one, other = before / name, after / name
            if not (one.exists() and other.exists() and read(one) == read(other)):
                wrong.append(name)
        found.append((kind, len(names), wrong))
    return found


def main() -> int:
    """Print the comparison; return 1 where anything differs, or where there is nothing to compare."""
    parser = argparse.ArgumentParser(description="Compare the results of two versions of the program.")
    parser.add_argument("before", type=Path, help="a workspace")
    parser.add_argument("after", type=Path, help="the workspace of the other version")
    args = parser.parse_args()
    found = compare_workspaces(args.before, args.after)
    rows = [(kind, count, len(wrong), ", ".join(wrong[:3])) for kind, count, wrong in found]
    table("same results?", ["what", "files", "that differ", "first of them"], rows)
    compared, differing = sum(count for _, count, _ in found), sum(len(wrong) for _, _, wrong in found)
    say(f"{differing} of {compared} files differ")
    return int(differing > 0 or compared == 0)


if __name__ == "__main__":
    sys.exit(main())
