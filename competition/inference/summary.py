"""summary.csv and the description of a folder of predictions; needs no torch."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from competition.errors import CompetitionError
from competition.files import GITIGNORE, keep_out_of_git, write_csv, write_json, write_text
from competition.formats.json_files import read_json
from competition.inference.measures import measure_mask
from competition.inference.outputs import MaskAnswer, TableAnswer, class_files
from competition.masks.bit_planes import unpack_class
from competition.workspace import PHANTOM

SUMMARY, README, MARK = "summary.csv", "README.txt", "predictions.json"
DIGITS = 6
SYNTHETIC = "The networks were trained on synthetic data: what they find in real images means nothing."
Row = dict[str, Any]


def mask_rows(answer: MaskAnswer, classes: Sequence[str]) -> list[Row]:
    """Return a row per class of an image: its measures, and how far the folds agree; None for what is unknown."""
    agreement = _rounded(answer.agreement())
    rows = []
    for index, name in enumerate(classes):
        measures = measure_mask(unpack_class(answer.planes, index), answer.spacing_mm)
        dice = None if answer.fold_dice is None or np.isnan(answer.fold_dice[index]) else answer.fold_dice[index]
        sizes = {key: _rounded(value) for key, value in asdict(measures).items()}
        own = {"fold_dice": _rounded(dice), "image_fold_dice": agreement, "source": str(answer.source)}
        rows.append({"name": answer.name, "class": name} | sizes | own)
    return rows


def table_row(answer: TableAnswer, classes: Sequence[str]) -> Row:
    """Return the row of a patient: a score, then of each class probability, standard deviation and any decision."""
    row: Row = {"name": answer.name} | ({} if answer.score is None else {"score": answer.score})
    first = len(classes) - len(answer.decisions)  # of those that are decided
    for index, name in enumerate(classes):
        row[f"{name}_probability"] = float(answer.probabilities[index])
        row[f"{name}_sd"] = None if answer.deviations is None else _rounded(answer.deviations[index])
        if index >= first:
            row[f"{name}_decision"] = int(answer.decisions[index - first])
    return row | {"source": str(answer.source)}


def write_summary(folder: Path, rows: Sequence[Row], files: Sequence[str], about: dict[str, Any], text: str) -> None:
    """Write summary.csv, README.txt, and predictions.json, which marks the folder as one of predictions.

    Args:
        folder: Of the predictions.
        rows: Of ``mask_rows`` or ``table_row``, at least one.
        files: Names of all other files there.
        about: What made them, for predictions.json.
        text: The README.
    """
    keep_out_of_git(folder)
    write_csv(folder / SUMMARY, rows)
    write_text(folder / README, text)
    write_json(folder / MARK, about | {"files": sorted([*files, GITIGNORE, SUMMARY, README, MARK]), "rows": list(rows)})


def check_replaceable(folder: Path) -> None:
    """Make sure that a folder does not exist, is empty, or holds nothing but the files of an earlier prediction.

    Raises:
        CompetitionError: Something else is there, which replacing the folder would delete.
    """
    if not folder.is_dir() or not (folder / MARK).is_file():
        return  # ``whole_folder`` rejects whatever else is there
    written = read_json(folder / MARK, "Choose another --out").get("files", [])
    there = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    found = {path.relative_to(folder).as_posix() for path in there}
    if others := sorted(found - set(written)):
        what = f"this folder also holds {others[0]} ({len(others)} in all), which predict did not write"
        raise CompetitionError(what, folder, "Move it elsewhere, or choose another --out")


def readme(task: str, classes: Sequence[str], dataset: str) -> str:
    """Return the README of a folder of predictions by networks that were trained on a data set."""
    text = mask_readme(classes) if task == "segmentation" else TABLE_README
    return f"{SYNTHETIC}\n\n{text}" if dataset.startswith(PHANTOM) else text


def mask_readme(classes: Sequence[str]) -> str:
    """Return the README of masks: what each file is, and the number of each class."""
    numbers = "\n".join(
        f"{number}  {name}{'' if part == name else f'  (files: {part})'}"
        for number, (name, part) in enumerate(zip(classes, class_files(classes), strict=True), 1)
    )
    return f"""\
NAME is that of the image, with the folders that it was found in; the column source of summary.csv names its file.

NAME.overlay.png       the image with the outline and number of every class, and a key of names and sizes; a small
                       image is enlarged by a whole number
NAME.<class>.png       the mask of a class, 0 or 255
NAME.<class>.objects.png  where one row per object is submitted: the objects of a class, numbered from 1
NAME.labels.png        all classes in one picture, by the numbers below; where classes overlap, the later one is shown
NAME.disagreement.png  standard deviation of the folds' probabilities, the largest of all classes, on the networks'
                       grid and enlarged; 255 is 0.5
NAME.seg.dcm           of a DICOM image: DICOM SEG with the patient's identity of that image
summary.csv            a row per image and class. fold_dice: mean Dice of each fold's own mask with the vote, on the
                       same grid and before post-processing; image_fold_dice: its mean over the classes present. Look
                       first at low ones.

Classes in NAME.overlay.png and NAME.labels.png:
{numbers}
"""


TABLE_README = """\
summary.csv  a row per patient: the score of the first class; of every class the probability, its standard deviation
             over folds, and the decision (0 or 1) by its threshold and the gate.
"""


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else round(float(value), DIGITS)
