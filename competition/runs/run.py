"""A run: one experiment on one data set, and the checks that keep its folds together."""

from collections.abc import Sequence
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
from competition.training.checkpoints import Identity, check_identity, code_hash, load_checkpoint, stored_identity
from competition.training.losses import check_loss
from competition.training.warm_start import start_hash
from competition.workspace import Workspace, checkpoint_file, finished_file, last_checkpoint_file, settings_file


@dataclass(frozen=True)
class Run:
    """One experiment on one data set; ``track`` is narrowed to the classes that the experiment predicts."""

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
    """Return the identity of a fold's weights, and the teacher that labels test samples for it.

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
    """Return the trained run whose maps give the boxes; None where whole images are seen.

    Raises:
        CompetitionError: It can't be used.
    """
    settings = run.experiment.data.crop_to
    if settings is None:
        return None
    return find_first_stage(run.workspace, run.folds, run.manifest.of("train"), settings)


def check_fold(run: Run, fold: Fold) -> None:
    """Reject to continue a fold of other settings, folds or data.

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


def _changed_settings(run: Run, fold: Fold) -> list[str]:
    """Return how the experiment differs from that of a trained fold; nothing where it was not trained."""
    if not any(path.exists() for path in _checkpoints(run.folder(fold))):
        return []
    try:
        return changed_settings(load_experiment(settings_file(run.folder(fold))), run.experiment)
    except CompetitionError:  # written by a version that had other settings
        return []


def check_folds(run: Run, chosen: Sequence[Fold], force: bool) -> None:
    """Reject to train folds that belong to something else, or that could not vote together with the run's others.

    With ``force`` the chosen folds are trained over.

    Raises:
        CompetitionError: A fold was trained with other settings, folds or data; the message lists what differs.
    """
    for fold in (*range(run.folds.count), FULL):
        if not (force and fold in chosen) and (changed := _changed_settings(run, fold)):
            what = f"fold {fold} of run {run.name!r} was trained with other settings ({'; '.join(changed)})"
            repair = "Give the changed experiment a name of its own (--name NEW), or train all folds over (--force)"
            raise CompetitionError(what, run.folder(fold), repair)
    for fold in (fold for fold in finished_folds(run.workspace, run.name) if fold not in chosen):
        known = read_identity(run.folder(fold), "Train it again with --force")["fold_hash"]
        if known != run.folds.hash():
            what = f"fold {fold} of run {run.name!r} was trained with other folds ({known}, now {run.folds.hash()})"
            repair = "Restore the old fold file, give this run another name (--name NEW), or delete that folder"
            raise CompetitionError(what, run.folder(fold), repair)
    for fold in [] if force else chosen:
        check_fold(run, fold)


def open_run(name: str, track: Track, workspace: Workspace, experiment: Experiment) -> Run:
    """Open a run and check all that can be checked before anything is trained.

    Raises:
        CompetitionError: The name is invalid or an imported member's, a setting is unknown, the data is not prepared,
            or its folds leak.
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
    check_loss(experiment.train, track)
    if experiment.data.shuffle_labels and track.task == "segmentation":
        raise CompetitionError(f"data.shuffle_labels shuffles class labels, and track {track.name} has masks instead")
    manifest = read_manifest(workspace, track)
    folds = find_folds(workspace)
    if folds is None:
        raise CompetitionError("no fold file", workspace.fold_file(), f"Run {prepare_command(workspace, track)}")
    check_leaks(folds, manifest.of("train"))
    return Run(name, narrow(track, experiment.data.classes), workspace, experiment, manifest, folds)


def parse_folds(text: str, count: int) -> list[Fold]:
    """Read "all", "3", "0,2", "0..4", "full" or "0..4,full"; "all" is the ``count`` folds, without "full".

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
