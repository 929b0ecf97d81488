"""race: train ``quick`` and a plain notebook on the same folds; compare their scores, time and memory."""

import argparse
import os
from pathlib import Path
from typing import Any

from competition.console import say, table
from competition.errors import CompetitionError
from competition.machine import cores
from competition.text import counted
from competition.workspace import comparison_root
from pipelines.benchmarks.notebook_race import DATA_SETS, RUN, DataSet, race_on
from pipelines.context import call_stage, open_workspace, workspace_root
from pipelines.options import parse_folders

HELP = (
    "Train a plain notebook (pipelines/benchmarks/plain_notebook.py) and our quick on the same folds, with the same\n"
    "network, size, epochs and batch, each in its own process. Print Dice at native size, 95 % intervals of paired\n"
    "differences, processor seconds and peak memory. Where labels are a table, the notebook trains a ResNet-18\n"
    "(plain_table_notebook.py), and both are scored by the track's metric, as is a random forest on colours.\n"
    "Real data sets need --data and are skipped without it."
)
EXAMPLE = "./run.sh race --data nuclei=~/nuclei --data blood_cells=~/blood_cells --json race.json"
FIGURES = {
    "data": "Object: data set -> metric; score, seconds and peak_gb of each side; our difference with low and high.",
    "skipped": "Object: data set -> why it was skipped.",
    "threads": "Whole number: processor cores in use.",
}
NAMES = ", ".join(data_set.name for data_set in DATA_SETS)
REAL = [data_set.name for data_set in DATA_SETS if data_set.drawn is None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--only", metavar="NAME", help=f"race on one data set, of {NAMES} (default: all)")
    help_text = f"the folder of a real data set, of {', '.join(REAL)}; repeatable"
    parser.add_argument("--data", action="append", default=[], metavar="NAME=DIR", help=help_text)
    parser.add_argument("--fold", default="0", metavar="F", help="hold out these folds: 0,1 or all (default: 0)")
    parser.add_argument("--epochs", type=int, metavar="N", help="train N epochs instead of the data set's own number")
    parser.add_argument("--seeds", type=int, default=1, metavar="K", help="average over K seeds (default: 1)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Race; see HELP.

    Returns:
        ``FIGURES``.
    """
    if args.seeds < 1:
        raise CompetitionError(f"--seeds {args.seeds}: a race needs at least one seed", None, "Give --seeds 1 or more")
    folders = dict(parse_folders(args.data, "--data", "name", REAL))
    chosen = [data_set for data_set in DATA_SETS if args.only in (None, data_set.name)]
    if not chosen:
        raise CompetitionError(f"no data set of the race is called {args.only!r}", None, f"Give --only one of {NAMES}")
    results: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    for turn, data_set in enumerate(chosen):
        if data_set.drawn is None and data_set.name not in folders:
            skipped[data_set.name] = f"no data: give its folder with --data {data_set.name}=DIR"
            say(f"{data_set.name}: skipped ({skipped[data_set.name]})")
            continue
        results[data_set.name] = _race_on(args, data_set, folders.get(data_set.name), turn)
    if results:
        _show(results)
    return {"data": results, "skipped": skipped, "threads": cores()}


def _race_on(args: argparse.Namespace, data_set: DataSet, data: Path | None, turn: int) -> dict[str, Any]:
    """Prepare a data set and race on it."""
    root = comparison_root(workspace_root(args), RUN)
    common = {"workspace": str(root), "track": data_set.track, "phantom": data_set.drawn is not None}
    inside = argparse.Namespace(**vars(args) | common)
    say(f"\n== {data_set.name} ==")
    start = sum(os.times()[:4])
    call_stage("prepare", inside, [*(data_set.drawn or ("--data", str(data)))])
    prepare_seconds = sum(os.times()[:4]) - start
    result = race_on(data_set, open_workspace(inside), args.fold, args.epochs, args.seeds, turn)
    return result | {"prepare_cpu_seconds": round(prepare_seconds, 1)}


def _show(results: dict[str, Any]) -> None:
    columns = ["data", "metric", "notebook", "ours", "difference (95 %, groups resampled)"]
    columns += ["notebook CPU s", "ours CPU s", "notebook GB", "ours GB"]
    rows = []
    for name, result in results.items():
        sides = [result[side] for side in ("notebook", "ours")]
        held_out = f"{name} ({counted(result['images'], 'image')}, {counted(result['people'], 'group')})"
        interval = f"{result['difference']:+.4f} ({result['low']:+.4f} to {result['high']:+.4f})"
        rows.append([held_out, result["metric"], *(f"{side['score']:.4f}" for side in sides), interval])
        rows[-1] += [f"{side['cpu_seconds']:.0f}" for side in sides] + [f"{side['peak_gb']:.2f}" for side in sides]
    table("race: held-out images, the same folds and budget; masks at native size and threshold 0.5", columns, rows)
    for name, result in results.items():
        if "forest" in result:
            say(f"{name}: a random forest on colours has a {result['metric']} of {result['forest']['score']:.4f}")
        say(f"{name}: prepare took {result['prepare_cpu_seconds']:.0f} processor seconds more, once")
