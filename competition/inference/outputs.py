"""What a prediction of one image becomes on disk; needs no torch, so that an exported model writes the same.

Per image these are NAME.overlay.png, NAME.<class>.png, NAME.labels.png, NAME.disagreement.png, where single objects
are submitted NAME.<class>.objects.png and, of a DICOM image, NAME.seg.dcm. ``summary.py`` writes the table of all
images or patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.console import shout
from competition.drawing.outlines import class_colours, write_png
from competition.drawing.overlay import draw_overlay
from competition.errors import CompetitionError
from competition.files import whole_file
from competition.formats.dicom import is_dicom
from competition.formats.dicom_segmentation import write_segmentation
from competition.inference.measures import mean_agreement
from competition.masks.bit_planes import class_areas, unpack_class
from competition.masks.objects import Objects, instance_picture

OVERLAY, LABELS, DISAGREEMENT, SEGMENTATION = "overlay.png", "labels.png", "disagreement.png", "seg.dcm"
OBJECTS = "objects.png"


@dataclass(frozen=True)
class MaskAnswer:
    """The vote on one image.

    Attributes:
        name: Its files begin with it; of one found in a sub-folder with the folders, "patient/slice".
        image: (H, W) or (H, W, 3) uint8, as the network's reader gives it.
        planes: Label planes (H, W, ceil(C / 8)) uint8, post-processed.
        disagreement: (H, W) uint8, as ``disagreement.find_disagreement`` gives it; None where there is one fold in all.
        fold_dice: (C,) float64, likewise; NaN for a class that neither the vote nor any fold sees.
        spacing_mm: Distance of pixel centres between rows and between columns; None where unknown.
        source: The file of the image.
        objects: Its objects, where the decision says how masks become objects; else None.
    """

    name: str
    image: NDArray[np.uint8]
    planes: NDArray[np.uint8]
    disagreement: NDArray[np.uint8] | None
    fold_dice: NDArray[np.float64] | None
    spacing_mm: tuple[float, float] | None
    source: Path
    objects: Objects | None = None

    def agreement(self) -> float | None:
        """Return the mean of ``fold_dice`` over the classes present; None with one fold, or where no class is."""
        return None if self.fold_dice is None else mean_agreement(self.planes, self.fold_dice)


@dataclass(frozen=True)
class TableAnswer:
    """The vote on one patient, or an image of a classification.

    Attributes:
        name: Of the patient or image.
        score: Of the aneurysm track, what is submitted for the first class, 0 to 1: its probability unless members are
            combined by ranks. None of other tracks.
        probabilities: (C,) float64.
        decisions: bool of the last classes: (C - 1,) of the aneurysm track, (C,) by a rule, (0,) without one.
        deviations: (C,) float64, the standard deviation of the folds' probabilities; None where there is one fold.
        source: The file, or the folder of the patient.
    """

    name: str
    score: float | None
    probabilities: NDArray[np.float64]
    decisions: NDArray[np.bool_]
    deviations: NDArray[np.float64] | None
    source: Path


def class_files(classes: Sequence[str]) -> list[str]:
    """Return the name of each class in file names: slashes become dashes, and no two differ in case alone."""
    used = {name.partition(".")[0] for name in (OVERLAY, LABELS, DISAGREEMENT, SEGMENTATION)}
    parts = []
    for name in classes:
        part = name.replace("/", "-").replace("\\", "-")
        while part.casefold() in used:
            part += "_"
        used.add(part.casefold())
        parts.append(part)
    return parts


def result_endings(classes: Sequence[str]) -> list[str]:
    """Return the endings of all files that an image can have."""
    parts = class_files(classes)
    single = [f"{part}.png" for part in parts] + [f"{part}.{OBJECTS}" for part in parts]
    return [OVERLAY, LABELS, DISAGREEMENT, SEGMENTATION, *single]


def write_mask_answer(folder: Path, answer: MaskAnswer, classes: Sequence[str]) -> list[str]:
    """Write the files of one image and return their names.

    A DICOM image without what a DICOM SEG must refer to gets none, with a warning.

    Raises:
        CompetitionError: The folder can't be written.
    """
    present = np.flatnonzero(class_areas(answer.planes, len(classes)) > 0).tolist()
    files = [OVERLAY, LABELS]
    (folder / answer.name).parent.mkdir(parents=True, exist_ok=True)
    overlay = draw_overlay(answer.image, answer.planes, classes, answer.spacing_mm, answer.objects)
    write_png(folder / f"{answer.name}.{OVERLAY}", overlay)
    labelled = np.zeros(answer.planes.shape[:2], np.uint8 if len(classes) <= 255 else np.uint16)
    for index, part in enumerate(class_files(classes)):
        mask = unpack_class(answer.planes, index)
        labelled[mask] = index + 1
        _write_grey(folder / f"{answer.name}.{part}.png", mask.astype(np.uint8) * np.uint8(255))
        files.append(f"{part}.png")
        if answer.objects is not None:
            _write_grey(folder / f"{answer.name}.{part}.{OBJECTS}", instance_picture(answer.objects, index))
            files.append(f"{part}.{OBJECTS}")
    _write_grey(folder / f"{answer.name}.{LABELS}", labelled)
    if answer.disagreement is not None:
        _write_grey(folder / f"{answer.name}.{DISAGREEMENT}", answer.disagreement)
        files.append(DISAGREEMENT)
    if present and is_dicom(answer.source) and _write_segmentation(folder, answer, classes, present):
        files.append(SEGMENTATION)
    return [f"{answer.name}.{file}" for file in files]


def _write_segmentation(folder: Path, answer: MaskAnswer, classes: Sequence[str], present: Sequence[int]) -> bool:
    masks = np.stack([unpack_class(answer.planes, index) for index in present])
    colours = class_colours(len(classes))
    path = folder / f"{answer.name}.{SEGMENTATION}"
    names = [classes[index] for index in present]
    try:
        write_segmentation(path, answer.source, names, masks, [colours[index] for index in present])
    except CompetitionError as error:  # the other files are complete without it
        shout(f"warning: {error}")
        return False
    return True


def _write_grey(path: Path, picture: NDArray[Any]) -> None:
    """Write a grey picture (H, W) uint8 or uint16 whole or not at all."""
    encoded = cv2.imencode(".png", picture)[1]
    with whole_file(path) as part:
        part.write_bytes(encoded.tobytes())
