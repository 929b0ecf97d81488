"""A member's predictions of a test set: the mean of its folds and views, kept so that re-weighting runs no network."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.console import say
from competition.data.boxes import Box
from competition.data.folds import Fold, find_folds
from competition.data.manifest import Entry, read_manifest
from competition.errors import CompetitionError
from competition.files import copy_file
from competition.prediction.probability_maps import INDEX, index_file, map_file, read_index, read_scores, remake
from competition.prediction.store import store_predictions
from competition.runs.imports.member import imported_test_maps
from competition.runs.members import Member, split_member
from competition.runs.roi_run import check_stage, find_boxes, find_first_stage
from competition.text import counted
from competition.tracks.track import Track, narrow
from competition.training.checkpoints import TrainedWeights, load_trained, open_predictor, weights_hash
from competition.workspace import Workspace, checkpoint_file

PICTURES = "pictures"
"""Key of an index: sample -> checksum of its pictures."""


def predict_test_set(
    track: Track, workspace: Workspace, runs: Workspace, member: Member, entries: Sequence[Entry]
) -> Path:
    """Return the folder of a member's test maps (scores for classification), predicted now, before, or imported.

    Predictions are made image by image, so that memory does not grow with their number; an image that has a map is not
    predicted again, so an interrupted run continues. The member's folds vote equally.

    Args:
        track: What is competed in.
        workspace: Where the prepared test images are.
        runs: Where the member's folds are and its maps are kept.
        member: Who predicts.
        entries: The test samples.

    Raises:
        CompetitionError: A fold is missing or belongs to something else, or the run that gives its boxes was trained
            again.
    """
    if runs.imported_file(split_member(member.name)[0]).exists():
        return imported_test_maps(runs, member, entries)
    whole_track, track = track, narrow(track, member.classes)
    checkpoints = [load_fold(runs, track, member, fold) for fold in member.folds]
    folder, made_by = _place(runs, member, checkpoints, entries)
    if index_file(folder).exists():
        say(f"{member.name}: using cached test predictions of folds {', '.join(map(str, member.folds))}")
        return folder
    scores = _reuse(track, folder, made_by, entries)
    boxes = find_test_boxes(whole_track, workspace, runs, member, checkpoints, entries)
    predictor = open_predictor(checkpoints, track, workspace, boxes)
    store_predictions(predictor, entries, folder, made_by, f"{member.name}: test samples", known=scores)
    return folder


def has_test_maps(track: Track, runs: Workspace, member: Member, entries: Sequence[Entry]) -> bool:
    """Return whether ``predict_test_set`` needs no network, because all was predicted before or imported."""
    if runs.imported_file(split_member(member.name)[0]).exists():
        return True
    checkpoints = [load_fold(runs, narrow(track, member.classes), member, fold) for fold in member.folds]
    return index_file(_place(runs, member, checkpoints, entries)[0]).exists()


def _place(
    runs: Workspace, member: Member, checkpoints: Sequence[TrainedWeights], entries: Sequence[Entry]
) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a member's test maps, and what they depend on, of which its name is made."""
    made_by: dict[str, Any] = {
        "folds": list(member.folds),
        "config_hash": member.config_hash,
        "fold_hash": member.fold_hash,
        "weights": weights_hash(*checkpoints),
        "stage_hash": checkpoints[0].identity.stage_hash,
        PICTURES: {entry.sample: entry.pixels for entry in entries},
    }
    if member.views is not None:
        made_by["views"] = list(member.views)
    digest = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:10]
    return runs.test_maps_folder(split_member(member.name)[0], digest), made_by


def _reuse(
    track: Track, folder: Path, made_by: Mapping[str, Any], entries: Sequence[Entry]
) -> dict[str, NDArray[np.float64]]:
    """Take over what the same networks said of the same pictures in other test sets, so that none is asked twice.

    Maps are put into ``folder``; the scores of a classification are returned, sample -> (C,).

    Raises:
        CompetitionError: An earlier prediction is damaged.
    """
    scores: dict[str, NDArray[np.float64]] = {}
    found = set[str]()
    for index in sorted(folder.parent.glob(f"*/{INDEX}")):
        earlier = read_index(index.parent, remake(index.parent)).made_by
        pictures = earlier.get(PICTURES)
        if not isinstance(pictures, dict) or earlier | {PICTURES: made_by[PICTURES]} != dict(made_by):
            continue  # of other networks, or of a version that kept one checksum of all pictures
        same = [entry.sample for entry in entries if pictures.get(entry.sample) == entry.pixels]
        if track.task == "classification":
            scores |= dict(zip(same, read_scores(index.parent, same, track.classes), strict=True))
        else:
            same = [sample for sample in same if map_file(index.parent, sample).exists()]
            for sample in same:
                copy_file(map_file(index.parent, sample), map_file(folder, sample))
        found.update(same)
    if found:
        say(f"{len(found)} of {counted(len(entries), 'test sample')} were predicted before, with the same pictures")
    return scores


def load_fold(runs: Workspace, track: Track, member: Member, fold: Fold) -> TrainedWeights:
    """Return the weights of a member's fold, of a track that was narrowed to the member's classes.

    Their experiment has the member's test-time views.

    Raises:
        CompetitionError: They are missing, damaged, or not those that the member was opened with.
    """
    run, epoch = split_member(member.name)
    path = checkpoint_file(runs.fold_folder(run, fold), epoch)
    trained = load_trained(path)
    expected = (runs.dataset, track.classes, member.config_hash, member.fold_hash, fold)
    found = trained.identity
    if (found.dataset, found.classes, found.config_hash, found.fold_hash, found.fold) != expected:
        raise CompetitionError("the checkpoint is not the one that was tuned", path, "Run ./run.sh tune")
    if member.views is None:
        return trained
    predict = trained.experiment.predict.model_copy(update={"views": member.views})
    return replace(trained, experiment=trained.experiment.model_copy(update={"predict": predict}))


def find_test_boxes(
    track: Track,
    workspace: Workspace,
    runs: Workspace,
    member: Member,
    checkpoints: Sequence[TrainedWeights],
    entries: Sequence[Entry],
) -> dict[str, Box] | None:
    """Return the boxes of a member of two stages, from its first stage's test maps; None where it sees all.

    Arguments as in ``predict_test_set``; ``checkpoints`` are those of the member's folds.

    Raises:
        CompetitionError: The first stage can't be used, or was trained again since.
    """
    settings = checkpoints[0].experiment.data.crop_to
    if settings is None:
        return None
    folds = find_folds(runs)
    assert folds is not None  # a run was trained on them
    stage = find_first_stage(runs, folds, read_manifest(runs, track).of("train"), settings)
    check_stage(runs, member.name, settings.run, stage.stage_hash, checkpoints)
    folder = predict_test_set(track, workspace, runs, stage.member, entries)
    return find_boxes(stage, dict.fromkeys((entry.sample for entry in entries), folder), entries)
