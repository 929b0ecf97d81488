"""A member's predictions of a test set: the mean of its folds and views, kept so that re-weighting runs no network."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from competition.console import progress, say
from competition.data.folds import Fold
from competition.data.manifest import Entry
from competition.ensembling.decision import Member
from competition.ensembling.members import split_member
from competition.errors import CompetitionError
from competition.prediction.predictor import make_predictor, predict_map, predict_scores
from competition.prediction.probability_maps import MapFolder, map_file, write_index, write_map, write_scores
from competition.tracks.narrowing import narrow
from competition.tracks.track import Track
from competition.training.checkpoints import Best, load_best, load_network, weights_hash
from competition.training.precision import AUTOCAST
from competition.workspace import Workspace, checkpoint_file


def predict_test_set(
    track: Track, workspace: Workspace, runs: Workspace, member: Member, entries: Sequence[Entry]
) -> Path:
    """Predicts a test set with one member, or reuses what it predicted before.

    Image by image, so that memory does not grow with the number of images; an image that has a map is not predicted
    again, so a cut run goes on where it was.

    Args:
        track: What is competed in.
        workspace: Where the prepared test images are.
        runs: Where the member's folds are and its maps are kept.
        member: Whose folds vote, equally.
        entries: The test samples.

    Returns:
        The folder of the maps (or of the scores, for classification).

    Raises:
        CompetitionError: A fold is missing or belongs to something else.
    """
    track = narrow(track, member.classes)
    checkpoints = [_load_fold(runs, track, member, fold) for fold in member.folds]
    made_by = _made_by(member, checkpoints, entries)
    digest = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:10]
    folder = runs.test_maps_folder(split_member(member.name)[0], digest)
    if (folder / "index.json").exists():
        say(f"{member.name}: test predictions of folds {_listed(member.folds)} are kept from before")
        return folder
    experiment = checkpoints[0].experiment
    models = [load_network(best, track) for best in checkpoints]
    predictor = make_predictor(models, experiment, track, workspace, AUTOCAST[checkpoints[0].precision])
    samples = [entry.sample for entry in entries]
    with progress(f"{member.name}: test samples", len(entries)) as ticker:
        scores = []
        for entry in entries:
            if track.task == "classification":
                scores.append(predict_scores(predictor, entry, experiment.predict.views))
            elif not map_file(folder, entry.sample).exists():
                write_map(folder, entry.sample, predict_map(predictor, entry, experiment.predict.views))
            ticker.advance(entry.sample)
    if scores:
        write_scores(folder, samples, track.classes, np.stack(scores))
    write_index(folder, MapFolder(track.classes, tuple(samples), made_by))
    return folder


def _load_fold(runs: Workspace, track: Track, member: Member, fold: Fold) -> Best:
    run, epoch = split_member(member.name)
    path = checkpoint_file(runs.fold_folder(run, fold), epoch)
    best = load_best(path)
    expected = (runs.dataset, track.classes, member.config_hash, member.fold_hash, fold)
    found = best.identity
    if (found.dataset, found.classes, found.config_hash, found.fold_hash, found.fold) != expected:
        raise CompetitionError("the checkpoint is not the one that was tuned", path, "Run tune again")
    return best


def _made_by(member: Member, checkpoints: Sequence[Best], entries: Sequence[Entry]) -> dict[str, Any]:
    pictures = hashlib.sha256("".join(entry.sample + entry.pixels for entry in entries).encode()).hexdigest()
    return {
        "folds": list(member.folds),
        "config_hash": member.config_hash,
        "fold_hash": member.fold_hash,
        "weights": weights_hash(*checkpoints),
        "pictures": pictures[:16],
    }


def _listed(folds: Sequence[Fold]) -> str:
    return ", ".join(map(str, folds))
