"""Imported folds: out-of-fold predictions count only where their folds hold out the same groups as ours.

Where a model of theirs holds out other groups than our fold does, it has learned from some that we hold out, and
weights tuned on its predictions promise too much.
"""

from collections.abc import Mapping, Sequence
from io import StringIO
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


def read_imported_folds(path: Path, training: Sequence[Entry]) -> dict[str, str]:
    """Return group -> name of the fold that holds it out, in the order of a CSV of group,fold or of image,fold.

    Folds may be called anything; lines that start with # are comments.

    Raises:
        CompetitionError: It is missing or malformed, names an unknown image, or a group is in two folds.
    """
    check_file(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            text = "".join(line for line in file if not line.startswith("#"))
        frame = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False)
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
    for group, fold in zip(groups, frame["fold"].str.strip(), strict=True):
        if fold_of.setdefault(group, fold) != fold:
            what = (
                f"group {group!r} is in their folds {fold_of[group]!r} and {fold!r}, so their out-of-fold "
                "predictions have seen the group they are of"
            )
            raise CompetitionError(what, path, BY_WEIGHT)
    return fold_of


def _groups_of(names: Sequence[str], training: Sequence[Entry], path: Path) -> list[str]:
    known = entries_by_name(training)
    if unknown := [name for name in names if name not in known]:
        hint = NearKeys(entry.name for entry in training).hint(unknown[0])
        many = f" ({len(unknown)} of {len(names)} are not)" if len(unknown) > 1 else ""
        raise CompetitionError(f"{unknown[0]!r} is not a training image{many}{hint}", path)
    return [known[name].group for name in names]


def match_folds(theirs: Mapping[str, str], path: Path, ours: Folds, training: Sequence[Entry]) -> list[int]:
    """Check that their folds hold out the same groups as ours, whatever the folds are called.

    Returns:
        Our folds that are among theirs, ascending: they may have trained some of the folds only.

    Raises:
        CompetitionError: A group is unknown, in another fold than ours (the first of their file is named), or in none
            of their folds, so that they may have learned from it.
    """
    if unknown := [group for group in theirs if group not in ours.fold_of]:
        hint = NearKeys(ours.fold_of).hint(unknown[0])
        many = f" ({len(unknown)} of {len(theirs)} are)" if len(unknown) > 1 else ""
        reason = f"group {unknown[0]!r} of their folds is unknown in {ours.path}{many}{hint}"
        raise CompetitionError(reason, path, "Use the group names of our fold file")
    names = list(dict.fromkeys(theirs.values()))
    shared = np.zeros((len(names), ours.count), dtype=np.int64)
    for group, name in theirs.items():
        shared[names.index(name), ours.fold_of[group]] += 1
    # Each of their folds is matched with that of ours with which it has most groups in common.
    rows, columns = linear_sum_assignment(shared, maximize=True)
    matches = {names[row]: int(column) for row, column in zip(rows, columns, strict=True) if shared[row, column]}
    apart = [group for group, name in theirs.items() if matches.get(name) != ours.fold_of[group]]
    if apart:
        group, match = apart[0], matches.get(theirs[apart[0]])
        with_whom = "holds out part of a fold of ours" if match is None else f"is our fold {match}"
        what = (
            f"{group!r} is in different folds ({len(apart)} of {len(theirs)} groups are): in our fold "
            f"{ours.fold_of[group]} and in their fold {theirs[group]!r}, which {with_whom}, so their out-of-fold "
            "predictions have seen our held-out groups"
        )
        raise CompetitionError(what, path, BY_WEIGHT)
    matched = sorted(matches.values())
    for entry in training:
        fold = ours.fold_of[entry.group]
        if fold in matched and entry.group not in theirs:
            what = (
                f"{entry.group!r} is in our fold {fold} and in none of their folds, so their out-of-fold predictions "
                "may have seen our held-out groups"
            )
            raise CompetitionError(what, path, BY_WEIGHT)
    return matched
