"""race: our ``quick`` against a plain notebook, the same network on the same folds: Dice, processor time and memory."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from competition.console import say, table
from competition.data.folds import FULL, Fold
from competition.ensembling.selection.bootstrap import figure_of, mean_of, paired_difference
from competition.errors import CompetitionError
from competition.files import write_json
from competition.formats.json_files import read_json
from competition.prediction.probability_maps import CUT_OF_HALF, read_map
from competition.runs.run import Run, open_run, parse_folds
from competition.settings import load_experiment
from competition.tracks import get_track
from competition.workspace import contest_root, out_of_fold_folder
from pipelines import prepare
from pipelines.benchmarks import counted_process
from pipelines.benchmarks.race_courses import COURSES, Course, dice_of, notebook_task, write_masks, write_truth
from pipelines.context import call_stage, experiment_file, open_workspace, workspace_root
from pipelines.machine import cores

HELP = (
    "Trains a plain notebook (pipelines/benchmarks/plain_notebook.py) and our quick on the same folds: the same\n"
    "network, size, epochs and batch, each in a process of its own. Prints Dice at native size with 95 % intervals of\n"
    "paired differences, processor seconds and peak memory. Real data is given with --data; without, it is skipped."
)
EXAMPLE = "./run.sh race --data nuclei=~/nuclei --data sunnybrook=~/sunnybrook/png --json race.json"

EXPERIMENT = "quick"
RUN = "race"
SIDES = ("notebook", "ours")
REPOSITORY = Path(__file__).resolve().parent.parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
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
    """Prepare a data set, train both sides on all folds and seeds, and compare what they say."""
    root = contest_root(workspace_root(args), RUN)
    common = {"workspace": str(root), "track": course.track, "phantom": course.drawn is not None}
    inside = argparse.Namespace(**vars(args) | common)
    say(f"\n== {course.name} ==")
    start = sum(os.times()[:4])
    call_stage(prepare, inside, [*(course.drawn or ("--data", str(data)))])
    prepare_seconds = sum(os.times()[:4]) - start
    first = _open(inside, course, 0, args.epochs)
    files = root / "files" / course.name
    shutil.rmtree(files, ignore_errors=True)
    write_truth(first, files / "truth")
    folds = [fold for fold in parse_folds(args.fold, first.folds.count) if fold != FULL]
    if not folds:
        raise CompetitionError("a race needs a fold that is held out", None, "Give --fold 0, or 0,1, or all")
    entries = [entry for entry in first.manifest.of("train") if first.folds.fold_of[entry.group] in folds]
    dice = {side: np.zeros((args.seeds, len(entries))) for side in SIDES}
    costs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for seed in range(args.seeds):
        ours = _open(inside, course, seed, args.epochs)
        for fold in folds:
            # In turns, so that neither always runs on a machine that the other has warmed.
            for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
                out = files / side / f"seed{seed}"
                train_side = _train_notebook if side == "notebook" else _train_ours
                costs[side].append(train_side(inside, course, ours, fold, out))
            turn += 1
        for side in SIDES:
            out = files / side / f"seed{seed}"
            dice[side][seed] = [dice_of(out, files / "truth", each.sample, ours.track.classes) for each in entries]
    groups = [entry.group for entry in entries]
    notebook, mine = (mean_of(dice[side].mean(axis=0)) for side in SIDES)
    difference = paired_difference(mine, notebook, groups, seed=0)
    values = {"notebook": figure_of(notebook, len(groups)), "ours": figure_of(mine, len(groups))}
    return {
        **{side: {"dice": values[side]} | _total(costs[side], args.seeds) for side in SIDES},
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "images": len(entries),
        "people": len(set(groups)),
        "prepare_cpu_seconds": round(prepare_seconds, 1),
    }


def _open(inside: argparse.Namespace, course: Course, seed: int, epochs: int | None) -> Run:
    track = get_track(course.track)
    experiment = load_experiment(experiment_file(track, EXPERIMENT), _settings(course, seed, epochs))
    return open_run(RUN, track, open_workspace(inside), experiment)


def _settings(course: Course, seed: int, epochs: int | None) -> list[str]:
    return [*course.settings, f"train.seed={seed}", *([] if epochs is None else [f"train.epochs={epochs}"])]


def _train_notebook(_: argparse.Namespace, course: Course, ours: Run, fold: Fold, out: Path) -> dict[str, float]:
    task = out.with_name(f"{out.name}_fold{fold}.json")
    write_json(task, notebook_task(ours, fold, out.parent.parent / "truth"))
    command = ["-m", "pipelines.benchmarks.plain_notebook", str(task), str(out)]
    return _counted(f"{course.name}, fold {fold}: notebook", command, task.with_suffix(""))


def _train_ours(inside: argparse.Namespace, course: Course, ours: Run, fold: Fold, out: Path) -> dict[str, float]:
    """Train a fold as a user does, and write what it says about what it held out as masks."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(ours.workspace.run_folder(RUN), ignore_errors=True)
    settings = _settings(course, ours.experiment.train.seed, ours.experiment.train.epochs)
    command = ["-m", "pipelines", "train", "--track", course.track, "--workspace", inside.workspace]
    command += ["--experiment", EXPERIMENT, "--name", RUN, "--fold", str(fold), *["--phantom"] * inside.phantom]
    command += [word for setting in settings for word in ("--set", setting)]
    cost = _counted(f"{course.name}, fold {fold}: ours", command, out.with_name(f"{out.name}_fold{fold}"))
    for entry in ours.held_out(fold):
        values = read_map(out_of_fold_folder(ours.folder(fold)), entry.sample)
        write_masks(out, entry.sample, ours.track.classes, values > CUT_OF_HALF)
    return cost


def _counted(title: str, words: list[str], report: Path) -> dict[str, float]:
    """Run Python with these words in a process of its own and return what it took.

    Raises:
        CompetitionError: It failed; its output is kept in a log.
    """
    say(f"{title} ({time.strftime('%H:%M:%S')})")
    figures, log = report.with_suffix(".cost.json"), report.with_suffix(".log")
    report.parent.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": str(cores()), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, str(Path(counted_process.__file__)), str(figures), sys.executable, *words]
    with log.open("w") as file:
        done = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, env=os.environ | threads, cwd=REPOSITORY, check=False
        )
    if done.returncode != 0:
        raise CompetitionError(f"{title} failed; its output is in the log", log, "Fix what it names, then race again")
    cost: dict[str, float] = read_json(figures, "Race again")
    return cost


def _total(costs: Sequence[dict[str, float]], seeds: int) -> dict[str, float]:
    """What one seed took in all folds, and the largest peak."""
    return {
        "cpu_seconds": round(sum(cost["cpu_seconds"] for cost in costs) / seeds, 1),
        "seconds": round(sum(cost["seconds"] for cost in costs) / seeds, 1),
        "peak_gb": round(max(cost["peak_gb"] for cost in costs), 2),
    }


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
