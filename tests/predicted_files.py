"""What the tests of predict and export share: late test sets, changed decisions, and masks read back."""

import csv
import shutil

import cv2
import numpy as np

from competition.file_listing import find_files
from competition.files import write_sealed_json
from competition.formats.json_files import read_json
from competition.runs.fold_training import train_one
from competition.runs.run import open_run
from competition.tracks.track import Listing, Sample

CLASSES = ("disc", "square", "bar")


def list_hands(folder):
    paths = find_files(folder, "*.npy")
    return Listing([Sample(path.stem, path.name, "test", path.stem, (path.name,)) for path in paths])


def list_patients(folder):
    """Patient 0 with all four views, patient 3 without two of them, patient 8."""
    views = ("L-A", "L-B", "R-A", "R-B")
    files = {number: [f"{number}-{view}.npy" for view in views] for number in ("0", "3", "8")}
    there = {number: tuple(name if (folder / name).exists() else None for name in files[number]) for number in files}
    return Listing([Sample(number, number, "test", number, there[number]) for number in there])


def only_runs(workspace):
    """What another machine has: neither raw data nor cache nor fold file."""
    for name in ("cache", "raw", "folds", "submissions"):
        shutil.rmtree(workspace.root / name)


def edit(workspace, name, **changes):
    file = workspace.decision_file(name)
    write_sealed_json(file, read_json(file, "") | changes)


def masks_in(folder, name):
    """The masks (C, H, W) that were written."""
    pictures = [cv2.imread(str(folder / f"{name}.{one}.png"), cv2.IMREAD_UNCHANGED) for one in CLASSES]
    assert all(set(np.unique(picture)) <= {0, 255} for picture in pictures)
    return np.stack(pictures) > 0


def add_second_run(workspace, track, experiment, name="second"):
    run = open_run(name, track, workspace, experiment)
    for fold in (0, 1):
        train_one(run, fold, force=False)


def rows_of(folder):
    """The rows of summary.csv."""
    with (folder / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))
