"""race: our ``quick`` against a plain notebook, the same network on the same folds: Dice, processor time and memory."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from competition.console import say, table
from competition.errors import CompetitionError
from competition.workspace import comparison_root
from pipelines.benchmarks.race_courses import COURSES, Course
from pipelines.benchmarks.race_sides import RUN, race_on
from pipelines.context import call_stage, open_workspace, workspace_root
from pipelines.machine import cores

HELP = (
    "Trains a plain notebook (pipelines/benchmarks/plain_notebook.py) and our quick on the same folds: the same\n"
    "network, size, epochs and batch, each in a process of its own. Prints Dice at native size with 95 % intervals of\n"
    "paired differences, processor seconds and peak memory. Real data is given with --data; without, it is skipped."
)
EXAMPLE = "./run.sh race --data nuclei=~/nuclei --data sunnybrook=~/sunnybrook/png --json race.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    names = ", ".join(course.name for course in COURSES)
    given = ", ".join(course.name for course in COURSES if course.drawn is None)
    parser.add_argument("--only", metavar="NAME", help=f"race on one data set, of {names} (default: all)")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help=f"the folder of a real data set, of {given}; repeatable",
    )
    parser.add_argument("--fold", default="0", metavar="F", help="hold these folds out: 0,1 or all (default: 0)")
    parser.add_argument("--epochs", type=int, metavar="N", help="learn for N epochs instead of the data set's own")
    parser.add_argument("--seeds", type=int, default=1, metavar="K", help="train with K seeds, mean Dice (default: 1)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Races; see HELP.

    Returns:
        Per data set what both sides are worth and took, the paired difference, and why others were skipped.

    Raises:
        CompetitionError: There is no such data set, or one of the sides failed.
    """
    if args.seeds < 1:
        raise CompetitionError(f"--seeds {args.seeds}: a race needs one seed at least", None, "Give --seeds 1 or more")
    folders = _folders(args.data)
    courses = _choose(args.only)
    results: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    for turn, course in enumerate(courses):
        if course.drawn is None and course.name not in folders:
            skipped[course.name] = f"no data: give its folder with --data {course.name}=DIR"
            say(f"{course.name}: skipped ({skipped[course.name]})")
            continue
        results[course.name] = _race_on(args, course, folders.get(course.name), turn)
    if results:
        _show(results)
    return {"data": results, "skipped": skipped, "threads": cores()}


def _folders(given: Sequence[str]) -> dict[str, Path]:
    """Name -> folder of --data."""
    names = [course.name for course in COURSES if course.drawn is None]
    folders = {}
    for text in given:
        name, _, folder = text.partition("=")
        if name not in names or not folder:
            raise CompetitionError(f"--data takes NAME=DIR with a name of {', '.join(names)}, not {text!r}")
        folders[name] = Path(folder).expanduser()
    return folders


def _choose(only: str | None) -> list[Course]:
    chosen = [course for course in COURSES if only is None or course.name == only]
    if not chosen:
        names = ", ".join(course.name for course in COURSES)
        raise CompetitionError(f"no data set of the race is called {only!r}", None, f"Give --only one of {names}")
    return chosen


def _race_on(args: argparse.Namespace, course: Course, data: Path | None, turn: int) -> dict[str, Any]:
    """Prepare a data set and race on it."""
    root = comparison_root(workspace_root(args), RUN)
    common = {"workspace": str(root), "track": course.track, "phantom": course.drawn is not None}
    inside = argparse.Namespace(**vars(args) | common)
    say(f"\n== {course.name} ==")
    start = sum(os.times()[:4])
    call_stage("prepare", inside, [*(course.drawn or ("--data", str(data)))])
    prepare_seconds = sum(os.times()[:4]) - start
    result = race_on(course, open_workspace(inside), args.fold, args.epochs, args.seeds, turn)
    return result | {"prepare_cpu_seconds": round(prepare_seconds, 1)}


def _show(results: dict[str, Any]) -> None:
    columns = ["data", "notebook Dice", "ours Dice", "difference (95 %, people drawn)"]
    columns += ["notebook CPU s", "ours CPU s", "notebook GB", "ours GB"]
    rows = []
    for name, result in results.items():
        notebook, ours = result["notebook"], result["ours"]
        interval = f"{result['difference']:+.4f} ({result['low']:+.4f} to {result['high']:+.4f})"
        held_out = f"{name} ({result['images']} images, {result['people']} people)"
        rows.append([held_out, f"{notebook['dice']:.4f}", f"{ours['dice']:.4f}", interval])
        rows[-1] += [f"{side['cpu_seconds']:.0f}" for side in (notebook, ours)]
        rows[-1] += [f"{side['peak_gb']:.2f}" for side in (notebook, ours)]
    table("race: held-out images at native size and threshold 0.5, the same network and budget", columns, rows)
    for name, result in results.items():
        say(f"{name}: prepare took {result['prepare_cpu_seconds']:.0f} processor seconds more, once")
