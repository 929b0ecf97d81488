"""Training one fold of a run: what it belongs to, what it learns from, and what it says about what it held out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.config import Experiment, TrainSettings, changed_settings, load_experiment
from competition.console import progress, say
from competition.data.boxes import describe_boxes
from competition.data.cache import read_label_planes
from competition.data.folds import FULL, Fold, Folds
from competition.data.manifest import Entry, Manifest, data_hash
from competition.ensembling.first_stage import FirstStage, find_boxes, find_first_stage
from competition.ensembling.histograms import dice_curves, image_histogram, load_histograms, save_histograms
from competition.ensembling.leak_alarm import learned_entries
from competition.ensembling.members import finished_folds
from competition.errors import CompetitionError
from competition.metrics import auroc, measured_mean
from competition.prediction.predictor import make_predictor, predict_map, predict_scores
from competition.prediction.probability_maps import (
    CUT_OF_HALF,
    MapFolder,
    read_scores,
    write_index,
    write_map,
    write_scores,
)
from competition.tracks.track import Track
from competition.training.checkpoints import (
    Identity,
    check_identity,
    code_hash,
    folder_lock,
    load_best,
    load_checkpoint,
    load_network,
    stored_identity,
)
from competition.training.loop import train_fold
from competition.training.precision import AUTOCAST
from competition.training.pseudo_labels import Teacher, find_teacher, label_test_samples
from competition.training.state import FoldJob, start_hash
from competition.workspace import (
    Workspace,
    checkpoint_file,
    out_of_fold_folder,
    pseudo_labels_folder,
    read_json_object,
    remove_folder,
    whole_folder,
    write_sealed_json,
    write_text,
)

FINISHED = "finished.json"
CONFIG = "config.yaml"


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
        """Where a fold is trained."""
        return self.workspace.fold_folder(self.name, fold)

    def is_finished(self, fold: Fold) -> bool:
        """Whether a fold is trained and has predicted what it held out."""
        return (self.folder(fold) / FINISHED).exists()

    def held_out(self, fold: Fold) -> list[Entry]:
        """What a fold is scored on."""
        return self.folds.held_out(self.learned(), fold)

    def learned(self) -> list[Entry]:
        """All training samples, with the targets that are learned."""
        return learned_entries(self.manifest.of("train"), self.experiment)


def fold_identity(run: Run, fold: Fold) -> tuple[Identity, Teacher | None]:
    """What the weights of a fold belong to, and who labels test samples for it.

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
    """The trained run that tells where to look; None where whole images are seen.

    Raises:
        CompetitionError: It can't be used.
    """
    settings = run.experiment.data.crop_to
    if settings is None:
        return None
    return find_first_stage(run.workspace, run.folds, run.manifest.of("train"), settings)


def check_fold(run: Run, fold: Fold) -> None:
    """Refuses to go on where other settings, folds or data were trained.

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
    return checkpoint_file(folder), folder / "last.pt"


def check_settings(run: Run, retrained: Collection[Fold]) -> None:
    """Refuses to add to a run what would not vote with its other folds.

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
    """Refuses to add folds to a run whose other folds held out other people.

    Args:
        run: With the folds as they are now.
        chosen: Folds that are trained or trained over; ``check_fold`` checks each of them.

    Raises:
        CompetitionError: The fold file has changed since another fold was trained.
    """
    others = [fold for fold in finished_folds(run.workspace, run.name) if fold not in chosen]
    for fold in others:
        finished = run.folder(fold) / FINISHED
        identity = read_json_object(finished, ("identity",), "Train it again with --force")["identity"]
        known = identity.get("fold_hash") if isinstance(identity, dict) else None
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
        return changed_settings(load_experiment(run.folder(fold) / CONFIG), run.experiment)
    except CompetitionError:  # written by a version that had other settings
        return []


def train_one(run: Run, fold: Fold, force: bool) -> None:
    """Trains a fold and predicts what it held out, unless that was done before.

    Args:
        run: Of which a fold is trained.
        fold: Which.
        force: Train it again.
    """
    if run.is_finished(fold) and not force:
        say(f"fold {fold}: finished before (--force trains it again)")
        return
    folder = run.folder(fold)
    with folder_lock(folder, f"fold {fold} is being trained by another process; wait for it, or give another --name"):
        if force:
            _remove_trained(folder)
        job = fold_job(run, fold, folder)
        write_text(folder / CONFIG, run.experiment.to_yaml())
        train_fold(job)
        if job.held_out:
            for epoch in (None, *kept_epochs(run.experiment.train)):
                _predict_held_out(run, job, epoch)
        write_sealed_json(folder / FINISHED, {"identity": vars(job.identity) | {"classes": list(job.identity.classes)}})


def kept_epochs(settings: TrainSettings) -> list[int]:
    """The epochs whose weights are kept beside the best."""
    if settings.keep_every is None:
        return []
    return list(range(settings.keep_every, settings.epochs + 1, settings.keep_every))


def fold_job(run: Run, fold: Fold, folder: Path) -> FoldJob:
    """What trains a fold in a folder; a teacher labels the test samples first, a first stage tells where to look."""
    training = run.folds.training(run.learned(), fold)
    identity, teacher = fold_identity(run, fold)
    pseudo = None
    if teacher is not None:
        pseudo = pseudo_labels_folder(folder)
        labelled = label_test_samples(teacher, run.track, run.workspace, pseudo)
        say(f"fold {fold}: learns from {len(labelled)} test samples too, labelled by fold {fold} of {teacher.run}")
        training = training + labelled
    held_out, boxes = run.held_out(fold), None
    if (stage := first_stage(run)) is not None:
        boxes = find_boxes(stage, stage.member.folder_of, run.manifest.of("train"))
        say(f"fold {fold}: {describe_boxes(boxes)}")
    return FoldJob(run.experiment, run.track, run.workspace, folder, identity, training, held_out, pseudo, boxes)


def _remove_trained(folder: Path) -> None:
    # The mark of a finished fold goes first: a removal that is cut must not leave one without its predictions.
    for path in (folder / FINISHED, *folder.glob("*.pt"), folder / "history.csv"):
        path.unlink(missing_ok=True)
    for path in (*folder.glob("oof@*"), pseudo_labels_folder(folder)):
        remove_folder(path, "index.json")


def _predict_held_out(run: Run, job: FoldJob, epoch: int | None) -> None:
    """Writes what the best weights, or those kept after an epoch, say about the samples they never saw."""
    track, folder, held_out = run.track, job.folder, job.held_out
    best = load_best(checkpoint_file(folder, epoch))
    network = load_network(best, track)
    predictor = make_predictor([network], run.experiment, track, run.workspace, AUTOCAST[best.precision], job.boxes)
    views = run.experiment.predict.views
    samples = [entry.sample for entry in held_out]
    made_by = {"config_hash": best.identity.config_hash, "fold_hash": best.identity.fold_hash, "epoch": best.epoch}
    which = "" if epoch is None else f" after epoch {epoch}"
    with (
        whole_folder(out_of_fold_folder(folder, epoch), "index.json") as part,
        progress(f"fold {best.identity.fold}: held out{which}", len(held_out)) as ticker,
    ):
        if track.task == "classification":
            scores = []
            for entry in held_out:
                scores.append(predict_scores(predictor, entry, views))
                ticker.advance(entry.sample)
            write_scores(part, samples, track.classes, np.stack(scores))
        else:
            histograms = []
            for entry in held_out:
                values = predict_map(predictor, entry, views)
                write_map(part, entry.sample, values)
                histograms.append(image_histogram(values, read_label_planes(run.workspace, track, entry.sample)))
                ticker.advance(entry.sample)
            save_histograms(part / "histograms.npz", samples, np.stack(histograms))
        write_index(part, MapFolder(track.classes, tuple(samples), made_by))


def out_of_fold_score(run: Run, fold: Fold) -> float:
    """The score of a fold's stored out-of-fold predictions at threshold 0.5; NaN where nothing was held out."""
    return stored_score(run.track, out_of_fold_folder(run.folder(fold)), run.held_out(fold))


def stored_score(track: Track, folder: Path, held_out: Sequence[Entry]) -> float:
    """The score of out-of-fold predictions at threshold 0.5.

    Args:
        track: Its classes are those of the predictions.
        folder: Where they are stored.
        held_out: The samples they are of.

    Returns:
        Mean Dice over the classes that occur in the truth, or AUROC of the first class; NaN where there are no samples,
        where no class occurs, or where all or none are of the first class.
    """
    if not held_out:
        return float("nan")
    samples = [entry.sample for entry in held_out]
    if track.task == "classification":
        return auroc(*ranked(track, folder, held_out))
    stored = load_histograms(folder / "histograms.npz")
    histograms = np.stack([stored[sample] for sample in samples])
    return measured_mean(dice_curves(histograms)[:, :, CUT_OF_HALF], histograms[:, :, 1].sum(axis=2) > 0)


def unmeasured_classes(run: Run, fold: Fold) -> list[str]:
    """Returns the classes of a segmentation without a pixel in the truth of what a fold held out."""
    samples = [entry.sample for entry in run.held_out(fold)]
    if run.track.task == "classification" or not samples:
        return []
    stored = load_histograms(out_of_fold_folder(run.folder(fold)) / "histograms.npz")
    seen = np.any([stored[sample][:, 1].any(axis=1) for sample in samples], axis=0)
    return [name for name, occurs in zip(run.track.classes, seen, strict=True) if not occurs]


def ranked(track: Track, folder: Path, held_out: Sequence[Entry]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The first class of what a fold held out, as it was learned, and what the fold says about it, (n,) each."""
    scores = read_scores(folder, [entry.sample for entry in held_out], track.classes)
    return np.array([entry.targets[0] for entry in held_out], dtype=np.int64), scores[:, 0]
