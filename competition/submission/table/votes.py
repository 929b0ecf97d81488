"""Vote on tables, joined by patient."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.masks.run_length_votes import Quorum
from competition.submission.joining import held_by
from competition.submission.table.files import ID_COLUMN, read_table_csv
from competition.text import few, near_misses


def read_tables_alike(paths: Sequence[Path], classes: Sequence[str]) -> list[pd.DataFrame]:
    """Read table submissions that are to be joined.

    Args:
        paths: CSVs of Index and the classes, their rows in any order.
        classes: The probability's column, then those of the decisions.

    Returns:
        One table per file; all have the same patients, in the order of the first.

    Raises:
        CompetitionError: A file is no submission, lacks a patient that another one has, or holds a value that is no
            probability or no decision.
    """
    tables = [read_table_csv(path, ID_COLUMN, classes) for path in paths]
    every = {str(name) for table in tables for name in table.index}
    if not every:
        raise CompetitionError("there are no rows", paths[0])
    for path, table in zip(paths, tables, strict=True):
        here = {str(name): None for name in table.index}
        if missing := sorted(every - here.keys()):
            holder = held_by(missing, paths, [set(map(str, other.index)) for other in tables])
            hint = near_misses(here, missing)
            raise CompetitionError(f"{len(missing)} patients are missing{holder} ({few(missing)}){hint}", path)
        if not table[classes[0]].between(0, 1).all():  # NaN is not between them
            raise CompetitionError(
                f"a value of {classes[0]} is no probability from 0 to 1", path, f"See ./run.sh check {path}"
            )
        if not np.isin(table[list(classes[1:])], (0, 1)).all():
            raise CompetitionError("a location is neither 0 nor 1", path, f"See ./run.sh check {path}")
    return [table.loc[tables[0].index, list(classes)] for table in tables]


def vote_on_tables(
    paths: Sequence[Path], classes: Sequence[str], election: Quorum
) -> tuple[list[str], NDArray[np.float64]]:
    """Vote on patients: the weighted mean of the probability, an election on each 0/1 column.

    Args:
        paths: CSVs of Index and the classes, their rows in any order.
        classes: The probability's column, then those of the decisions.
        election: Weights, one per file, and the threshold of the decisions.

    Returns:
        The patients in the order of the first file, and their values (n, C).

    Raises:
        CompetitionError: As ``read_tables_alike``.
    """
    tables = read_tables_alike(paths, classes)
    patients = [str(name) for name in tables[0].index]
    values = np.stack([table.to_numpy(np.float64) for table in tables])
    shares = np.array([weight / sum(election.weights) for weight in election.weights])
    sums = np.tensordot(np.array(election.weights), values[:, :, 1:].astype(np.int64), axes=1)
    probability = np.clip(np.tensordot(shares, values[:, :, 0], axes=1), 0, 1)  # shares sum to 1 within rounding
    return patients, np.column_stack([probability, sums > election.more_than])
