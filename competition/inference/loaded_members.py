"""The members of a decision with all their networks in memory, which predict one image after the other.

They need their runs only: no prepared data, and no cached test predictions. An image in work lies in a cache of its
own, as prepare would have made it, so that everything after reading is what ``ensemble`` does.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from competition.data.boxes import Box
from competition.data.folds import FULL
from competition.data.manifest import Entry
from competition.ensembling.decision import Decision
from competition.errors import CompetitionError
from competition.inference.first_stage import LoadedStage
from competition.inference.voting import LoadedVote, voting_members
from competition.prediction.grid_maps import GridMap
from competition.prediction.native_size import to_native
from competition.prediction.predictor import Predictor, predict_model_scores, predict_on_grid
from competition.runs.finished import read_identity
from competition.runs.members import Member, finished_folds, is_imported
from competition.runs.roi_run import check_stage, weights_of_stage
from competition.runs.test_set_predictions import load_fold
from competition.settings import CropSettings
from competition.tracks.track import Track, narrow
from competition.training.checkpoints import TrainedWeights, open_predictor
from competition.workspace import Workspace


@dataclass(frozen=True)
class LoadedMember:
    """All folds of a member.

    Attributes:
        member: As the decision names it.
        predictor: Their networks. It reads the boxes of images from ``boxes`` where there is a first stage.
        stage: Gives the boxes of a member of two stages; None where it looks at whole images.
        boxes: Sample -> the part it looks at, of the image in work.
    """

    member: Member
    predictor: Predictor
    stage: LoadedStage | None = None
    boxes: dict[str, Box] = field(default_factory=dict)

    @property
    def networks(self) -> int:
        """How many networks predict."""
        return len(self.predictor.models)

    def predict_maps(self, entry: Entry) -> tuple[GridMap, list[GridMap]]:
        """Return the member's map of an image in the cache, and each fold's own."""
        if self.stage is not None:
            self.boxes.clear()
            self.boxes[entry.sample] = self.stage.find_box(entry)
        try:
            mean, own = predict_on_grid(self.predictor, entry, self.predictor.experiment.predict.views)
        except RuntimeError as error:  # of a GPU a torch.OutOfMemoryError, of the CPU a plain one
            if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                raise MemoryError(*error.args) from error
            raise
        box, size_hw = self.predictor.reader.box(entry), (entry.height, entry.width)
        return GridMap(mean, box, size_hw, to_native), [GridMap(probs, box, size_hw, to_native) for probs in own]

    def predict_scores(self, entry: Entry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the member's probabilities (C,) of a patient in the cache, and each fold's own (F, C)."""
        return predict_model_scores(self.predictor, entry, self.predictor.experiment.predict.views)


def load_vote(track: Track, runs: Workspace, images: Workspace, decision: Decision) -> LoadedVote:
    """Load the members that have a weight; arguments and errors as of ``load_member``."""
    pairs = zip(decision.members, voting_members(decision), strict=True)
    return LoadedVote(decision, tuple(load_member(track, runs, images, one) if votes else None for one, votes in pairs))


def load_member(track: Track, runs: Workspace, images: Workspace, member: Member) -> LoadedMember:
    """Load all folds of a member.

    Args:
        track: What is competed in, with all its classes.
        runs: Where the runs are.
        images: The workspace in whose cache images are predicted.
        member: Of a decision.

    Raises:
        CompetitionError: It was imported without weights, a fold is missing or not the one that was tuned, or the run
            that gives its boxes was trained again.
    """
    if is_imported(runs, member.name):
        raise CompetitionError(
            f"member {member.name!r} was imported and has no weights to predict new images",
            runs.run_folder(member.name),
            "Tune without it (--members, --name) and give that decision with --decision",
        )
    narrowed = narrow(track, member.classes)
    checkpoints = [load_fold(runs, narrowed, member, fold) for fold in member.folds]
    settings = checkpoints[0].experiment.data.crop_to
    if settings is None:
        return LoadedMember(member, open_predictor(checkpoints, narrowed, images))
    boxes: dict[str, Box] = {}
    stage = _load_stage(track, runs, images, settings, member, checkpoints)
    return LoadedMember(member, open_predictor(checkpoints, narrowed, images, boxes), stage, boxes)


def _load_stage(
    track: Track,
    runs: Workspace,
    images: Workspace,
    settings: CropSettings,
    member: Member,
    checkpoints: list[TrainedWeights],
) -> LoadedStage:
    """Load the run that gives the boxes, whose weights must be those that the member was trained with."""
    folder, repair = runs.run_folder(settings.run), f"Train {settings.run!r} first"
    finished = finished_folds(runs, settings.run)
    folds = [fold for fold in finished if fold != FULL] or finished
    if not folds:
        what = f"run {settings.run!r}, which gives the boxes of {member.name!r}, is gone"
        raise CompetitionError(what, folder, repair)
    identity = read_identity(runs.fold_folder(settings.run, folds[0]), repair)
    first = Member(
        name=settings.run,
        folds=tuple(folds),
        config_hash=identity["config_hash"],
        fold_hash=identity["fold_hash"],
        classes=tuple(identity["classes"]),
    )
    check_stage(runs, member.name, settings.run, weights_of_stage(runs, first), checkpoints)
    return LoadedStage(load_member(track, runs, images, first), first.classes or track.classes, settings)
