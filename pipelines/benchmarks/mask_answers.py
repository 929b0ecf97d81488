"""Masks as answers of the race: files of both sides at native size, scored by Dice."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.data.cache import read_label_planes
from competition.data.folds import Fold
from competition.data.manifest import Entry
from competition.ensembling.selection.bootstrap import Statistic, mean_of
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.prediction.probability_maps import HALF_LEVEL, read_map
from competition.runs.run import Run
from competition.settings import Experiment
from competition.workspace import Workspace, out_of_fold_folder
from pipelines.benchmarks.race_answers import Answers


class MaskAnswers(Answers):
    """A PNG of each class of each image, binarised at probability 0.5."""

    rivals: ClassVar[Mapping[str, str]] = {"notebook": "pipelines.benchmarks.plain_notebook"}

    @property
    def metric(self) -> str:
        """Return "Dice"."""
        return "Dice"

    def write_truth(self, workspace: Workspace, entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
        """Write the true masks; return their paths."""
        classes, paths = self.track.classes, {}
        for entry in entries:
            planes = read_label_planes(workspace, self.track, entry.sample)
            write_masks(self.truth, entry.sample, classes, unpack_planes(planes, len(classes)))
            paths[entry.sample] = {"masks": [str(mask_file(self.truth, name, entry.sample)) for name in classes]}
        return paths

    def network(self, experiment: Experiment) -> dict[str, Any]:
        """Return our own network."""
        model = experiment.model
        return {"encoder": model.encoder, "decoder_channels": list(model.decoder_channels or ())}

    def write_ours(self, run: Run, fold: Fold, out: Path) -> None:
        """Write the masks of a fold."""
        for entry in run.held_out(fold):
            values = read_map(out_of_fold_folder(run.folder(fold)), entry.sample)
            write_masks(out, entry.sample, self.track.classes, values > HALF_LEVEL)

    def statistic(self, entries: Sequence[Entry], out: Path) -> Statistic:
        """Return the mean Dice of images."""
        return mean_of(np.array([dice_of(out, self.truth, entry.sample, self.track.classes) for entry in entries]))


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
