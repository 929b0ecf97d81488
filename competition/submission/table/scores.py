"""Score a table against a truth in the same form."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from competition.errors import CompetitionError
from competition.metrics.tables import score_aneurysm
from competition.submission.form import Score
from competition.submission.known_images import same_rows
from competition.submission.table.files import ID_COLUMN, read_table_csv, without_zeros
from competition.text import few


def score_table(submission: Path, truth: pd.DataFrame, classes: Sequence[str]) -> Score:
    """Return the AUROC of the first column and the accuracy over the others, as the aneurysm organiser scores.

    The organiser joins by position; this joins by id, which is the same for a valid submission. Ids that differ only in
    leading zeros ("0047", "47") are one patient, because spreadsheets and pandas drop them.

    Args:
        submission: CSV of Index and the classes.
        truth: 0/1 columns of the classes, indexed by id, in any order.
        classes: The probability's column, then those of the decisions.

    Raises:
        CompetitionError: An id is missing on either side, a value is NaN or the truth is not 0 or 1, or the truth has
            no positive or no negative at all.
    """
    predicted = _by_number(read_table_csv(submission, ID_COLUMN, classes), submission)
    truth = _by_number(truth, "the truth")
    same_rows([(name,) for name in truth.index], [(name,) for name in predicted.index], submission, "not in the truth")
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
            f"the truth has only one kind of {classes[0]}, so there is no AUROC (zeros in test.csv are placeholders)"
        )
    result = score_aneurysm(answers.astype(np.int64), outputs)
    per_class = {
        name: None if math.isnan(value) else float(value)
        for name, value in zip(classes, (result.auroc, *result.location_aurocs), strict=True)
    }
    beside = {name: getattr(result, name) for name in ("accuracy", "all_zero_accuracy", "cells_gained")}
    ranked = {
        str(name): (int(answer), float(prob))
        for name, answer, prob in zip(truth.index, answers[:, 0], outputs[:, 0], strict=True)
    }
    note = (
        f"accuracy of the locations {result.accuracy:.6f}, all zero would give {result.all_zero_accuracy:.6f}: "
        f"{result.cells_gained:+.0f} cells gained"
    )
    return Score("auroc", float(result.auroc), per_class, len(truth), beside, ranked=ranked, note=note)


def _by_number(frame: pd.DataFrame, where: Path | str) -> pd.DataFrame:
    """Return the same rows, ids without leading zeros."""
    plain = [without_zeros(str(name)) for name in frame.index]
    twice = sorted(name for name, count in Counter(plain).items() if count > 1)
    if twice:
        raise CompetitionError(f"{ID_COLUMN} {few(twice)} appears twice, once with leading zeros", where)
    return frame.set_axis(plain, axis="index")
