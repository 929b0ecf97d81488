"""Predictions of what a fold held out: after training, and again where a member votes with other test-time views."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from competition.data.cache import read_label_planes
from competition.data.folds import FULL, find_folds
from competition.data.manifest import Entry, read_manifest
from competition.prediction.predictor import Predictor
from competition.prediction.probability_maps import index_file
from competition.prediction.store import store_predictions
from competition.runs.members import Member, held_out_folder
from competition.runs.rank_predictions import store_by_ranks
from competition.runs.roi_run import check_stage, find_boxes, find_first_stage
from competition.runs.test_set_predictions import load_fold
from competition.tracks.track import Track, narrow
from competition.training.checkpoints import TrainedWeights, open_predictor
from competition.training.ranks import ALONE, Ranks
from competition.workspace import Workspace


def store_held_out(
    predictor: Predictor,
    trained: TrainedWeights,
    held_out: Sequence[Entry],
    folder: Path,
    title: str,
    ranks: Ranks = ALONE,
) -> None:
    """Store the predictions of held-out samples, and their histograms against the labels; whole or not at all.

    Args:
        predictor: One network.
        trained: Its checkpoint.
        held_out: The samples.
        folder: Receives the predictions.
        title: Of the progress bar.
        ranks: Each predicts its share.
    """
    track, workspace = predictor.track, predictor.reader.workspace
    made_by = {
        "config_hash": trained.identity.config_hash,
        "fold_hash": trained.identity.fold_hash,
        "epoch": trained.epoch,
    }
    truth = None if track.task == "classification" else partial(read_label_planes, workspace, track)

    def store(entries: Sequence[Entry], part: Path) -> None:
        store_predictions(predictor, entries, part, made_by, title, truth)

    store_by_ranks(ranks, held_out, folder, store)


def predict_held_out(track: Track, workspace: Workspace, member: Member) -> None:
    """Predict what each of a member's folds held out with the member's test-time views, unless that was done before.

    Raises:
        CompetitionError: A fold or the prepared data is missing or belongs to something else.
    """
    folds, training = find_folds(workspace), read_manifest(workspace, track).of("train")
    assert folds is not None  # the member was trained on them
    narrowed = narrow(track, member.classes)
    for fold in member.folds:
        folder = held_out_folder(workspace, member, fold)
        if fold == FULL or index_file(folder).exists():
            continue
        trained = load_fold(workspace, narrowed, member, fold)
        held_out, boxes = folds.held_out(training, fold), None
        if (settings := trained.experiment.data.crop_to) is not None:
            stage = find_first_stage(workspace, folds, training, settings)
            check_stage(workspace, member.name, settings.run, stage.stage_hash, [trained])
            boxes = find_boxes(stage, stage.folder_of, held_out)
        predictor = open_predictor([trained], narrowed, workspace, boxes)
        title = f"{member.name}, fold {fold}, {'+'.join(trained.experiment.predict.views)}: held out"
        store_held_out(predictor, trained, held_out, folder, title)
