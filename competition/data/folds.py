"""Folds: which group is held out by which model. The fold file is the truth; it is never silently rewritten.

A data set's own fold file takes precedence over the shipped one, and prepare makes an own one where a training group is
not in the shipped one. The shipped one is never written to.

scikit-learn's GroupKFold gives other folds in other versions (an unstable sort until 1.5), so a checkpoint called
"fold 0" means nothing without the file that lists its groups.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd

from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.files import check_file, write_text
from competition.text import same_spelling, shortened, shown
from competition.workspace import Workspace

FOLDS = 5
MOST_FOLDS = 9999
"""A larger number after --fold is a typing error, and 0..999999999 would take gigabytes."""
STRATIFIED = "StratifiedGroupKFold"
"""Written in a fold file that was balanced."""

Fold = int | Literal["full"]
"""Which groups a model held out: those of a numbered fold, or none."""
FULL: Final = "full"
"""The fold of a model that learned from all training samples: it has no out-of-fold score."""


@dataclass(frozen=True)
class Folds:
    """Group -> fold."""

    fold_of: dict[str, int]  # the fold that holds each group out
    path: Path  # the file it was read from
    how: str = ""  # how it was made: the remark in its first line

    @property
    def count(self) -> int:
        """Return the number of folds."""
        return max(self.fold_of.values()) + 1

    def hash(self) -> str:
        """Return ten characters that change when a group is in another fold; row order and comments do not matter."""
        text = "\n".join(f"{group},{fold}" for group, fold in sorted(self.fold_of.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def without_fold(self, entries: Sequence[Entry]) -> list[str]:
        """Return the groups of the entries that are in no fold, sorted."""
        return sorted({entry.group for entry in entries} - set(self.fold_of))

    def held_out(self, entries: Sequence[Entry], fold: Fold) -> list[Entry]:
        """Return the entries whose group fold ``fold`` holds out; none for ``FULL``."""
        return [entry for entry in entries if self.fold_of[entry.group] == fold]

    def training(self, entries: Sequence[Entry], fold: Fold) -> list[Entry]:
        """Return the entries fold ``fold`` trains on; all for ``FULL``."""
        return [entry for entry in entries if self.fold_of[entry.group] != fold]


def read_fold_names(text: str, option: str) -> list[Fold]:
    """Return the folds of "3", "0,2", "0..4", "full" or "0..4,full"; ``option`` is named in messages.

    Raises:
        CompetitionError: It is none of these, or names no fold.
    """
    try:
        chosen = [fold for part in text.split(",") for fold in _folds_of_part(part)]
    except ValueError as error:
        others = f"all, or {FULL}" if option == "--fold" else FULL
        raise CompetitionError(f"{option} takes 0, or 0..4, or 0,2,3, or {others}, not {shown(text)}") from error
    if not chosen:
        raise CompetitionError(f"{option} {text} names no fold")
    return list(dict.fromkeys(chosen))


def _folds_of_part(text: str) -> Sequence[Fold]:
    if text == FULL:
        return [FULL]
    first, dots, last = text.partition("..")
    numbers = (int(first), int(last if dots else first))
    if max(map(abs, numbers)) > MOST_FOLDS:
        raise ValueError(f"{max(numbers)} is no fold")
    return range(numbers[0], numbers[1] + 1)


def make_folds(
    entries: Sequence[Entry], count: int = FOLDS, stratified: bool = False, kinds: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Split groups into folds of about equal numbers of samples.

    Args:
        entries: The training samples.
        count: Number of folds.
        stratified: Balance ``stratum`` too (StratifiedGroupKFold); where none is known, the set of classes present.
        kinds: Group -> what is balanced besides, such as a person's sex.

    Returns:
        Group -> fold.

    Raises:
        CompetitionError: There are fewer groups than folds, or fewer than two folds.
    """
    # Here, because scikit-learn takes a second to import, and only prepare makes folds.
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    check_count({entry.group for entry in entries}, count)
    # Sorted, so that the order in which the disk lists files never moves a group.
    ordered = sorted(entries, key=lambda entry: (entry.group, entry.sample))
    groups = [entry.group for entry in ordered]
    if stratified:
        kinds = kinds or {}
        strata = [(entry.stratum or "".join(map(str, entry.targets))) + kinds.get(entry.group, "") for entry in ordered]
        # Classes rarer than the folds can't be balanced and only draw warnings; they are pooled.
        frequent = Counter(strata)
        labels = np.unique([s if frequent[s] >= count else "rare" for s in strata], return_inverse=True)[1]
        splits = StratifiedGroupKFold(count, shuffle=True, random_state=0).split(groups, labels, groups)
    else:
        splits = GroupKFold(count).split(groups, groups=groups)
    return {groups[index]: fold for fold, (_, held_out) in enumerate(splits) for index in held_out}


def check_count(groups: Collection[str], count: int) -> None:
    """Reject fewer than two folds, or more than there are groups."""
    if count < 2:
        raise CompetitionError(f"--folds {count}: at least 2 folds are required")
    if len(groups) == 1:
        what = f"all training samples are of one group ({next(iter(groups))}), and a fold holds out whole groups"
        repair = "Add samples of another group, or, in a folder track, write group: '(.+)' in the YAML: every image is"
        effect = "images of one person are on both sides of a fold, so all scores are too high"
        raise CompetitionError(what, None, f"{repair} then a group of its own, but {effect}")
    if len(groups) < count:
        fewer = f"Give --folds {len(groups)}" + " or fewer" * (len(groups) > 2)
        repair = f"{fewer}, if each of these groups is one person: {shortened(', '.join(sorted(groups)), 200)}"
        repair = repair if groups else "Fix the training samples, so that some are left"
        raise CompetitionError(f"{len(groups)} groups can't be split into {count} folds", None, repair)


def extend_folds(fold_of: dict[str, int], entries: Sequence[Entry]) -> dict[str, int]:
    """Give each new group the fold with the fewest samples; groups that have a fold keep it.

    Returns:
        Folds of all groups of ``entries``, and of those in ``fold_of`` that have no sample now.
    """
    sizes = Counter(dict.fromkeys(range(max(fold_of.values()) + 1), 0))
    sizes.update(fold_of[entry.group] for entry in entries if entry.group in fold_of)
    extended = dict(fold_of)
    for group, samples in sorted(Counter(e.group for e in entries if e.group not in fold_of).items()):
        fold = min(sizes, key=lambda candidate: (sizes[candidate], candidate))
        extended[group] = fold
        sizes[fold] += samples
    return extended


def write_folds(path: Path, fold_of: dict[str, int], how: str) -> None:
    """Write a fold file: a comment on how it was made, then group,fold sorted by group."""
    lines = [f"# {how}", "group,fold", *(f"{_cell(group)},{fold}" for group, fold in sorted(fold_of.items()))]
    write_text(path, "\n".join(lines) + "\n")


def _cell(group: str) -> str:
    """Quote a name that CSV would split: at a comma, or at the sign that starts a comment."""
    return '"' + group.replace('"', '""') + '"' if set(group) & set('",#\n') else group


def read_folds(path: Path) -> Folds:
    """Read a fold file.

    Raises:
        CompetitionError: It is missing or malformed, a group is in two folds, or a fold has no group.
    """
    check_file(path)
    try:
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        frame = pd.read_csv(path, comment="#", dtype={"group": str}, keep_default_na=False)
    except FileNotFoundError as error:
        raise CompetitionError("no fold file", path, "Run ./run.sh prepare") from error
    except (OSError, ValueError) as error:
        raise CompetitionError(f"not a fold file ({error})", path) from error
    whole = list(frame.columns) == ["group", "fold"] and pd.api.types.is_integer_dtype(frame["fold"])
    # pandas takes the first cell of longer rows for an index.
    if not whole or frame.empty or not isinstance(frame.index, pd.RangeIndex):
        raise CompetitionError("a fold file has the columns group,fold and whole numbers for folds", path)
    twice = frame.loc[frame["group"].duplicated(), "group"]
    if len(twice):
        what = f"group {twice.iloc[0]!r} is listed twice, so it could leak from one fold to another"
        raise CompetitionError(what, path)
    numbers = sorted(frame["fold"].unique())
    if numbers != list(range(len(numbers))):
        raise CompetitionError(f"folds must be numbered 0, 1, 2 ... without a gap, not {numbers}", path)
    fold_of = dict(zip(map(same_spelling, frame["group"]), frame["fold"].astype(int), strict=True))
    return Folds(fold_of, path, first.lstrip("# ") if first.startswith("#") else "")


def find_folds(workspace: Workspace) -> Folds | None:
    """Return the folds to use: the data set's own (of the workspace, else of the repository), else the shipped ones.

    None where there is neither. Synthetic data uses the workspace alone: a file in the repository is of other data.
    """
    others = [] if workspace.phantom else [workspace.committed_fold_file(), workspace.shipped_fold_file()]
    for path in (workspace.fold_file(), *others):
        if path is not None and path.exists():
            return read_folds(path)
    return None


def check_leaks(folds: Folds, entries: Sequence[Entry]) -> None:
    """Prove that nothing of a held-out training sample is seen in training.

    Raises:
        CompetitionError: A group has no fold, or the same pixels appear in groups of different folds.
    """
    if missing := [entry.group for entry in entries if entry.group not in folds.fold_of]:
        raise CompetitionError(f"group {missing[0]!r} has no fold", folds.path, "Run ./run.sh prepare")
    first: dict[str, Entry] = {}
    pictures = [(entry, pixels) for entry in entries for pixels in entry.view_pixels if pixels]
    for entry, pixels in pictures:
        other = first.setdefault(pixels, entry)
        if folds.fold_of[other.group] != folds.fold_of[entry.group]:
            both = f"{other.name} of group {other.group} and {entry.name} of group {entry.group} are the same picture"
            where = f"folds {folds.fold_of[other.group]} and {folds.fold_of[entry.group]}"
            repair = "Remove one of them, or put both groups into one fold"
            raise CompetitionError(f"{both} in {where}", folds.path, repair)


def fold_table(folds: Folds, entries: Sequence[Entry], classes: Sequence[str]) -> list[list[str]]:
    """Return rows for the console: fold, samples, groups, and the smallest number of positives of any class."""
    rows = []
    for fold in range(folds.count):
        held_out = folds.held_out(entries, fold)
        positives = np.array([entry.targets for entry in held_out], dtype=np.int64).sum(axis=0)
        known = positives.size if held_out else 0  # the fold's groups may all be missing from this data
        rarest = int(positives.argmin()) if known else 0
        fewest = f"{positives[rarest]} {classes[rarest]}" if known else "-"
        rows.append([str(fold), str(len(held_out)), str(len({entry.group for entry in held_out})), fewest])
    return rows
