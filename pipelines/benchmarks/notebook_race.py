"""The race of our ``quick`` against plain notebooks: all are trained, then compared on held-out samples."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from competition.console import say
from competition.data.folds import FULL, Fold
from competition.ensembling.selection.bootstrap import Statistic, figure_of, paired_difference
from competition.errors import CompetitionError
from competition.files import write_json
from competition.formats.json_files import read_json
from competition.installation import REPOSITORY
from competition.machine import cores
from competition.runs.run import Run, open_run, parse_folds
from competition.tracks import get_track
from competition.workspace import Workspace
from pipelines.benchmarks import counted_process
from pipelines.benchmarks.mask_answers import MaskAnswers
from pipelines.benchmarks.race_answers import Answers
from pipelines.benchmarks.table_answers import TableAnswers
from pipelines.context import choose_experiment

EXPERIMENT = "quick"
RUN = "race"
OURS = "ours"
PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class DataSet:
    """A data set of the race."""

    name: str  # for --only and --data
    track: str  # a track, or a YAML file
    # changed settings of ``quick``, as ``train --set`` takes them; the notebook takes its budget from them
    settings: tuple[str, ...]
    # options of ``prepare`` for synthetic data; None where the user gives the data
    drawn: tuple[str, ...] | None = None


DATA_SETS = (
    DataSet("nuclei", str(Path(__file__).with_name("nuclei.yaml")), ("data.size=256", "train.epochs=30")),
    # quick's crops of 160 pixels show too little in eight epochs: fold 0 gets a Dice of 0.863, with 192 pixels 0.879.
    DataSet("sunnybrook", "cardiac", ("train.epochs=8", "data.crop=192")),
    # 64 training images, so 64 steps: fast learning counts.
    DataSet("blood_cells", str(Path(__file__).with_name("blood_cells.yaml")), ()),
    DataSet("legs", "legs", ("data.size=256", "train.epochs=8"), ("--people", "40", "--test-people", "1")),
    DataSet("hands", "hand_bone", (), ("--people", "20", "--test-people", "1", "--size", "1024")),
)


def race_on(
    data_set: DataSet, workspace: Workspace, fold_text: str, epochs: int | None, seeds: int, turn: int
) -> dict[str, Any]:
    """Train all sides on all folds and seeds; return their scores and cost, and ours less the notebook's in pairs.

    The folds are typed as for ``train --fold``, and the notebook starts where ``turn`` is even.
    """
    first = _open(workspace, data_set, 0, epochs)
    files = workspace.root / "files" / data_set.name
    shutil.rmtree(files, ignore_errors=True)
    kind = TableAnswers if first.track.task == "classification" else MaskAnswers
    answers: Answers = kind(first.track, files / "truth")
    truth = answers.write_truth(workspace, first.manifest.of("train"))
    folds = [fold for fold in parse_folds(fold_text, first.folds.count) if fold != FULL]
    if not folds:
        raise CompetitionError("a race needs a held-out fold", None, "Give --fold 0, or 0,1, or all")
    entries = [entry for entry in first.manifest.of("train") if first.folds.fold_of[entry.group] in folds]
    sides = (*answers.rivals, OURS)
    costs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for seed in range(seeds):
        ours = _open(workspace, data_set, seed, epochs)
        for fold in folds:
            task = rival_task(ours, fold, truth) | answers.network(ours.experiment)
            # In turns, so that no side always runs on a machine that the other has warmed.
            for side in sides if turn % 2 == 0 else sides[::-1]:
                out = files / side / f"seed{seed}"
                out.mkdir(parents=True, exist_ok=True)
                if side == OURS:
                    costs[side].append(_train_ours(data_set, ours, fold, out))
                    answers.write_ours(ours, fold, out)
                else:
                    costs[side].append(_train_rival(data_set, side, answers.rivals[side], task, out))
            turn += 1
    groups = [entry.group for entry in entries]
    scores = {
        side: _mean([answers.statistic(entries, files / side / f"seed{seed}") for seed in range(seeds)])
        for side in sides
    }
    difference = paired_difference(scores[OURS], scores["notebook"], groups, seed=0)
    return {
        "metric": answers.metric,
        **{side: {"score": figure_of(scores[side], len(groups))} | _total(costs[side], seeds) for side in sides},
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "images": len(entries),
        "people": len(set(groups)),
    }


def _open(workspace: Workspace, data_set: DataSet, seed: int, epochs: int | None) -> Run:
    track = get_track(data_set.track)
    chosen = choose_experiment(track, workspace, EXPERIMENT, _settings(data_set, seed, epochs))
    return open_run(RUN, track, workspace, chosen.experiment)


def _settings(data_set: DataSet, seed: int, epochs: int | None) -> list[str]:
    return [*data_set.settings, f"train.seed={seed}", *([] if epochs is None else [f"train.epochs={epochs}"])]


def _train_rival(data_set: DataSet, side: str, module: str, task: Mapping[str, Any], out: Path) -> dict[str, float]:
    path = out.with_name(f"{out.name}_fold{task['fold']}.json")
    write_json(path, task)
    title = f"{data_set.name}, fold {task['fold']}: {side}"
    return run_counted(title, ["-m", module, str(path), str(out)], path.with_suffix(""))


def _train_ours(data_set: DataSet, ours: Run, fold: Fold, out: Path) -> dict[str, float]:
    """Train a fold as a user does."""
    shutil.rmtree(ours.workspace.run_folder(RUN), ignore_errors=True)
    settings = _settings(data_set, ours.experiment.train.seed, ours.experiment.train.epochs)
    command = ["-m", "pipelines", "train", "--track", data_set.track, "--workspace", str(ours.workspace.root)]
    command += ["--experiment", EXPERIMENT, "--name", RUN, "--fold", str(fold), *["--phantom"] * ours.workspace.phantom]
    command += [word for setting in settings for word in ("--set", setting)]
    return run_counted(f"{data_set.name}, fold {fold}: ours", command, out.with_name(f"{out.name}_fold{fold}"))


def run_counted(title: str, words: list[str], report: Path) -> dict[str, float]:
    """Run Python with these words in a process of its own, its output in a log; return its cost."""
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
        raise CompetitionError(f"{title} failed; its output is in the log", log, "Fix the error, then race again")
    cost: dict[str, float] = read_json(figures, "Race again")
    return cost


def _mean(scores: Sequence[Statistic]) -> Statistic:
    """Return the mean of the seeds' scores."""
    return lambda times: np.mean([score(times) for score in scores], axis=0)


def _total(costs: Sequence[dict[str, float]], seeds: int) -> dict[str, float]:
    """Return the cost of one seed in all folds, and the largest peak."""
    return {
        "cpu_seconds": round(sum(cost["cpu_seconds"] for cost in costs) / seeds, 1),
        "seconds": round(sum(cost["seconds"] for cost in costs) / seeds, 1),
        "peak_gb": round(max(cost["peak_gb"] for cost in costs), 2),
    }


def rival_task(run: Run, fold: Fold, truth: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what all rivals get: images, their truth and folds, and the budget."""
    root = run.manifest.data_root
    images = {sample.key: sample.images[0] for sample in run.track.list_samples(root).samples}
    samples = []
    for entry in run.manifest.of("train"):
        image = root / str(images[entry.sample])
        if image.suffix.lower() not in PICTURES:
            raise CompetitionError("the notebook reads PNG and JPEG only", image, "Give a folder of pictures to --data")
        held_by = run.folds.fold_of[entry.group]
        samples.append({"key": entry.sample, "image": str(image), "fold": held_by} | truth[entry.sample])
    data, training = run.experiment.data, run.experiment.train
    return {
        "classes": list(run.track.classes),
        "samples": samples,
        "fold": fold,
        "size": data.size,
        "epochs": training.epochs,
        "batch_size": training.batch_size,
        "seed": training.seed,
    }
