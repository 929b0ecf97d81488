"""What a prediction of one image becomes on disk; needs no torch, so that an exported model writes the same.

Per image these are NAME.overlay.png, NAME.<class>.png, NAME.labels.png, NAME.disagreement.png and, of a DICOM image,
NAME.seg.dcm. ``summary.py`` writes the table of all images or patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.console import shout
from competition.drawing.outlines import as_rgb, class_colours, coloured, legend, outline, write_png
from competition.errors import CompetitionError
from competition.files import whole_file
from competition.formats.dicom import is_dicom
from competition.formats.dicom_segmentation import write_segmentation
from competition.inference.measures import mean_agreement
from competition.masks.bit_planes import class_areas, unpack_class

OVERLAY, LABELS, DISAGREEMENT, SEGMENTATION = "overlay.png", "labels.png", "disagreement.png", "seg.dcm"
NARROWEST_LEGEND = 220
"""Columns of an overlay at least, so that the name of a class is not cut off below a small image."""
PIXELS_PER_LINE = 700
"""Outlines of a picture shown on a screen stay visible where they have a pixel for so many of its long side."""


@dataclass(frozen=True)
class MaskAnswer:
    """The vote on one image.

    Attributes:
        name: Its files begin with it.
        image: (H, W) or (H, W, 3) uint8, as the network's reader gives it.
        planes: Label planes (H, W, ceil(C / 8)) uint8, post-processed.
        disagreement: (H, W) uint8, as ``disagreement.find_disagreement`` gives it; None where there is one fold in all.
        fold_dice: (C,) float64, likewise; NaN for a class that neither the vote nor any fold sees.
        spacing_mm: Distance of pixel centres between rows and between columns; None where unknown.
        source: The file of the image.
    """

    name: str
    image: NDArray[np.uint8]
    planes: NDArray[np.uint8]
    disagreement: NDArray[np.uint8] | None
    fold_dice: NDArray[np.float64] | None
    spacing_mm: tuple[float, float] | None
    source: Path

    def agreement(self) -> float | None:
        """Return the mean of ``fold_dice`` over the classes present; None with one fold, or where no class is."""
        return None if self.fold_dice is None else mean_agreement(self.planes, self.fold_dice)


@dataclass(frozen=True)
class TableAnswer:
    """The vote on one patient, or an image of a classification.

    Attributes:
        name: Of the patient or image.
        score: Submitted for the first class, 0 to 1; its probability unless members are combined by ranks.
        probabilities: (C,) float64.
        decisions: (C - 1,) bool of the classes but the first, by their thresholds and the gate.
        deviations: (C,) float64, the standard deviation of the folds' probabilities; None where there is one fold.
        source: The file, or the folder of the patient.
    """

    name: str
    score: float
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


def check_names(sources: Sequence[tuple[str, Path]], classes: Sequence[str]) -> None:
    """Make sure that no two images (name, source) would write one file; without ``classes`` that no two share a name.

    Raises:
        CompetitionError: Two would; both are named.
    """
    taken: dict[str, Path] = {}
    for name, source in sources:
        if (other := taken.get(name.casefold())) is not None:
            raise _one_name(source, other)
        taken[name.casefold()] = source
    pictures = (f"{part}.png" for part in class_files(classes))
    endings = {ending.casefold() for ending in (OVERLAY, LABELS, DISAGREEMENT, SEGMENTATION, *pictures)}
    for name, source in taken.items():
        parts = name.split(".")
        for count in range(1, len(parts) if classes else 0):
            # "a.femur" would write a.femur.overlay.png, as "a" would for a class called femur.overlay.
            shorter, rest = ".".join(parts[:count]), ".".join(parts[count:])
            if shorter in taken and any(f"{rest}.{ending}" in endings for ending in endings):
                raise _one_name(source, taken[shorter])


def _one_name(source: Path, other: Path) -> CompetitionError:
    if source == other:
        return CompetitionError("this is given twice", source, "Name it once")
    what = f"the results of this and of {other} would have one name"
    return CompetitionError(what, source, "Rename one of them, or predict them into two folders")


def write_mask_answer(folder: Path, answer: MaskAnswer, classes: Sequence[str]) -> list[str]:
    """Write the files of one image and return their names.

    A DICOM image without what a DICOM SEG must refer to gets none, with a warning.

    Raises:
        CompetitionError: The folder can't be written.
    """
    present = np.flatnonzero(class_areas(answer.planes, len(classes)) > 0).tolist()
    files = [OVERLAY, LABELS]
    write_png(folder / f"{answer.name}.{OVERLAY}", _overlay(answer, classes, present))
    labelled = np.zeros(answer.planes.shape[:2], np.uint8 if len(classes) <= 255 else np.uint16)
    for index, part in enumerate(class_files(classes)):
        mask = unpack_class(answer.planes, index)
        labelled[mask] = index + 1
        _write_grey(folder / f"{answer.name}.{part}.png", mask.astype(np.uint8) * np.uint8(255))
        files.append(f"{part}.png")
    _write_grey(folder / f"{answer.name}.{LABELS}", labelled)
    if answer.disagreement is not None:
        _write_grey(folder / f"{answer.name}.{DISAGREEMENT}", answer.disagreement)
        files.append(DISAGREEMENT)
    if present and is_dicom(answer.source) and _write_segmentation(folder, answer, classes, present):
        files.append(SEGMENTATION)
    return [f"{answer.name}.{file}" for file in files]


def _overlay(answer: MaskAnswer, classes: Sequence[str], present: Sequence[int]) -> NDArray[np.uint8]:
    """Return the image with outlines, at native size, above the names of the classes present."""
    picture = as_rgb(answer.image)
    outline(picture, answer.planes, len(classes), max(1, round(max(picture.shape[:2]) / PIXELS_PER_LINE)))
    width = max(NARROWEST_LEGEND, picture.shape[1])
    colours = coloured(classes)
    names = [colours[index] for index in present] or [("no class found", (230, 230, 230))]
    beside = np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)))
    return np.vstack([beside, legend(width, names)])


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
