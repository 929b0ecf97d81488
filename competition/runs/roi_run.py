"""The first of two stages: the maps of another run give the boxes that a run with ``data.crop_to`` looks at.

A training image's box comes from the fold that held the image out, and a test image's from the mean of all folds, so
that boxes are equally good or bad in training and at inference. The boxes of training images of other folds come from
models that have seen the held-out fold; of its labels they carry no more than the place of a box.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from competition.console import shout
from competition.console import track as shown
from competition.data.boxes import Box, box_around
from competition.data.folds import Folds
from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.masks.stored_arrays import open_array
from competition.prediction.probability_maps import HALF_LEVEL, map_file
from competition.runs.members import Member, is_imported, open_member, out_of_fold_folders
from competition.settings import CropSettings
from competition.text import nearest_hint, size_text
from competition.training.checkpoints import TrainedWeights, load_trained, weights_hash
from competition.workspace import Workspace, checkpoint_file

SHOWN = 5
"""Images named where the first stage found nothing; the others are counted."""


@dataclass(frozen=True)
class FirstStage:
    """A trained run with all its folds; its out-of-fold maps (sample -> folder) give the boxes."""

    member: Member
    folder_of: Mapping[str, Path]
    settings: CropSettings
    stage_hash: str


def find_first_stage(
    workspace: Workspace, folds: Folds, training: Sequence[Entry], settings: CropSettings
) -> FirstStage:
    """Open the run whose maps give the boxes.

    Raises:
        CompetitionError: The run has no trained fold or was imported, belongs to other data or folds, lacks one of the
            classes, or has not predicted all training samples.
    """
    member = open_member(workspace, folds, training, settings.run, None)
    if is_imported(workspace, member.name):
        what = f"data.crop_to: run {settings.run!r} was imported and has no weights to predict new images"
        raise CompetitionError(what, workspace.run_folder(settings.run), "Name a trained run")
    known = member.classes or ()
    if unknown := [name for name in settings.classes if name not in known]:
        hint = nearest_hint(unknown[0], known)
        raise CompetitionError(f"data.crop_to: run {settings.run!r} does not predict {unknown[0]!r}{hint}")
    folder_of = out_of_fold_folders(workspace, member)
    if missing := [entry.sample for entry in training if entry.sample not in folder_of]:
        what = (
            f"run {settings.run!r} must give the boxes and has not predicted {len(missing)} of {len(training)} "
            f"training samples (first: {missing[0]})"
        )
        raise CompetitionError(what, workspace.run_folder(settings.run), "Train its other folds first")
    return FirstStage(member, folder_of, settings, weights_of_stage(workspace, member))


def weights_of_stage(workspace: Workspace, member: Member) -> str:
    """Return ten characters that differ when any weight of the first stage's folds differs."""
    digest = hashlib.sha256()
    for fold in member.folds:
        path = checkpoint_file(workspace.fold_folder(member.name, fold))
        digest.update(f"{fold} {weights_hash(load_trained(path))}\n".encode())
    return digest.hexdigest()[:10]


def check_stage(
    workspace: Workspace, member: str, stage: str, stage_hash: str, checkpoints: Sequence[TrainedWeights]
) -> None:
    """Reject folds of a member that were trained with other weights of the run that gives their boxes.

    Raises:
        CompetitionError: The run was trained again since.
    """
    if any(trained.identity.stage_hash != stage_hash for trained in checkpoints):
        what = f"run {stage!r}, which gives the boxes of {member!r}, was trained again since"
        raise CompetitionError(what, workspace.run_folder(stage), f"Train {member!r} again with --force, then run tune")


def find_boxes(stage: FirstStage, folder_of: Mapping[str, Path], entries: Sequence[Entry]) -> dict[str, Box]:
    """Return sample -> box around the classes that the first stage finds; with a warning the whole image where none is.

    ``folder_of`` is sample -> folder that holds the first stage's map of it.

    Raises:
        CompetitionError: A map is missing, damaged or of another size than the image.
    """
    rows = [(stage.member.classes or ()).index(name) for name in stage.settings.classes]
    boxes, unseen = {}, []
    for entry in shown(entries, f"boxes by {stage.settings.run}"):
        stored = open_array(map_file(folder_of[entry.sample], entry.sample))
        if stored.shape[1:] != (entry.height, entry.width):
            found = f"{size_text(stored.shape[1:])}, not {entry.height}x{entry.width} (rows x columns)"
            raise CompetitionError(f"map of {entry.sample} is {found}", folder_of[entry.sample], "Train it again")
        seen = np.zeros((entry.height, entry.width), dtype=np.bool_)
        for row in rows:  # only these classes are unpacked
            seen |= np.asarray(stored[row]) > HALF_LEVEL
        box = box_around(seen, stage.settings.margin)
        if box is None:
            unseen.append(entry.sample)
        boxes[entry.sample] = box or Box(0, 0, entry.height, entry.width)
    if unseen:
        others = f" and {len(unseen) - SHOWN} more" if len(unseen) > SHOWN else ""
        wanted = ", ".join(stage.settings.classes)
        shout(f"{stage.settings.run} finds no {wanted} in {', '.join(unseen[:SHOWN])}{others}: whole images are used")
    return boxes
