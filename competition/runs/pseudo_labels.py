"""Pseudo-labels without a leak: the teacher of fold k labels the test images for the student of fold k alone.

Labels by a model that has learned from fold k would carry its knowledge of fold k into the student that is scored on
it. So student k learns only from the teacher that held out the same groups.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.masks.bit_planes import class_areas, pack_masks
from competition.masks.stored_arrays import read_array, write_array
from competition.prediction.probability_maps import HALF_LEVEL, index_file, read_index, read_scores, remake
from competition.prediction.store import store_predictions
from competition.runs.rank_predictions import store_by_ranks
from competition.text import nearest_hint
from competition.tracks.track import Track
from competition.training.checkpoints import (
    Identity,
    TrainedWeights,
    check_identity,
    load_trained,
    open_predictor,
    weights_hash,
)
from competition.training.ranks import ALONE, Ranks
from competition.workspace import Workspace, checkpoint_file, finished_file, pseudo_label_file


@dataclass(frozen=True)
class Teacher:
    """A trained fold that labels test samples; ``pseudo_hash`` differs when a weight or a test image differs."""

    run: str
    trained: TrainedWeights
    samples: tuple[Entry, ...]
    pseudo_hash: str


def find_teacher(workspace: Workspace, run: str, student: Identity, test: Sequence[Entry]) -> Teacher:
    """Open the fold of another run that held out the same groups.

    Data set, classes, folds, training data and fold must be the student's. Unreadable test samples are not labelled.

    Raises:
        CompetitionError: The fold is not trained, belongs to something else or looks at parts of images, or there is no
            test sample.
    """
    folder = workspace.fold_folder(run, student.fold)
    if not finished_file(folder).exists():
        command = f"Run {workspace.train_command(run, student.fold)}"
        runs = workspace.finished_runs()
        hint = "" if run in runs else nearest_hint(run, runs)
        raise CompetitionError(f"fold {student.fold} of the teacher {run!r} is not trained yet{hint}", folder, command)
    samples = tuple(entry for entry in test if any(entry.present))
    if not samples:
        raise CompetitionError(f"the prepared data of {workspace.dataset} has no test image to label")
    path = checkpoint_file(folder)
    trained = load_trained(path)
    if trained.experiment.data.crop_to is not None:
        what = f"the teacher {run!r} looks at boxes that are known for training images only (data.crop_to)"
        raise CompetitionError(what, path, "Choose a teacher of whole images")
    found = trained.identity
    wanted = replace(student, config_hash=found.config_hash, pseudo_hash=found.pseudo_hash, init_hash=found.init_hash)
    check_identity(found, wanted, path)
    digest = hashlib.sha256(weights_hash(trained).encode())
    for entry in samples:
        digest.update(f"{entry.sample} {entry.pixels}\n".encode())
    return Teacher(run, trained, samples, digest.hexdigest()[:10])


def label_test_samples(
    teacher: Teacher, track: Track, workspace: Workspace, folder: Path, ranks: Ranks = ALONE
) -> list[Entry]:
    """Label the test samples into a folder, or use the labels that are there already.

    Stored are label planes at threshold 0.5, for classification probabilities. Each of the ``ranks`` labels its share.

    Returns:
        The samples with their targets: of segmentation which classes were found, of classification probabilities.
    """
    made_by = {"teacher": teacher.run, "pseudo_hash": teacher.pseudo_hash}
    known = index_file(folder).exists() and read_index(folder, remake(folder)).made_by == made_by
    if not ranks.of_first(known):
        predictor = open_predictor([teacher.trained], track, workspace)
        title = f"fold {teacher.trained.identity.fold}: labels by {teacher.run}"

        def store(entries: Sequence[Entry], part: Path) -> None:
            store_predictions(predictor, entries, part, made_by, title, write=_write_label)

        store_by_ranks(ranks, teacher.samples, folder, store)
    if track.task == "classification":
        probs = read_scores(folder, [entry.sample for entry in teacher.samples], track.classes)
        return [replace(entry, targets=tuple(row)) for entry, row in zip(teacher.samples, probs.tolist(), strict=True)]
    planes = (read_array(pseudo_label_file(folder, entry.sample), remake(folder)) for entry in teacher.samples)
    found = ((class_areas(labels, len(track.classes)) > 0).astype(int).tolist() for labels in planes)
    return [replace(entry, targets=tuple(row)) for entry, row in zip(teacher.samples, found, strict=True)]


def _write_label(folder: Path, sample: str, levels: NDArray[np.uint8]) -> None:
    write_array(pseudo_label_file(folder, sample), pack_masks(levels > HALF_LEVEL))
