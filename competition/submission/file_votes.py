"""Votes of finished submission files, joined by key: all that is needed where only the files are left."""

from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.masks.run_length_votes import Quorum, vote
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, RunLengthSubmission
from competition.submission.run_lengths.rows import Key
from competition.submission.submission_files import ID_COLUMN, check_classes, read_rle_csv, read_table_csv
from competition.text import few, near_misses

Item = TypeVar("Item")


def read_alike(
    paths: Sequence[Path], classes: Sequence[str], form: RunLengthSubmission = IMAGE_CLASS_RLE
) -> list[dict[Key, str]]:
    """Reads run-length submissions that are to be joined.

    Args:
        paths: CSVs in the form, their rows in any order.
        classes: Of the track.
        form: The organiser's.

    Returns:
        One dictionary per file; all have the same keys.

    Raises:
        CompetitionError: A file is no submission of the track, or lacks an image or a class that another one has.
    """
    files = [read_rle_csv(path, classes, form) for path in paths]
    images = dict.fromkeys(name for file in files for name, _ in file)
    if not images:
        raise CompetitionError("there are no rows", paths[0])
    wanted = {(image, name): None for image in images for name in classes}
    for path, file in zip(paths, files, strict=True):
        check_classes((name for _, name in file), classes, path)
        # First, because a mistyped class is missing too.
        unknown = [" ".join(key) for key in file if key not in wanted]
        if unknown:
            raise CompetitionError(f"{len(unknown)} rows are of an unknown class ({few(unknown)})", path)
        if missing := [key for key in wanted if key not in file]:
            names = few([" ".join(key) for key in missing])
            hint = near_misses((name for name, _ in file), {name: None for name, _ in missing})
            held_by = _held_by(missing, paths, files)
            raise CompetitionError(f"{len(missing)} rows are missing{held_by} ({names}){hint}", path)
    return files


def _held_by(missing: Collection[Item], paths: Sequence[Path], files: Sequence[Container[Item]]) -> str:
    """Which file has what another one lacks, for it may be the one that is wrong: ", which B.csv has", or ""."""
    holder = next((path for path, file in zip(paths, files, strict=True) if any(key in file for key in missing)), None)
    return "" if holder is None else f", which {holder} has"


def read_tables_alike(paths: Sequence[Path], classes: Sequence[str]) -> list[pd.DataFrame]:
    """Reads table submissions that are to be joined.

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
            held_by = _held_by(missing, paths, [set(map(str, other.index)) for other in tables])
            hint = near_misses(here, missing)
            raise CompetitionError(f"{len(missing)} patients are missing{held_by} ({few(missing)}){hint}", path)
        if not table[classes[0]].between(0, 1).all():  # NaN is not between them
            raise CompetitionError(
                f"a value of {classes[0]} is no probability from 0 to 1", path, f"See ./run.sh check {path}"
            )
        if not np.isin(table[list(classes[1:])], (0, 1)).all():
            raise CompetitionError("a location is neither 0 nor 1", path, f"See ./run.sh check {path}")
    return [table.loc[tables[0].index, list(classes)] for table in tables]


def vote_on_masks(
    paths: Sequence[Path],
    files: Sequence[Mapping[Key, str]],
    classes: Sequence[str],
    election: Quorum,
    sizes: Mapping[str, tuple[int, int]],
) -> Iterator[tuple[str, str, str]]:
    """Votes image by image.

    Args:
        paths: Names of the files, for messages.
        files: Of ``read_alike``.
        classes: Of the track.
        election: Weights and threshold.
        sizes: Image name -> rows and columns, where known: a run beyond the last pixel is then refused.

    Yields:
        Rows of a submission, in the image order of the first file.

    Raises:
        CompetitionError: Malformed run lengths.
    """
    for image in dict.fromkeys(name for name, _ in files[0]):
        height, width = sizes.get(image, (0, 0))
        rles = [[file[image, name] for name in classes] for file in files]
        places = [f"{path}, {image}" for path in paths]
        for name, rle in zip(classes, vote(rles, election, height * width or None, places), strict=True):
            yield image, name, rle


def vote_on_tables(
    paths: Sequence[Path], classes: Sequence[str], weights: Sequence[Fraction], election: Quorum
) -> tuple[list[str], NDArray[np.float64]]:
    """Votes on patients: the weighted mean of the probability, an election on each 0/1 column.

    Args:
        paths: CSVs of Index and the classes, their rows in any order.
        classes: The probability's column, then those of the decisions.
        weights: One per file.
        election: The same weights, with the threshold of the decisions.

    Returns:
        The patients in the order of the first file, and their values (n, C).

    Raises:
        CompetitionError: As ``read_tables_alike``.
    """
    tables = read_tables_alike(paths, classes)
    patients = [str(name) for name in tables[0].index]
    values = np.stack([table.to_numpy(np.float64) for table in tables])
    shares = np.array([float(weight / sum(weights)) for weight in weights])
    sums = np.tensordot(np.array(election.weights), values[:, :, 1:].astype(np.int64), axes=1)
    probability = np.clip(np.tensordot(shares, values[:, :, 0], axes=1), 0, 1)  # shares sum to 1 within rounding
    return patients, np.column_stack([probability, sums > election.more_than])
