"""The race of our ``quick`` against a plain notebook: both are trained, then compared on held-out images."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.console import say
from competition.data.cache import read_label_planes
from competition.data.folds import FULL, Fold
from competition.ensembling.selection.bootstrap import figure_of, mean_of, paired_difference
from competition.errors import CompetitionError
from competition.files import write_json
from competition.formats.json_files import read_json
from competition.installation import REPOSITORY
from competition.machine import cores
from competition.masks.bit_planes import unpack_planes
from competition.prediction.probability_maps import HALF_LEVEL, read_map
from competition.runs.run import Run, open_run, parse_folds
from competition.settings import load_experiment
from competition.tracks import get_track
from competition.workspace import Workspace, out_of_fold_folder
from pipelines.benchmarks import counted_process
from pipelines.context import experiment_file

EXPERIMENT = "quick"
RUN = "race"
SIDES = ("notebook", "ours")
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
    DataSet("legs", "legs", ("data.size=256", "train.epochs=8"), ("--people", "40", "--test-people", "1")),
    DataSet("hands", "hand_bone", (), ("--people", "20", "--test-people", "1", "--size", "1024")),
)


def race_on(
    data_set: DataSet, workspace: Workspace, fold_text: str, epochs: int | None, seeds: int, turn: int
) -> dict[str, Any]:
    """Train both sides on all folds and seeds; return their Dice and cost, and the paired difference.

    The folds are typed as for ``train --fold``, and the notebook starts where ``turn`` is even.
    """
    first = _open(workspace, data_set, 0, epochs)
    files = workspace.root / "files" / data_set.name
    shutil.rmtree(files, ignore_errors=True)
    for entry in first.manifest.of("train"):
        planes = read_label_planes(workspace, first.track, entry.sample)
        write_masks(files / "truth", entry.sample, first.track.classes, unpack_planes(planes, len(first.track.classes)))
    folds = [fold for fold in parse_folds(fold_text, first.folds.count) if fold != FULL]
    if not folds:
        raise CompetitionError("a race needs a held-out fold", None, "Give --fold 0, or 0,1, or all")
    entries = [entry for entry in first.manifest.of("train") if first.folds.fold_of[entry.group] in folds]
    dice = {side: np.zeros((seeds, len(entries))) for side in SIDES}
    costs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for seed in range(seeds):
        ours = _open(workspace, data_set, seed, epochs)
        for fold in folds:
            # In turns, so that neither side always runs on a machine that the other has warmed.
            for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
                out = files / side / f"seed{seed}"
                train_side = _train_notebook if side == "notebook" else _train_ours
                costs[side].append(train_side(data_set, ours, fold, out))
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


def _open(workspace: Workspace, data_set: DataSet, seed: int, epochs: int | None) -> Run:
    track = get_track(data_set.track)
    experiment = load_experiment(experiment_file(track, EXPERIMENT), _settings(data_set, seed, epochs))
    return open_run(RUN, track, workspace, experiment)


def _settings(data_set: DataSet, seed: int, epochs: int | None) -> list[str]:
    return [*data_set.settings, f"train.seed={seed}", *([] if epochs is None else [f"train.epochs={epochs}"])]


def _train_notebook(data_set: DataSet, ours: Run, fold: Fold, out: Path) -> dict[str, float]:
    task = out.with_name(f"{out.name}_fold{fold}.json")
    write_json(task, notebook_task(ours, fold, out.parent.parent / "truth"))
    command = ["-m", "pipelines.benchmarks.plain_notebook", str(task), str(out)]
    return run_counted(f"{data_set.name}, fold {fold}: notebook", command, task.with_suffix(""))


def _train_ours(data_set: DataSet, ours: Run, fold: Fold, out: Path) -> dict[str, float]:
    """Train a fold as a user does, and write its out-of-fold predictions as masks."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(ours.workspace.run_folder(RUN), ignore_errors=True)
    settings = _settings(data_set, ours.experiment.train.seed, ours.experiment.train.epochs)
    command = ["-m", "pipelines", "train", "--track", data_set.track, "--workspace", str(ours.workspace.root)]
    command += ["--experiment", EXPERIMENT, "--name", RUN, "--fold", str(fold), *["--phantom"] * ours.workspace.phantom]
    command += [word for setting in settings for word in ("--set", setting)]
    cost = run_counted(f"{data_set.name}, fold {fold}: ours", command, out.with_name(f"{out.name}_fold{fold}"))
    for entry in ours.held_out(fold):
        values = read_map(out_of_fold_folder(ours.folder(fold)), entry.sample)
        write_masks(out, entry.sample, ours.track.classes, values > HALF_LEVEL)
    return cost


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


def _total(costs: Sequence[dict[str, float]], seeds: int) -> dict[str, float]:
    """Return the cost of one seed in all folds, and the largest peak."""
    return {
        "cpu_seconds": round(sum(cost["cpu_seconds"] for cost in costs) / seeds, 1),
        "seconds": round(sum(cost["seconds"] for cost in costs) / seeds, 1),
        "peak_gb": round(max(cost["peak_gb"] for cost in costs), 2),
    }


def write_masks(folder: Path, key: str, classes: tuple[str, ...], masks: NDArray[np.bool_]) -> None:
    """Write the masks (C, H, W) of an image as folder/{class}/{key}.png, 0 and 255."""
    for name, mask in zip(classes, masks, strict=True):
        path = mask_file(folder, name, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), mask.astype(np.uint8) * 255, (cv2.IMWRITE_PNG_COMPRESSION, 1)):
            raise CompetitionError("the mask could not be written", path, "Check the disk's space and permissions")


def mask_file(folder: Path, class_name: str, key: str) -> Path:
    """Return the mask of a class of an image."""
    return folder / class_name / f"{key}.png"


def notebook_task(run: Run, fold: Fold, truth: Path) -> dict[str, Any]:
    """Return the notebook's list of images, masks in ``truth`` and folds, and its budget."""
    root = run.manifest.data_root
    images = {sample.key: sample.images[0] for sample in run.track.list_samples(root).samples}
    samples = []
    for entry in run.manifest.of("train"):
        image = root / str(images[entry.sample])
        if image.suffix.lower() not in PICTURES:
            raise CompetitionError("the notebook reads PNG and JPEG only", image, "Give a folder of pictures to --data")
        masks = [str(mask_file(truth, name, entry.sample)) for name in run.track.classes]
        held_by = run.folds.fold_of[entry.group]
        samples.append({"key": entry.sample, "image": str(image), "masks": masks, "fold": held_by})
    model, data, training = run.experiment.model, run.experiment.data, run.experiment.train
    return {
        "classes": list(run.track.classes),
        "samples": samples,
        "fold": fold,
        "encoder": model.encoder,
        "decoder_channels": list(model.decoder_channels or ()),
        "size": data.size,
        "epochs": training.epochs,
        "batch_size": training.batch_size,
        "seed": training.seed,
    }


def dice_of(predicted: Path, truth: Path, key: str, classes: tuple[str, ...]) -> float:
    """Return an image's Dice, mean over classes, from mask files of both sides; empty against empty is 1."""
    scores = []
    for name in classes:
        called, true = (_read_mask(mask_file(folder, name, key)) for folder in (predicted, truth))
        if called.shape != true.shape:
            found, wanted = (f"{mask.shape[1]}x{mask.shape[0]}" for mask in (called, true))
            path = mask_file(predicted, name, key)
            raise CompetitionError(f"predicted mask is {found} pixels, the true one {wanted}", path)
        total = int(called.sum()) + int(true.sum())
        scores.append(2 * int((called & true).sum()) / total if total else 1.0)
    return float(np.mean(scores))


def _read_mask(path: Path) -> NDArray[np.bool_]:
    stored = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if stored is None:
        raise CompetitionError("predicted mask is missing or damaged", path)
    return np.asarray(stored) > 127
