"""The data of a tuning: the members, and the training samples of which all of them have a prediction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import say
from competition.data.folds import FULL, Fold, Folds, find_folds
from competition.data.manifest import Entry
from competition.ensembling.voting.class_votes import find_voters
from competition.errors import CompetitionError
from competition.runs.leak_alarm import learned_by
from competition.runs.members import (
    Member,
    covered,
    is_imported,
    load_run_plugins,
    open_member,
    out_of_fold_folders,
    trained_runs,
)
from competition.tracks.track import Track
from competition.workspace import Workspace

Wanted = Mapping[str, Sequence[Fold] | None]
"""Members that are asked for, each with its folds; None means all that are trained."""


@dataclass(frozen=True)
class TuningData:
    """Members, with the training samples of which every member has an out-of-fold prediction."""

    track: Track
    workspace: Workspace
    members: Sequence[Member]
    folders: Sequence[Mapping[str, Path]]  # of each member, sample -> folder of its out-of-fold prediction
    training: Sequence[Entry]  # all of them
    entries: Sequence[Entry]  # those that all members cover
    folds: NDArray[np.int64]  # (n,), the fold that held out each of ``entries``

    @property
    def samples(self) -> list[str]:
        """Return the keys of ``entries``."""
        return [entry.sample for entry in self.entries]

    @property
    def groups(self) -> list[str]:
        """Return the groups of ``entries``."""
        return [entry.group for entry in self.entries]


def open_tuning_data(
    track: Track, workspace: Workspace, training: Sequence[Entry], wanted: Wanted | None
) -> TuningData:
    """Open the wanted members, or all trained runs, and find the samples of ``training`` that all of them cover.

    Raises:
        CompetitionError: Nothing is trained, a member can't be opened, or a class has no member.
    """
    load_run_plugins(workspace)
    folds = find_folds(workspace)
    assert folds is not None  # a prepared data set has a fold file
    members = _open_members(workspace, folds, training, wanted)
    find_voters(track.classes, [member.classes for member in members])  # every class needs one
    folders = [out_of_fold_folders(workspace, member) for member in members]
    learned = {entry.sample: entry for entry in learned_by(workspace, members, training)}
    entries = [learned[sample] for sample in covered(folders, list(learned))]
    fold_of = np.array([folds.fold_of[entry.group] for entry in entries], dtype=np.int64)
    return TuningData(track, workspace, members, folders, training, entries, fold_of)


def _open_members(workspace: Workspace, folds: Folds, training: Sequence[Entry], wanted: Wanted | None) -> list[Member]:
    if wanted is None:
        runs = trained_runs(workspace)
        if not runs:
            raise CompetitionError("no run is trained", workspace.run_folder("*").parent, "Run ./run.sh train")
        say(f"members: {', '.join(runs)} (all trained runs; --members chooses)")
        return [open_member(workspace, folds, training, name, None) for name in runs]
    members = [open_member(workspace, folds, training, name, of) for name, of in wanted.items()]
    for member in members:
        if FULL in member.folds and not is_imported(workspace, member.name):
            say(f"{member.name}: {FULL} was trained on every sample, so it votes on test samples but is not tuned")
    return members
