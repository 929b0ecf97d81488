"""Both sides of the race on one data set: each trained in processes of its own, then compared on held-out images."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from competition.console import say
from competition.data.folds import FULL, Fold
from competition.ensembling.selection.bootstrap import figure_of, mean_of, paired_difference
from competition.errors import CompetitionError
from competition.files import write_json
from competition.formats.json_files import read_json
from competition.installation import REPOSITORY
from competition.prediction.probability_maps import HALF_LEVEL, read_map
from competition.runs.run import Run, open_run, parse_folds
from competition.settings import load_experiment
from competition.tracks import get_track
from competition.workspace import Workspace, out_of_fold_folder
from pipelines.benchmarks import counted_process
from pipelines.benchmarks.race_courses import Course, dice_of, notebook_task, write_masks, write_truth
from pipelines.context import experiment_file
from pipelines.machine import cores

EXPERIMENT = "quick"
RUN = "race"
SIDES = ("notebook", "ours")


def race_on(
    course: Course, workspace: Workspace, fold_text: str, epochs: int | None, seeds: int, turn: int
) -> dict[str, Any]:
    """Train both sides on all folds and seeds and compare what they predict.

    Args:
        course: The data set.
        workspace: Where it is prepared.
        fold_text: The folds to hold out, as ``train --fold`` takes them.
        epochs: Instead of the data set's own.
        seeds: How many seeds are trained.
        turn: The sides start in turns; even means that the notebook does.

    Returns:
        What both sides are worth and took, and the paired difference.

    Raises:
        CompetitionError: No fold is held out, or one of the sides failed.
    """
    first = _open(workspace, course, 0, epochs)
    files = workspace.root / "files" / course.name
    shutil.rmtree(files, ignore_errors=True)
    write_truth(first, files / "truth")
    folds = [fold for fold in parse_folds(fold_text, first.folds.count) if fold != FULL]
    if not folds:
        raise CompetitionError("a race needs a fold that is held out", None, "Give --fold 0, or 0,1, or all")
    entries = [entry for entry in first.manifest.of("train") if first.folds.fold_of[entry.group] in folds]
    dice = {side: np.zeros((seeds, len(entries))) for side in SIDES}
    costs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for seed in range(seeds):
        ours = _open(workspace, course, seed, epochs)
        for fold in folds:
            # In turns, so that neither always runs on a machine that the other has warmed.
            for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
                out = files / side / f"seed{seed}"
                train_side = _train_notebook if side == "notebook" else _train_ours
                costs[side].append(train_side(course, ours, fold, out))
            turn += 1
        for side in SIDES:
            out = files / side / f"seed{seed}"
            dice[side][seed] = [dice_of(out, files / "truth", each.sample, ours.track.classes) for each in entries]
    groups = [entry.group for entry in entries]
    notebook, mine = (mean_of(dice[side].mean(axis=0)) for side in SIDES)
    difference = paired_difference(mine, notebook, groups, seed=0)
    values = {"notebook": figure_of(notebook, len(groups)), "ours": figure_of(mine, len(groups))}
    return {
        **{side: {"dice": values[side]} | _total(costs[side], seeds) for side in SIDES},
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "images": len(entries),
        "people": len(set(groups)),
    }


def _open(workspace: Workspace, course: Course, seed: int, epochs: int | None) -> Run:
    track = get_track(course.track)
    experiment = load_experiment(experiment_file(track, EXPERIMENT), _settings(course, seed, epochs))
    return open_run(RUN, track, workspace, experiment)


def _settings(course: Course, seed: int, epochs: int | None) -> list[str]:
    return [*course.settings, f"train.seed={seed}", *([] if epochs is None else [f"train.epochs={epochs}"])]


def _train_notebook(course: Course, ours: Run, fold: Fold, out: Path) -> dict[str, float]:
    task = out.with_name(f"{out.name}_fold{fold}.json")
    write_json(task, notebook_task(ours, fold, out.parent.parent / "truth"))
    command = ["-m", "pipelines.benchmarks.plain_notebook", str(task), str(out)]
    return run_counted(f"{course.name}, fold {fold}: notebook", command, task.with_suffix(""))


def _train_ours(course: Course, ours: Run, fold: Fold, out: Path) -> dict[str, float]:
    """Train a fold as a user does, and write what it says about what it held out as masks."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(ours.workspace.run_folder(RUN), ignore_errors=True)
    settings = _settings(course, ours.experiment.train.seed, ours.experiment.train.epochs)
    command = ["-m", "pipelines", "train", "--track", course.track, "--workspace", str(ours.workspace.root)]
    command += ["--experiment", EXPERIMENT, "--name", RUN, "--fold", str(fold), *["--phantom"] * ours.workspace.phantom]
    command += [word for setting in settings for word in ("--set", setting)]
    cost = run_counted(f"{course.name}, fold {fold}: ours", command, out.with_name(f"{out.name}_fold{fold}"))
    for entry in ours.held_out(fold):
        values = read_map(out_of_fold_folder(ours.folder(fold)), entry.sample)
        write_masks(out, entry.sample, ours.track.classes, values > HALF_LEVEL)
    return cost


def run_counted(title: str, words: list[str], report: Path) -> dict[str, float]:
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
    """Return what one seed took in all folds, and the largest peak."""
    return {
        "cpu_seconds": round(sum(cost["cpu_seconds"] for cost in costs) / seeds, 1),
        "seconds": round(sum(cost["seconds"] for cost in costs) / seeds, 1),
        "peak_gb": round(max(cost["peak_gb"] for cost in costs), 2),
    }
