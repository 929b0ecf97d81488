"""A run: one experiment on one data set, and the checks that keep its folds together."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from competition.console import say
from competition.data.augmentation import check_augmentation
from competition.data.folds import FULL, Fold, Folds, check_leaks, find_folds, read_fold_names
from competition.data.manifest import Entry, Manifest, data_hash, prepare_command, read_manifest
from competition.errors import CompetitionError
from competition.names import check_run_name
from competition.prediction.tta_views import check_views
from competition.runs.finished import read_identity
from competition.runs.leak_alarm import learned_entries
from competition.runs.members import finished_folds
from competition.runs.pseudo_labels import Teacher, find_teacher
from competition.runs.roi_run import FirstStage, find_first_stage
from competition.settings import Experiment, changed_settings, load_experiment
from competition.tracks.track import Track, narrow
from competition.training.checkpoints import (
    Identity,
    check_identity,
    code_hash,
    load_checkpoint,
    stored_identity,
)
from competition.training.losses import get_loss
from competition.training.state import start_hash
from competition.workspace import (
    Workspace,
    checkpoint_file,
    finished_file,
    last_checkpoint_file,
    settings_file,
)


@dataclass(frozen=True)
class Run:
    """One experiment on one data set, of which folds are trained.

    Attributes:
        name: Of its folder.
        track: What is competed in, narrowed to the classes that the experiment predicts.
        workspace: Of the data set.
        experiment: All settings.
        manifest: The prepared samples.
        folds: The current fold file.
    """

    name: str
    track: Track
    workspace: Workspace
    experiment: Experiment
    manifest: Manifest
    folds: Folds

    def folder(self, fold: Fold) -> Path:
        """Return where a fold is trained."""
        return self.workspace.fold_folder(self.name, fold)

    def is_finished(self, fold: Fold) -> bool:
        """Return whether a fold is trained and has predicted what it held out."""
        return finished_file(self.folder(fold)).exists()

    def held_out(self, fold: Fold) -> list[Entry]:
        """Return what a fold is scored on."""
        return self.folds.held_out(self.learned(), fold)

    def learned(self) -> list[Entry]:
        """Return all training samples, with the targets that are learned."""
        return learned_entries(self.manifest.of("train"), self.experiment)


def fold_identity(run: Run, fold: Fold) -> tuple[Identity, Teacher | None]:
    """Return what the weights of a fold belong to, and who labels test samples for it.

    Raises:
        CompetitionError: The teacher, the first stage or the weights to start from can't be used.
    """
    identity = Identity(
        dataset=run.workspace.dataset,
        classes=run.track.classes,
        config_hash=run.experiment.hash(),
        fold_hash=run.folds.hash(),
        data_hash=data_hash(run.manifest.of("train")),
        fold=fold,
        init_hash=start_hash(run.workspace, run.experiment, fold),
    )
    if (stage := first_stage(run)) is not None:
        identity = replace(identity, stage_hash=stage.stage_hash)
    if run.experiment.data.pseudo is None:
        return identity, None
    teacher = find_teacher(run.workspace, run.experiment.data.pseudo, identity, run.manifest.of("test"))
    return replace(identity, pseudo_hash=teacher.pseudo_hash), teacher


def first_stage(run: Run) -> FirstStage | None:
    """Return the trained run that tells where to look; None where whole images are seen.

    Raises:
        CompetitionError: It can't be used.
    """
    settings = run.experiment.data.crop_to
    if settings is None:
        return None
    return find_first_stage(run.workspace, run.folds, run.manifest.of("train"), settings)


def check_fold(run: Run, fold: Fold) -> None:
    """Reject to go on where other settings, folds or data were trained.

    Raises:
        CompetitionError: With what differs.
    """
    identity, _ = fold_identity(run, fold)
    for path in _checkpoints(run.folder(fold)):
        if path.exists():
            found = load_checkpoint(path)
            check_identity(stored_identity(found, path), identity, path, _changed_settings(run, fold))
            if found.get("code_hash") != code_hash():
                say(f"fold {fold}: the program has changed since {path.name} was made; it is kept as it is")
                break


def _checkpoints(folder: Path) -> tuple[Path, Path]:
    return checkpoint_file(folder), last_checkpoint_file(folder)


def check_settings(run: Run, retrained: Collection[Fold]) -> None:
    """Reject to add to a run what would not vote with its other folds.

    Args:
        run: With the experiment that is to be trained.
        retrained: Folds that are trained over, whose settings of before don't count.

    Raises:
        CompetitionError: Another fold was trained with other settings.
    """
    others = [fold for fold in (*range(run.folds.count), FULL) if fold not in retrained]
    for fold in others:
        if changed := _changed_settings(run, fold):
            raise CompetitionError(
                f"fold {fold} of run {run.name!r} was trained with other settings ({'; '.join(changed)})",
                run.folder(fold),
                "Give the changed experiment a name of its own (--name NEW), or train all folds over (--force)",
            )


def check_same_folds(run: Run, chosen: Collection[Fold]) -> None:
    """Reject to add folds to a run whose other folds held out other people.

    Args:
        run: With the folds as they are now.
        chosen: Folds that are trained or trained over; ``check_fold`` checks each of them.

    Raises:
        CompetitionError: The fold file has changed since another fold was trained.
    """
    others = [fold for fold in finished_folds(run.workspace, run.name) if fold not in chosen]
    for fold in others:
        known = read_identity(run.folder(fold), "Train it again with --force")["fold_hash"]
        if known != run.folds.hash():
            raise CompetitionError(
                f"fold {fold} of run {run.name!r} was trained with other folds ({known}, now {run.folds.hash()})",
                run.folder(fold),
                "Restore the old fold file, give this run another name (--name NEW), or delete that folder",
            )


def _changed_settings(run: Run, fold: Fold) -> list[str]:
    """In what the experiment differs from the one that this fold was trained with; nothing where it was not trained."""
    if not any(path.exists() for path in _checkpoints(run.folder(fold))):
        return []
    try:
        return changed_settings(load_experiment(settings_file(run.folder(fold))), run.experiment)
    except CompetitionError:  # written by a version that had other settings
        return []


def check_folds(run: Run, chosen: Sequence[Fold], force: bool) -> None:
    """Reject to train beside folds, or to go on with folds, that belong to something else.

    Args:
        run: Of which folds are trained.
        chosen: These folds.
        force: Whether they are trained over.

    Raises:
        CompetitionError: With what differs.
    """
    check_settings(run, chosen if force else [])
    check_same_folds(run, chosen)
    for fold in [] if force else chosen:
        check_fold(run, fold)


def open_run(name: str, track: Track, workspace: Workspace, experiment: Experiment) -> Run:
    """Put a run together and check all that can be checked before anything is trained.

    Args:
        name: Of the run.
        track: What is competed in.
        workspace: Of the data set.
        experiment: All settings.

    Raises:
        CompetitionError: The name can't be addressed or is an imported member's, a setting names something unknown, the
            data is not prepared, or its folds leak.
    """
    check_run_name(name)
    if workspace.imported_file(name).exists():
        raise CompetitionError(
            f"the name {name!r} is taken by an imported member", workspace.run_folder(name), "Give another --name"
        )
    if experiment.data.pseudo == name:
        raise CompetitionError(f"run {name!r} can't be its own teacher", None, "Give the student another --name")
    check_augmentation(experiment.data.augmentation, track)
    check_views(experiment.predict.views, track)
    get_loss(experiment.train.loss)
    if experiment.data.shuffle_labels and track.task == "segmentation":
        raise CompetitionError(f"data.shuffle_labels deals out the labels of patients; track {track.name} has masks")
    manifest = read_manifest(workspace, track)
    folds = find_folds(workspace)
    if folds is None:
        raise CompetitionError("no fold file", workspace.fold_file(), f"Run {prepare_command(workspace, track)}")
    check_leaks(folds, manifest.of("train"))
    return Run(name, narrow(track, experiment.data.classes), workspace, experiment, manifest, folds)


def parse_folds(text: str, count: int) -> list[Fold]:
    """Read "all", "3", "0,2", "0..4", "full" or "0..4,full".

    Args:
        text: What the user typed.
        count: Number of folds there are; "all" is these, without "full".

    Raises:
        CompetitionError: It is none of these, or a fold does not exist.
    """
    if text == "all":
        return list(range(count))
    chosen = read_fold_names(text, "--fold")
    for fold in chosen:
        if fold != FULL and not 0 <= fold < count:
            raise CompetitionError(f"there is no fold {fold}; the folds are 0..{count - 1}")
    return chosen
