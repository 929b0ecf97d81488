"""The data sets of the race, and the list of files and folds that its notebook is given."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.data.cache import read_label_planes
from competition.data.folds import Fold
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.runs.run import Run

PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Course:
    """A data set to race on.

    Attributes:
        name: For --only and --data.
        track: A track, or a YAML file.
        settings: Changed settings of ``quick``, as ``train --set`` takes them; the notebook gets its budget from there.
        drawn: Options of ``prepare`` that draw the data; None where the user gives the data.
    """

    name: str
    track: str
    settings: tuple[str, ...]
    drawn: tuple[str, ...] | None = None


COURSES = (
    Course("nuclei", str(Path(__file__).with_name("nuclei.yaml")), ("data.size=256", "train.epochs=30")),
    # quick's crops of 160 pixels show too little in eight epochs: fold 0 gets a Dice of 0.863, of 192 pixels 0.879.
    Course("sunnybrook", "cardiac", ("train.epochs=8", "data.crop=192")),
    # 64 training images, so 64 steps: what is learned early counts.
    Course("legs", "legs", ("data.size=256", "train.epochs=8"), ("--people", "40", "--test-people", "1")),
    Course("hands", "hand_bone", (), ("--people", "20", "--test-people", "1", "--size", "1024")),
)


def write_masks(folder: Path, key: str, classes: tuple[str, ...], masks: NDArray[np.bool_]) -> None:
    """Write the masks (C, H, W) of an image as folder/{class}/{key}.png, 0 and 255."""
    for name, mask in zip(classes, masks, strict=True):
        path = mask_file(folder, name, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), mask.astype(np.uint8) * 255, (cv2.IMWRITE_PNG_COMPRESSION, 1)):
            raise CompetitionError("the mask could not be written", path, "Check the disk's space and rights")


def mask_file(folder: Path, class_name: str, key: str) -> Path:
    """Return the mask of a class of an image."""
    return folder / class_name / f"{key}.png"


def write_truth(run: Run, folder: Path) -> None:
    """Write the true masks of all training images, as the track reads them."""
    for entry in run.manifest.of("train"):
        planes = read_label_planes(run.workspace, run.track, entry.sample)
        write_masks(folder, entry.sample, run.track.classes, unpack_planes(planes, len(run.track.classes)))


def notebook_task(run: Run, fold: Fold, truth: Path) -> dict[str, Any]:
    """Return all that the notebook knows: files, folds, network and budget.

    Args:
        run: Of our side, with its experiment.
        fold: The fold held out.
        truth: Folder of ``write_truth``.

    Raises:
        CompetitionError: The images are not pictures that the notebook can read.
    """
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
