"""Folds that others made: their out-of-fold predictions are worth something here only if the same people lie together.

Their model of a fold has learned from everybody else. Where it holds out other people than our fold does, its
out-of-fold predictions have seen people whom we hold out, and weights tuned on them promise too much.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from competition.data.folds import Folds
from competition.data.manifest import Entry, entries_by_name
from competition.errors import CompetitionError
from competition.files import check_file
from competition.formats.csv_files import other_encoding
from competition.text import NearKeys, same_spelling

BY_WEIGHT = "Ask for predictions on our folds, or import without --oof and give the weight: tune --weights"


def read_foreign_folds(path: Path, training: Sequence[Entry]) -> dict[str, str]:
    """Read a fold file whatever its folds are called.

    Args:
        path: CSV of group,fold or of image,fold; lines that start with # are comments.
        training: The prepared training samples, which tell whose an image is.

    Returns:
        Group -> name of the fold that holds it out, in the order of the file.

    Raises:
        CompetitionError: It is missing or malformed, names an unknown image, or a group stands in two folds.
    """
    check_file(path)
    try:
        frame = pd.read_csv(path, comment="#", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError as error:
        raise CompetitionError(f"can't read the fold file ({error.strerror or error})", path) from error
    except UnicodeDecodeError as error:
        raise other_encoding(path, error.object) from error
    except ValueError as error:
        raise CompetitionError(f"not a fold file ({' '.join(str(error).split())})", path) from error
    # pandas takes the first cell of longer rows for an index, and fills up shorter ones.
    whole = not frame.empty and isinstance(frame.index, pd.RangeIndex)
    whole = whole and list(frame.columns) in (["group", "fold"], ["image", "fold"])
    if not whole or frame["fold"].fillna("").str.strip().eq("").any():
        raise CompetitionError("a fold file has the columns group,fold or image,fold, and a fold in each row", path)
    named = [same_spelling(name) for name in frame.iloc[:, 0]]
    groups = named if frame.columns[0] == "group" else _groups_of(named, training, path)
    fold_of: dict[str, str] = {}
    for group, fold in zip(groups, (name.strip() for name in frame["fold"]), strict=True):
        if fold_of.setdefault(group, fold) != fold:
            raise CompetitionError(
                f"group {group!r} lies in their folds {fold_of[group]!r} and {fold!r}, so their out-of-fold "
                "predictions have seen the person they are of",
                path,
                BY_WEIGHT,
            )
    return fold_of


def match_folds(theirs: Mapping[str, str], path: Path, ours: Folds, training: Sequence[Entry]) -> list[int]:
    """Make sure that their folds hold out the same people as ours, whatever the folds are called.

    Args:
        theirs: Of ``read_foreign_folds``.
        path: Their file, for messages.
        ours: The current fold file.
        training: The prepared training samples.

    Returns:
        Our folds that are among theirs, ascending: they may have trained some of the folds only.

    Raises:
        CompetitionError: A group is unknown, or lies in another fold than the people it lies with in ours; the first
            such group of their file is named.
    """
    strangers = [group for group in theirs if group not in ours.fold_of]
    if strangers:
        hint = NearKeys(ours.fold_of).hint(strangers[0])
        many = f" ({len(strangers)} of {len(theirs)} are)" if len(strangers) > 1 else ""
        reason = f"group {strangers[0]!r} of their folds is unknown in {ours.path}{many}"
        raise CompetitionError(reason + hint, path, "Write the groups as ours are called")
    names = list(dict.fromkeys(theirs.values()))
    people = np.zeros((len(names), ours.count), dtype=np.int64)
    for group, name in theirs.items():
        people[names.index(name), ours.fold_of[group]] += 1
    # Each of their folds stands for that of ours with which it has most people in common.
    rows, columns = linear_sum_assignment(people, maximize=True)
    stands_for = {names[row]: int(column) for row, column in zip(rows, columns, strict=True) if people[row, column]}
    apart = [group for group, name in theirs.items() if stands_for.get(name) != ours.fold_of[group]]
    if apart:
        group, held_out = apart[0], ours.fold_of[apart[0]]
        like = stands_for.get(theirs[group])
        with_whom = "holds out part of a fold of ours" if like is None else f"is our fold {like}"
        raise CompetitionError(
            f"{group!r} lies in different folds ({len(apart)} of {len(theirs)} groups do): in our fold {held_out} and "
            f"in their fold {theirs[group]!r}, which {with_whom}, so their out-of-fold predictions have seen our "
            "held-out people",
            path,
            BY_WEIGHT,
        )
    matched = sorted(stands_for.values())
    _check_whole(theirs, path, ours, training, matched)
    return matched


def _check_whole(
    theirs: Mapping[str, str], path: Path, ours: Folds, training: Sequence[Entry], matched: Sequence[int]
) -> None:
    """Reject folds that lack somebody: whoever they do not hold out, they may have learned from."""
    for entry in training:
        fold = ours.fold_of[entry.group]
        if fold in matched and entry.group not in theirs:
            raise CompetitionError(
                f"{entry.group!r} lies in our fold {fold} and in none of their folds, so their out-of-fold predictions "
                "may have seen our held-out people",
                path,
                BY_WEIGHT,
            )


def _groups_of(names: Sequence[str], training: Sequence[Entry], path: Path) -> list[str]:
    known = entries_by_name(training)
    if strangers := [name for name in names if name not in known]:
        hint = NearKeys(entry.name for entry in training).hint(strangers[0])
        many = f" ({len(strangers)} of {len(names)} are none)" if len(strangers) > 1 else ""
        raise CompetitionError(f"{strangers[0]!r} is no training image{many}{hint}", path)
    return [known[name].group for name in names]
