"""The competition's own metric of a submission file against a truth, without making a pixel.

Dice needs three integers per (image, class): two areas and an intersection. All three follow from run lengths.
"""

import math
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from competition.console import shout
from competition.console import track as shown
from competition.delivery.near_misses import near_misses
from competition.delivery.submissions import ID_COLUMN, check_classes, few, read_rle_csv, read_table_csv, without_zeros
from competition.errors import CompetitionError
from competition.imaging.planes import plane_count
from competition.imaging.runlength_text import parse_image
from competition.imaging.runlengths import encode_planes, overlaps
from competition.metrics import dice, score_aneurysm
from competition.text import size_text
from competition.tracks.file_listing import find_files
from competition.tracks.run_length_form import IMAGE_CLASS_RLE, RunLengthSubmission
from competition.tracks.run_length_rows import Key
from competition.tracks.track import Track, label_files, split_part


@dataclass(frozen=True)
class Score:
    """What a submission is worth.

    Attributes:
        metric: "dice" or "auroc".
        score: What the competition ranks by.
        per_class: Class -> mean Dice over the images, or AUROC of the column (None with only one kind of truth).
        rows: Scored (image, class) pairs, or patients.
        beside: Further figures the organiser prints: accuracy, all_zero_accuracy, cells_gained; empty for Dice.
        per_image: Image -> mean Dice over the classes; empty for AUROC, which no single patient has.
        ranked: For AUROC, id without leading zeros -> truth and probability of the ranked class; empty for Dice.
    """

    metric: str
    score: float
    per_class: dict[str, float | None]
    rows: int
    beside: dict[str, float]
    per_image: dict[str, float] = field(default_factory=dict)
    ranked: dict[str, tuple[int, float]] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """The keys that ``score --json`` promises."""
        return {
            "metric": self.metric,
            "score": self.score,
            "per_class": self.per_class,
            "rows": self.rows,
            **self.beside,
        }


def score_rle(
    submission: Path,
    truth: Mapping[Key, str],
    classes: Sequence[str],
    sizes: Mapping[str, tuple[int, int]] | None = None,
    form: RunLengthSubmission = IMAGE_CLASS_RLE,
) -> Score:
    """Mean Dice over all (image, class) pairs, as the hand-bone organiser defines it; empty against empty is 1.

    Args:
        submission: CSV in the form.
        truth: (image name, class) -> run lengths, in any order: rows are joined by key.
        classes: All classes; each image of the truth must have each.
        sizes: Image name -> rows and columns, where known: runs beyond the last pixel are then refused.
        form: The organiser's; the truth counts pixels in the same order.

    Returns:
        The score, per class in the order of ``classes``.

    Raises:
        CompetitionError: A row is missing on either side, or a run length is malformed.
    """
    predicted = read_rle_csv(submission, classes, form)
    check_classes((name for _, name in predicted), classes, submission)
    images = list(dict.fromkeys(name for name, _ in truth))
    wanted = [(image, name) for image in images for name in classes]
    _same_rows(wanted, list(truth), "the truth", "of an unknown class")
    _same_rows(wanted, list(predicted), submission, "not in the truth")
    if not wanted:
        raise CompetitionError("there is nothing to score: no rows", submission)
    scores = np.empty((len(images), len(classes)))
    for image, row in zip(images, scores, strict=True):
        size = (sizes or {}).get(image)
        ours, theirs = (
            parse_image(
                [rows[image, name] for name in classes],
                [f"{where}, {image}, {name}" for name in classes],
                size and math.prod(size),
            )
            for rows, where in ((predicted, submission), (truth, "truth"))
        )
        row[:] = dice(*overlaps(ours, theirs))
    per_class = dict(zip(classes, scores.mean(axis=0).tolist(), strict=True))
    per_image = dict(zip(images, scores.mean(axis=1).tolist(), strict=True))
    return Score("dice", float(scores.mean()), per_class, len(wanted), {}, per_image)


def score_table(submission: Path, truth: pd.DataFrame, classes: Sequence[str]) -> Score:
    """AUROC of the first column, and beside it the accuracy over the others (the aneurysm organiser's scorer).

    The organiser joins by position; this joins by id, which is the same where ``check`` found no fault. Ids that differ
    only in leading zeros ("0047", "47") are one patient: spreadsheets and pandas drop them.

    Args:
        submission: CSV of Index and the classes.
        truth: 0/1 columns of the classes, indexed by id, in any order.
        classes: The probability's column, then those of the decisions.

    Returns:
        The score; per_class is the AUROC of each column.

    Raises:
        CompetitionError: An id is missing on either side, a value is NaN or the truth is not 0 or 1, or the truth has
            no positive or no negative at all.
    """
    predicted = _by_number(read_table_csv(submission, ID_COLUMN, classes), submission)
    truth = _by_number(truth, "the truth")
    _same_rows([(name,) for name in truth.index], [(name,) for name in predicted.index], submission, "not in the truth")
    outputs = predicted.loc[truth.index, list(classes)].to_numpy(np.float64)
    answers = truth[list(classes)].to_numpy(np.float64)
    if not np.isfinite(outputs).all():
        row, column = np.argwhere(~np.isfinite(outputs))[0]
        raise CompetitionError(
            f"{classes[column]} of {ID_COLUMN} {truth.index[row]} is not a finite number", submission
        )
    if not np.isin(answers, (0, 1)).all():
        row, column = np.argwhere(~np.isin(answers, (0, 1)))[0]
        value = answers[row, column]
        raise CompetitionError(
            f"the truth of {classes[column]} of {ID_COLUMN} {truth.index[row]} is {value}, not 0 or 1"
        )
    if len(set(answers[:, 0])) < 2:
        raise CompetitionError(
            f"the truth has only one kind of {classes[0]}, so there is no AUROC (test.csv is all zeros and no truth)"
        )
    result = score_aneurysm(answers.astype(np.int64), outputs)
    per_class = {
        name: None if math.isnan(value) else float(value)
        for name, value in zip(classes, (result.auroc, *result.location_aurocs), strict=True)
    }
    beside = {
        "accuracy": result.accuracy,
        "all_zero_accuracy": result.all_zero_accuracy,
        "cells_gained": result.cells_gained,
    }
    ranked = {
        str(name): (int(answer), float(prob))
        for name, answer, prob in zip(truth.index, answers[:, 0], outputs[:, 0], strict=True)
    }
    return Score("auroc", float(result.auroc), per_class, len(truth), beside, ranked=ranked)


def truth_from_folder(
    track: Track,
    folder: Path,
    names: Sequence[str],
    size_hw: tuple[int, int] | None = None,
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> tuple[dict[Key, str], dict[str, tuple[int, int]]]:
    """Reads labels in the track's own form and encodes them like a submission.

    A label belongs to an image when the track's ``label_key`` of the two file names is equal: the stem, or a number.

    Args:
        track: Whose labels they are (segmentation).
        folder: Searched with all folders below it.
        names: Image names as the submission has them.
        size_hw: Rows and columns of every image. None: a label image has its own size, a list of points that of
            ``sizes``, else that of the track.
        sizes: Image name -> rows and columns, where they are known.

    Returns:
        (image name, class) -> run lengths, and image name -> rows and columns.

    Raises:
        CompetitionError: An image has no label, two, or one that can't be read, or nothing tells its size.
    """
    if track.read_label is None:
        raise CompetitionError(f"track {track.name} has no label files: give the truth as a CSV", folder)
    files = labels_of(track, folder, names)
    truth: dict[Key, str] = {}
    used: dict[str, tuple[int, int]] = {}
    for name in shown(names, "reading the truth"):
        path = files[name]
        own = (
            size_hw
            or _image_size(label_files(split_part(path)[0], track.classes)[0])
            or (sizes or {}).get(name)
            or track.size_hw
        )
        if own is None:
            raise CompetitionError("nothing tells how large this image is", path, "Give --size ROWSxCOLUMNS")
        planes = track.read_label(path, own)
        if planes.shape != (*own, plane_count(len(track.classes))):
            found, wanted = size_text(planes.shape[:2]), size_text(own)
            raise CompetitionError(f"the label is {found}, not {wanted} (rows x columns)", path)
        used[name] = own
        rles = encode_planes(planes, len(track.classes), track.rle_form.order)
        truth.update(((name, class_name), rle) for class_name, rle in zip(track.classes, rles, strict=True))
    return truth, used


def _by_number(frame: pd.DataFrame, where: Path | str) -> pd.DataFrame:
    """The same rows, ids without leading zeros."""
    plain = [without_zeros(str(name)) for name in frame.index]
    twice = sorted(name for name, count in Counter(plain).items() if count > 1)
    if twice:
        raise CompetitionError(f"{ID_COLUMN} {few(twice)} appears twice, once with leading zeros", where)
    return frame.set_axis(plain, axis="index")


def labels_of(track: Track, folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Finds the label of each image.

    Args:
        track: Tells what an image and its label have in common.
        folder: Searched with all folders below it.
        names: Image names as the submission has them.

    Returns:
        Name -> its one label; "{class}" stands in its path where every class has a folder of its own.

    Raises:
        CompetitionError: An image has no label or several, or two images would have the same.
    """
    by_key = _files_by_key(track, folder) if track.find_labels is None else track.find_labels(folder)
    key_of = {name: track.label_key(name) for name in names}
    missing = [name for name in names if key_of[name] not in by_key]
    if missing:
        hint = near_misses((key_of[name] for name in missing), by_key.keys() - set(key_of.values()))
        if not by_key:
            hint = f"; the files of this track are {' '.join(track.layout.split())}"
        raise CompetitionError(
            f"{len(missing)} of {len(names)} images have no label, first {few(missing)}{hint}", folder
        )
    counts = Counter(key_of.values())
    twice = [name for name in names if counts[key_of[name]] > 1]
    if twice:
        raise CompetitionError(f"images {few(twice)} would have the same label", by_key[key_of[twice[0]]][0])
    labels = {}
    for name in names:
        files = by_key[key_of[name]]
        found = files if len(files) == 1 else _joined(folder, files, track.classes)
        if len(found) > 1:
            both = " and ".join(str(path.relative_to(folder)) for path in found[:2])
            raise CompetitionError(
                f"{len(found)} files could be the label of {name!r} ({both})", folder, "Name the folder of labels alone"
            )
        labels[name] = found[0]
    _say_unused(folder, by_key, labels, set(key_of.values()))
    return labels


def _files_by_key(track: Track, folder: Path) -> dict[str, list[Path]]:
    by_key: dict[str, list[Path]] = {}
    for path in find_files(folder, "**/*"):
        by_key.setdefault(track.label_key(path.name), []).append(path)
    return by_key


def _say_unused(
    folder: Path, by_key: Mapping[str, Sequence[Path]], labels: Mapping[str, Path], used: Container[str]
) -> None:
    """A submission that lacks images must not look complete."""
    suffixes = {split_part(label)[0].suffix for label in labels.values()}
    unused = [files[0] for key, files in by_key.items() if key not in used]
    others = [file.name for file in unused if split_part(file)[0].suffix in suffixes]
    if others:
        shout(
            f"{len(others)} of {len(by_key)} labels below {folder} belong to no submitted image and are not scored, so "
            f"images that the submission lacks do not lower the score: {few(others)}"
        )


def _joined(folder: Path, files: Sequence[Path], classes: Sequence[str]) -> list[Path]:
    """Joins masks/Radius/1.png and masks/Ulna/1.png into masks/{class}/1.png; files of other forms stay as they are."""
    templates = {
        folder.joinpath(*("{class}" if part in classes else part for part in file.relative_to(folder).parts))
        for file in files
    }
    if len(templates) == 1 and set(label_files(min(templates), classes)) == set(files):
        return list(templates)
    return list(files)


def _image_size(path: Path) -> tuple[int, int] | None:
    """Rows and columns of a label that is an image; None for any other form."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return None if image is None else (int(image.shape[0]), int(image.shape[1]))


def _same_rows(
    expected: Sequence[tuple[str, ...]], found: Sequence[tuple[str, ...]], where: Path | str, extra: str
) -> None:
    """Raises where one side has a row that the other lacks; the first word of a row is its image or patient."""
    in_expected, in_found = set(expected), set(found)
    missing = [row for row in expected if row not in in_found]
    unknown = [row for row in found if row not in in_expected]
    parts = []
    if missing:
        parts.append(f"{len(missing)} rows are missing ({few([' '.join(row) for row in missing])})")
    if unknown:
        parts.append(f"{len(unknown)} rows are {extra} ({few([' '.join(row) for row in unknown])})")
    if parts:
        hint = near_misses((row[0] for row in unknown), {row[0]: None for row in missing})
        raise CompetitionError(" and ".join(parts) + hint, where)
