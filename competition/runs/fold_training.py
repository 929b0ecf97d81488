"""Training one fold of a run and predicting what it holds out."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from competition.console import say
from competition.data.boxes import describe_boxes
from competition.data.folds import Fold
from competition.files import file_lock, remove_folder, write_text
from competition.prediction.probability_maps import INDEX
from competition.runs.finished import write_finished
from competition.runs.held_out_predictions import store_held_out
from competition.runs.pseudo_labels import label_test_samples
from competition.runs.roi_run import find_boxes
from competition.runs.run import Run, first_stage, fold_identity
from competition.training.checkpoints import kept_epochs, load_trained, open_predictor
from competition.training.loop import train_fold
from competition.training.ranks import ALONE, Ranks
from competition.training.state import FoldJob
from competition.workspace import (
    checkpoint_file,
    finished_file,
    history_file,
    out_of_fold_folder,
    pseudo_labels_folder,
    settings_file,
)


def train_one(run: Run, fold: Fold, force: bool, tracker: str | None = None, ranks: Ranks = ALONE) -> None:
    """Train a fold and predict what it holds out, unless that was done before and ``force`` is not set.

    The curves also go to a ``tracker`` of ``tracking.TRACKERS``. All ``ranks`` call this at once.
    """
    if ranks.of_first(run.is_finished(fold)) and not force:
        say(f"fold {fold}: finished before (--force trains it again)")
        return
    folder = run.folder(fold)
    busy = f"fold {fold} is being trained by another process; wait for it, or give another --name"
    with file_lock(folder / ".lock", busy) if ranks.first else nullcontext():
        if force and ranks.first:
            _remove_trained(folder)
        ranks.wait()
        job = replace(fold_job(run, fold, folder, ranks), tracker=tracker)
        if ranks.first:
            write_text(settings_file(folder), run.experiment.to_yaml())
        train_fold(job)
        if job.held_out:
            for epoch in (None, *kept_epochs(run.experiment.train)):
                _predict_held_out(run, job, epoch)
        if ranks.first:
            write_finished(folder, job.identity, run.experiment.data.shuffle_labels)
        ranks.wait()


def fold_job(run: Run, fold: Fold, folder: Path, ranks: Ranks = ALONE) -> FoldJob:
    """Return what trains a fold in a folder, after a teacher has labelled the test samples and boxes are found."""
    training = run.folds.training(run.learned(), fold)
    identity, teacher = fold_identity(run, fold)
    pseudo = None
    if teacher is not None:
        pseudo = pseudo_labels_folder(folder)
        labelled = label_test_samples(teacher, run.track, run.workspace, pseudo, ranks)
        say(f"fold {fold}: learns from {len(labelled)} test samples too, labelled by fold {fold} of {teacher.run}")
        training = training + labelled
    held_out, boxes = run.held_out(fold), None
    if (stage := first_stage(run)) is not None:
        boxes = find_boxes(stage, stage.folder_of, run.manifest.of("train"))
        say(f"fold {fold}: {describe_boxes(boxes)}")
    return FoldJob(
        run.experiment, run.track, run.workspace, folder, identity, training, held_out, pseudo, boxes, ranks=ranks
    )


def _remove_trained(folder: Path) -> None:
    # The mark of a finished fold goes first: an interrupted removal must not leave one without its predictions.
    for path in (finished_file(folder), *folder.glob("*.pt"), history_file(folder)):
        path.unlink(missing_ok=True)
    for path in (*folder.glob("oof[@-]*"), pseudo_labels_folder(folder)):
        remove_folder(path, INDEX)


def _predict_held_out(run: Run, job: FoldJob, epoch: int | None) -> None:
    """Store the predictions of held-out samples by the last weights, or by those kept after an epoch."""
    trained = load_trained(checkpoint_file(job.folder, epoch))
    predictor = open_predictor([trained], run.track, run.workspace, job.boxes)
    title = f"fold {trained.identity.fold}: held out" + ("" if epoch is None else f" after epoch {epoch}")
    store_held_out(predictor, trained, job.held_out, out_of_fold_folder(job.folder, epoch), title, job.ranks)
