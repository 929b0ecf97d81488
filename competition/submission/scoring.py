"""The competition's own metric of a submission file against a truth, without making a pixel.

Dice needs three integers per (image, class): two areas and an intersection. All three follow from run lengths.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from competition.errors import CompetitionError
from competition.masks.run_length_text import parse_image
from competition.masks.run_lengths import overlaps
from competition.metrics.aneurysm import score_aneurysm
from competition.metrics.counts import dice
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, RunLengthSubmission
from competition.submission.run_lengths.rows import Key
from competition.submission.submission_files import (
    ID_COLUMN,
    check_classes,
    read_rle_csv,
    read_table_csv,
    without_zeros,
)
from competition.text import few, near_misses


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


def _by_number(frame: pd.DataFrame, where: Path | str) -> pd.DataFrame:
    """The same rows, ids without leading zeros."""
    plain = [without_zeros(str(name)) for name in frame.index]
    twice = sorted(name for name, count in Counter(plain).items() if count > 1)
    if twice:
        raise CompetitionError(f"{ID_COLUMN} {few(twice)} appears twice, once with leading zeros", where)
    return frame.set_axis(plain, axis="index")


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
