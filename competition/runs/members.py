"""Members: trained or imported runs whose out-of-fold predictions are weighted against each other."""

import shlex
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from competition.data.folds import FULL, Fold, Folds
from competition.data.manifest import Entry, data_hash
from competition.errors import CompetitionError
from competition.names import check_run_name, run_fault
from competition.plugins import load_plugins
from competition.prediction.probability_maps import read_index
from competition.runs.finished import learned_shuffled_labels, read_identity
from competition.settings import load_experiment
from competition.text import nearest_hint, shown
from competition.workspace import Workspace, checkpoint_file, finished_file, out_of_fold_folder


class Member(BaseModel):
    """A run that votes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str  # of the run, or RUN@EPOCH for the weights it kept after an epoch
    # Its folds that vote, equally. ``FULL`` learned from all training samples: it has no out-of-fold prediction and
    # votes on test samples only.
    folds: tuple[Fold, ...] = Field(min_length=1)
    config_hash: str  # of the experiment all of them were trained with, or of the files they were imported from
    fold_hash: str  # of the fold file they were trained on
    classes: tuple[str, ...] | None = None  # those of its maps, in their order; None is all of the track in its order
    # Test-time views; None is those of the experiment, and export --fast may leave some of them out.
    views: Annotated[tuple[str, ...], Field(min_length=1)] | None = None

    @field_validator("name")
    @classmethod
    def _is_a_member(cls, name: str) -> str:
        run, at, epoch = name.partition("@")
        if fault := run_fault(run):
            raise ValueError(f"is not the name of a run, because it {fault}")
        if at and not _is_number(epoch):
            raise ValueError("is not the name of a member, because its epoch is not a number")
        return name

    def with_folds(self) -> str:
        """Return the member as --members takes it: "quick:0,1"."""
        return f"{self.name}:{','.join(map(str, self.folds))}"


def is_imported(workspace: Workspace, name: str) -> bool:
    """Return whether a member was imported as predictions, without weights."""
    return workspace.imported_file(split_member(name)[0]).exists()


def load_run_plugins(workspace: Workspace) -> None:
    """Import the plugins of all runs, whose post-processings and metrics a decision may name.

    Raises:
        CompetitionError: A plugin can't be imported.
    """
    for run in workspace.finished_runs():
        for path in workspace.settings_files(run):
            with path.open(encoding="utf-8", errors="replace") as file:
                first_line = file.readline()  # the settings of a fold begin with their plugins
            if first_line.startswith("plugins:") and first_line.strip() != "plugins: []":
                load_plugins(load_experiment(path).plugins)


def held_out_folder(workspace: Workspace, member: Member, fold: Fold) -> Path:
    """Return where a member's predictions of the samples that one of its folds held out are."""
    run, epoch = split_member(member.name)
    return out_of_fold_folder(workspace.fold_folder(run, fold), epoch, member.views)


def out_of_fold_folders(workspace: Workspace, member: Member) -> dict[str, Path]:
    """Return the folder that holds each sample's out-of-fold prediction of a member.

    Raises:
        CompetitionError: An index of predictions is missing or damaged.
    """
    folder_of: dict[str, Path] = {}
    for fold in member.folds:
        if fold != FULL:
            folder = held_out_folder(workspace, member, fold)
            index = read_index(folder, f"Train fold {fold} again with --force")
            folder_of |= dict.fromkeys(index.samples, folder)
    return folder_of


def parse_members(text: str) -> dict[str, tuple[Fold, ...] | None]:
    """Read "quick@10,strong:0,1,full": names, each with its folds (None means all that are trained, without full).

    Raises:
        CompetitionError: A name is empty, given twice, an epoch is no number, or a fold neither a number nor "full".
    """
    members: dict[str, tuple[Fold, ...] | None] = {}
    name = ""
    for part in text.split(","):
        if name and (folds := members[name]) and _is_fold(part):
            members[name] = (*folds, _as_fold(part))
            continue
        name, colon, fold = part.partition(":")
        run, at, epoch = name.partition("@")
        if not run or name in members or (at and not _is_number(epoch)) or (colon and not _is_fold(fold)):
            raise CompetitionError(
                f"--members takes NAME[@EPOCH][:FOLD,FOLD...],NAME2..., each name once, not {shown(text)}"
            )
        check_run_name(run)
        members[name] = (_as_fold(fold),) if colon else None
    return members


def _is_fold(text: str) -> bool:
    return text == FULL or _is_number(text)


def _is_number(text: str) -> bool:
    """Return whether a text is a number of a fold or an epoch: a few digits (not "²", which is a digit in Unicode)."""
    return len(text) <= 6 and text.isascii() and text.isdigit()


def _as_fold(text: str) -> Fold:
    return FULL if text == FULL else int(text)


def split_member(name: str) -> tuple[str, int | None]:
    """Return the run of a member and the epoch its weights were kept after: "quick@10" is ("quick", 10).

    The epoch of a member that votes with the last weights of its run is None.
    """
    run, at, epoch = name.partition("@")
    return run, int(epoch) if at else None


def trained_runs(workspace: Workspace) -> list[str]:
    """Return the runs, imported ones too, that have a finished fold and are no leak alarm, by name."""
    runs = []
    for run in workspace.finished_runs():
        folders = [workspace.fold_folder(run, fold) for fold in finished_folds(workspace, run) if fold != FULL]
        if folders and not any(map(learned_shuffled_labels, folders)):
            runs.append(run)
    return runs


def trained_folds(workspace: Workspace) -> dict[str, tuple[int, ...]]:
    """Return the finished folds of each of ``trained_runs``, without the model of all samples."""
    return {
        run: tuple(fold for fold in finished_folds(workspace, run) if fold != FULL) for run in trained_runs(workspace)
    }


def open_member(
    workspace: Workspace, folds: Folds, training: Sequence[Entry], name: str, wanted: Sequence[Fold] | None
) -> Member:
    """Open a trained or imported run.

    ``wanted`` are its folds that are to vote; None means all that are finished, without ``FULL``. An imported run votes
    as a whole.

    Raises:
        CompetitionError: There is no such run, a fold is not trained yet or kept no weights of the epoch, ``FULL`` is
            to vote without folds, or it was trained on another fold file, on other images or labels, or with other
            settings than the member's first fold.
    """
    run, epoch = split_member(name)
    if fault := run_fault(run):  # of a folder that was renamed by hand
        raise CompetitionError(f"run {run!r} can't vote: its name {fault}", workspace.run_folder(run), "Rename it")
    imported = is_imported(workspace, name)
    finished = finished_folds(workspace, run)
    chosen = _whole_import(name, finished, wanted) if imported else _chosen_folds(workspace, run, finished, wanted)
    if set(chosen) == {FULL} and not imported:
        raise _without_folds(workspace, name, finished)
    config_hash, classes = "", ()
    for fold in chosen:
        folder = workspace.fold_folder(run, fold)
        if fold not in finished:
            if fold != FULL and not 0 <= fold < folds.count:
                raise CompetitionError(f"there is no fold {fold}; the folds are 0..{folds.count - 1}", folds.path)
            command = f"Run {workspace.train_command(run, fold)}"
            raise CompetitionError(f"fold {fold} of run {run!r} is not trained yet", folder, command)
        if not imported and not checkpoint_file(folder, epoch).exists():
            if epoch is None:
                command = f"Run {workspace.train_command(run, fold)} --force"
                raise CompetitionError("the weights of this fold are missing", checkpoint_file(folder), command)
            kept = ", ".join(str(int(path.stem[5:])) for path in sorted(folder.glob("epoch*.pt")))
            repair = f"Its kept epochs: {kept}"
            repair = repair if kept else "Train it under another name with --set train.keep_every=N"
            raise CompetitionError(f"run {run!r} kept no weights of epoch {epoch}", folder, repair)
        identity = _checked_identity(folder, run, folds, training, imported)
        if config_hash not in ("", identity["config_hash"]):
            raise CompetitionError(f"folds of run {run!r} differ in settings", folder, "Train them again with --force")
        config_hash, classes = identity["config_hash"], tuple(identity["classes"])
    member = Member(name=name, folds=chosen, config_hash=config_hash, fold_hash=folds.hash(), classes=classes)
    out_of_fold_folders(workspace, member)  # a missing index is reported here, before anything is tuned
    return member


def _chosen_folds(
    workspace: Workspace, run: str, finished: Sequence[Fold], wanted: Sequence[Fold] | None
) -> tuple[Fold, ...]:
    """Return the folds of a trained run that are to vote."""
    check_trained(workspace, run)
    return tuple(wanted if wanted is not None else [fold for fold in finished if fold != FULL] or finished)


def check_trained(workspace: Workspace, name: str) -> None:
    """Reject a member of a run without a trained fold.

    Raises:
        CompetitionError: With the nearest names of runs.
    """
    run, _ = split_member(name)
    if not finished_folds(workspace, run):
        known = trained_runs(workspace)
        what = f"run {run!r} has no trained fold{nearest_hint(run, known)}"
        repair = None if known else f"Run ./run.sh train --name {shlex.quote(run)}"
        raise CompetitionError(what, workspace.run_folder(run), repair)


def _whole_import(name: str, finished: Sequence[Fold], wanted: Sequence[Fold] | None) -> tuple[Fold, ...]:
    """Return all folds of an imported member: there is one prediction of each test sample for all of them."""
    if "@" in name or (wanted is not None and tuple(wanted) != tuple(finished)):
        what = f"member {split_member(name)[0]!r} was imported and votes as a whole"
        raise CompetitionError(what, repair="Name it without @EPOCH and without :FOLDS")
    return tuple(finished)


def _checked_identity(
    folder: Path, run: str, folds: Folds, training: Sequence[Entry], imported: bool
) -> dict[str, Any]:
    """Return the identity of a finished fold; reject one of another fold file or other data than the current."""
    made, make_again = ("imported", "import it") if imported else ("trained", "train it")
    identity = read_identity(folder, f"{make_again.capitalize()} again")
    if identity["fold_hash"] != folds.hash():
        what = f"run {run!r} was {made} on other folds ({identity['fold_hash']}, now {folds.hash()})"
        raise CompetitionError(what, folder, f"Restore that fold file, or {make_again} again with --force")
    _check_data(identity, run, folder, training, imported)
    return identity


def check_same_data(workspace: Workspace, name: str, folds: Sequence[Fold], training: Sequence[Entry]) -> None:
    """Reject a member whose folds learned from other data than is prepared now.

    Raises:
        CompetitionError: A fold is not trained, or an image, label or target has changed since it was.
    """
    run, imported = split_member(name)[0], is_imported(workspace, name)
    for fold in folds:
        folder = workspace.fold_folder(run, fold)
        identity = read_identity(folder, f"Run {workspace.train_command(run, fold)}")
        _check_data(identity, run, folder, training, imported)


def _check_data(identity: dict[str, Any], run: str, folder: Path, training: Sequence[Entry], imported: bool) -> None:
    if identity["data_hash"] != data_hash(training):
        made, make_again = ("imported", "Import it") if imported else ("trained", "Train all of its folds")
        what = f"images or labels have changed since run {run!r} was {made}"
        earlier = "or prepare the earlier data again, with its corrections"
        raise CompetitionError(what, folder, f"{make_again} again with --force, {earlier}")


def finished_folds(workspace: Workspace, run: str) -> list[Fold]:
    """Return the folds of a run that are trained and have predicted what they held out, ``FULL`` last."""
    return workspace.folds_with(finished_file, run)


def _without_folds(workspace: Workspace, name: str, finished: Sequence[Fold]) -> CompetitionError:
    """Return the error for ``FULL`` alone: no sample has an out-of-fold prediction of it, so nothing could be tuned."""
    run, _ = split_member(name)
    held_out = [str(fold) for fold in finished if fold != FULL]
    first = "Use" if held_out else f"Train a fold of it too ({workspace.train_command(run, 0)}), then use"
    members = shlex.quote(f"{name}:{','.join([*(held_out or ['0']), FULL])}")
    return CompetitionError(
        f"{FULL} of run {run!r} learned from every sample, so without folds of its run it has no held-out score to "
        "weight it by",
        workspace.fold_folder(run, FULL),
        f"{first} --members {members}",
    )


def covered(folders: Sequence[Container[str]], samples: Sequence[str]) -> list[str]:
    """Return the samples, in order, that are in every member's ``out_of_fold_folders``."""
    return [sample for sample in samples if all(sample in of_member for of_member in folders)]
