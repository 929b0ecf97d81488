"""Tables in memory: scores that can be ranked, and a truth of zeros and ones."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from competition.errors import CompetitionError
from competition.metrics.tables import Targets


def as_scores(scores: ArrayLike, whose: str) -> NDArray[np.float64]:
    """Return scores or decisions as float64, of their own shape; ``whose`` says where they are from.

    Raises:
        CompetitionError: One is not finite; NaN would be ranked above all others.
    """
    found = np.asarray(scores, dtype=np.float64)
    if (bad := np.argwhere(~np.isfinite(found))).size:
        place = bad[0].tolist()
        raise CompetitionError(f"the score at {place} is {found[tuple(place)]}, not a finite number", whose)
    return found


def as_answers(truth: ArrayLike, targets: Targets) -> NDArray[np.int64]:
    """Return a truth (n, C) of 0 and 1 as int64; rows are one-hot where classes exclude each other.

    Raises:
        CompetitionError: A value is another number or none, or a row has several classes, or none, where it needs one.
    """
    given = np.asarray(truth)
    if (bad := np.argwhere(~np.isin(given, (0, 1)))).size:
        place = bad[0].tolist()
        raise CompetitionError(f"the truth at {place} is {given[tuple(place)]}, not 0 or 1")
    answers = given.astype(np.int64)
    counts = answers.sum(axis=1)
    if targets != "multilabel" and (counts != 1).any():
        row = int(np.argmax(counts != 1))
        what = f"row {row} of the truth has {counts[row]} classes, and classes that exclude each other need one"
        raise CompetitionError(what, repair='Correct the row, or give targets="multilabel"')
    return answers
