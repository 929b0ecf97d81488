"""Members: trained runs whose out-of-fold predictions can be weighed against each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from competition.config import nearest_hint
from competition.data.folds import Folds
from competition.data.manifest import Entry, data_hash
from competition.errors import CompetitionError
from competition.prediction.probability_maps import read_index
from competition.workspace import Workspace, read_json


@dataclass(frozen=True)
class TrainedMember:
    """A run that can vote.

    Attributes:
        name: Of the run.
        folds: Its folds that vote.
        config_hash: Of the experiment all of them were trained with.
        folder_of: Sample -> folder that holds its out-of-fold prediction.
    """

    name: str
    folds: tuple[int, ...]
    config_hash: str
    folder_of: dict[str, Path]


def parse_members(text: str) -> dict[str, tuple[int, ...] | None]:
    """Reads "quick,strong:0,1": names, each with its folds (None means all that are trained).

    Raises:
        CompetitionError: A name is empty, given twice, or a fold is no number.
    """
    members: dict[str, tuple[int, ...] | None] = {}
    name = ""
    for part in text.split(","):
        if part.isdigit() and name and members[name]:
            members[name] = (*(members[name] or ()), int(part))
            continue
        name, colon, fold = part.partition(":")
        if not name or name in members or (colon and not fold.isdigit()):
            raise CompetitionError(f"--members takes NAME[:FOLD,FOLD...],NAME2..., each name once, not {text!r}")
        members[name] = (int(fold),) if colon else None
    return members


def trained_runs(workspace: Workspace) -> list[str]:
    """Names of the runs that have a finished fold and are no leak alarm, by name."""
    names = {path.parent.parent.name for path in workspace.run_folder("*").parent.glob("*/fold*/finished.json")}
    return sorted(name for name in names if not _trained_on_shuffled_labels(workspace, name))


def _trained_on_shuffled_labels(workspace: Workspace, name: str) -> bool:
    return any(
        "shuffle_labels: true" in path.read_text() for path in workspace.run_folder(name).glob("fold*/config.yaml")
    )


def open_member(
    workspace: Workspace, folds: Folds, training: Sequence[Entry], name: str, wanted: Sequence[int] | None
) -> TrainedMember:
    """Opens a trained run.

    Args:
        workspace: Where the runs are.
        folds: The fold file in force.
        training: The prepared training samples.
        name: Of the run.
        wanted: Its folds that are to vote; None means all that are finished.

    Raises:
        CompetitionError: There is no such run, a fold is not trained yet, or it was trained on another fold file, on
            other images or labels, or with other settings than the member's first fold.
    """
    finished = sorted(int(path.parent.name[4:]) for path in workspace.run_folder(name).glob("fold*/finished.json"))
    if not finished:
        hint = nearest_hint(name, trained_runs(workspace))
        raise CompetitionError(f"run {name!r} has no trained fold{hint}", workspace.run_folder(name), "Run train first")
    chosen = tuple(finished if wanted is None else wanted)
    config_hash = ""
    folder_of: dict[str, Path] = {}
    for fold in chosen:
        folder = workspace.fold_folder(name, fold)
        if fold not in finished:
            raise CompetitionError(
                f"fold {fold} of run {name!r} is not trained yet", folder, f"Run train --fold {fold}"
            )
        identity = read_json(folder / "finished.json", "Train the fold again")["identity"]
        if identity["fold_hash"] != folds.hash():
            raise CompetitionError(
                f"run {name!r} was trained on other folds ({identity['fold_hash']}, now {folds.hash()})",
                folder,
                "Restore that fold file, or train the run again with --force",
            )
        if identity["data_hash"] != data_hash(training):
            raise CompetitionError(
                f"images or labels have changed since run {name!r} was trained", folder, "Train it again with --force"
            )
        if config_hash not in ("", identity["config_hash"]):
            raise CompetitionError(f"folds of run {name!r} were trained with different settings", folder)
        config_hash = identity["config_hash"]
        index = read_index(folder / "oof", f"Train fold {fold} again with --force")
        folder_of |= dict.fromkeys(index.samples, folder / "oof")
    return TrainedMember(name, chosen, config_hash, folder_of)


def covered(members: Sequence[TrainedMember], samples: Sequence[str]) -> list[str]:
    """The samples, in their order, of which every member has an out-of-fold prediction."""
    return [sample for sample in samples if all(sample in member.folder_of for member in members)]
