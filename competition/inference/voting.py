"""The vote of loaded members on one image, or one patient: exactly that of ``ensemble``, with each fold beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.data.manifest import Entry
from competition.ensembling.decision import Decision
from competition.ensembling.segmentation.postprocessing import apply, sure_pixels
from competition.ensembling.voted_table import VotedTable, vote_tables
from competition.ensembling.voting.class_votes import EVERYWHERE, Voters
from competition.ensembling.voting.masks import vote_image
from competition.inference.disagreement import find_disagreement
from competition.prediction.grid_maps import GridMap
from competition.prediction.opened_maps import ClassMap

MemberMaps = tuple[GridMap, list[GridMap]]
"""The map of a member, and each fold's own."""


class PredictingMember(Protocol):
    """A member with all its networks: of a run (``loaded_members.LoadedMember``), or of an exported model."""

    @property
    def networks(self) -> int:
        """How many networks predict."""

    def predict_maps(self, entry: Entry) -> MemberMaps:
        """Return the member's map of an image in the cache, and each fold's own."""

    def predict_scores(self, entry: Entry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the member's probabilities (C,) of a patient in the cache, and each fold's own (F, C)."""


@dataclass(frozen=True)
class LoadedVote:
    """A decision with its members; None in place of one that has no weight on any class, which need not predict."""

    decision: Decision
    members: tuple[PredictingMember | None, ...]

    @property
    def folds(self) -> int:
        """Return how many networks vote."""
        return sum(member.networks for member in self.members if member is not None)


@dataclass(frozen=True)
class VotedMasks:
    """Label planes (H, W, P) uint8, post-processed, and the result of ``find_disagreement``, None with one fold."""

    planes: NDArray[np.uint8]
    disagreement: NDArray[np.uint8] | None
    fold_dice: NDArray[np.float64] | None


@dataclass(frozen=True)
class PredictedScores:
    """The probabilities of one patient.

    Attributes:
        members: (M, C) float64, 0 of a member without weight.
        deviations: (C,) float64, the standard deviation (divisor n) over all folds; None with one fold.
    """

    members: NDArray[np.float64]
    deviations: NDArray[np.float64] | None


def voting_members(decision: Decision) -> list[bool]:
    """Return of each member whether it has a weight on any class."""
    return [bool(total) for total in _weights(decision).sum(axis=0)]


def _weights(decision: Decision) -> NDArray[np.int64]:
    """Return the weight of each member on each class, (C, M)."""
    if decision.task == "classification":
        return np.tile(np.array(decision.weights(), dtype=np.int64), (len(decision.classes), 1))
    return decision.voters().weights_by_class(decision.class_weights())


def vote_masks(vote: LoadedVote, entry: Entry) -> VotedMasks:
    """Predict an image and vote on it, with a class of each map at native size in memory at a time."""
    decision, voters, weights = vote.decision, vote.decision.voters(), _weights(vote.decision)
    predicted = [None if member is None else member.predict_maps(entry) for member in vote.members]
    maps = _maps_at(predicted, voters, (entry.height, entry.width))
    voted = vote_image(maps, voters, weights, decision.level_array())
    planes = apply(voted, decision.operation_list(), sure_pixels(maps, voters, weights))
    if vote.folds == 1:
        return VotedMasks(planes, None, None)
    return VotedMasks(planes, *_compare_folds(decision, predicted, voted))


def _maps_at(predicted: Sequence[MemberMaps | None], voters: Voters, size_hw: tuple[int, int]) -> list[ClassMap]:
    """Return the members' own maps of an image at a size; that of a member without weight is 0."""
    maps: list[ClassMap] = []
    for number, one in enumerate(predicted):
        classes = int(np.count_nonzero(voters.rows[:, number] >= 0))
        maps.append(np.broadcast_to(np.uint8(0), (classes, *size_hw)) if one is None else one[0].at_size(size_hw))
    return maps


def _compare_folds(
    decision: Decision, predicted: Sequence[MemberMaps | None], voted: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Compare the folds on the sharpest grid of the members, and bring only their disagreement to native size.

    At native size the maps of five folds took as long as the networks and the vote.

    Args:
        decision: The vote.
        predicted: Of each member, None where it has no weight.
        voted: Label planes (H, W, P) of the vote at native size, before post-processing.

    Returns:
        As ``find_disagreement``, its map (H, W) at native size.
    """
    voters, weights, levels = decision.voters(), _weights(decision), decision.level_array()
    grids = [one[0].sharpest_hw for one in predicted if one is not None]
    grid_hw = (max(height for height, _ in grids), max(width for _, width in grids))
    folds = [[] if one is None else [fold.at_size(grid_hw) for fold in one[1]] for one in predicted]

    def folds_of(index: int) -> list[NDArray[np.uint8]]:
        rows, voting = voters.rows[index], np.flatnonzero(weights[index])
        return [fold[int(rows[number]), *EVERYWHERE] for number in voting for fold in folds[number]]

    native_hw = (voted.shape[0], voted.shape[1])
    if grid_hw == native_hw:
        return find_disagreement(folds_of, voted, levels.tolist())
    voted = vote_image(_maps_at(predicted, voters, grid_hw), voters, weights, levels)
    disagreement, fold_dice = find_disagreement(folds_of, voted, levels.tolist())
    native = cv2.resize(disagreement, native_hw[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(native, np.uint8), fold_dice


def predict_patient(vote: LoadedVote, entry: Entry) -> PredictedScores:
    """Predict a patient, or an image of a classification, with all members."""
    means = np.zeros((len(vote.members), len(vote.decision.classes)))
    folds: list[NDArray[np.float64]] = []
    for number, member in enumerate(vote.members):
        if member is not None:
            means[number], own = member.predict_scores(entry)
            folds.append(own)
    return PredictedScores(means, None if vote.folds == 1 else np.concatenate(folds).std(axis=0))


def vote_table(decision: Decision, patients: Sequence[PredictedScores], exclusive: bool) -> VotedTable:
    """Combine the members' probabilities of all patients, because ranks are those among them.

    Raises:
        CompetitionError: Ranks are asked of a single patient.
    """
    tables = np.stack([patient.members for patient in patients], axis=1)
    return vote_tables(decision, tables, exclusive)
