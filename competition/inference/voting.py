"""The vote of loaded members on one image, or one patient: exactly that of ``ensemble``, with each fold beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from competition.data.manifest import Entry
from competition.ensembling.decision import Decision
from competition.ensembling.segmentation.postprocessing import apply, sure_pixels
from competition.ensembling.submission import location_rule
from competition.ensembling.voting.combination import combine
from competition.ensembling.voting.masks import vote_image
from competition.inference.disagreement import find_disagreement
from competition.prediction.grid_maps import GridMap
from competition.prediction.opened_maps import ClassMap


class PredictingMember(Protocol):
    """A member with all its networks: of a run (``loaded_members.LoadedMember``), or of an exported model."""

    @property
    def networks(self) -> int:
        """How many networks predict."""

    def predict_maps(self, entry: Entry) -> tuple[GridMap, list[GridMap]]:
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


@dataclass(frozen=True)
class VotedTable:
    """The vote on n patients: the first class's score (n,), probabilities (n, C) and decisions bool (n, C - 1)."""

    score: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    decisions: NDArray[np.bool_]


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
    maps: list[ClassMap] = []
    folds: list[list[GridMap]] = []
    for number, member in enumerate(vote.members):
        if member is None:
            classes = int(np.count_nonzero(voters.rows[:, number] >= 0))
            maps.append(np.broadcast_to(np.uint8(0), (classes, entry.height, entry.width)))
            folds.append([])
            continue
        mean, own = member.predict_maps(entry)
        maps.append(mean)
        folds.append(own)
    levels, whole = decision.level_array(), (slice(None), slice(None))
    voted = vote_image(maps, voters, weights, levels)
    planes = apply(voted, decision.operation_list(), sure_pixels(maps, voters, weights))
    if vote.folds == 1:
        return VotedMasks(planes, None, None)

    def folds_of(index: int) -> list[NDArray[np.uint8]]:
        rows, voting = voters.rows[index], np.flatnonzero(weights[index])
        return [fold[int(rows[number]), *whole] for number in voting for fold in folds[number]]

    return VotedMasks(planes, *find_disagreement(folds_of, voted, levels.tolist()))


def predict_patient(vote: LoadedVote, entry: Entry) -> PredictedScores:
    """Predict a patient, or an image of a classification, with all members."""
    means = np.zeros((len(vote.members), len(vote.decision.classes)))
    folds: list[NDArray[np.float64]] = []
    for number, member in enumerate(vote.members):
        if member is not None:
            means[number], own = member.predict_scores(entry)
            folds.append(own)
    return PredictedScores(means, None if vote.folds == 1 else np.concatenate(folds).std(axis=0))


def vote_table(decision: Decision, patients: Sequence[PredictedScores]) -> VotedTable:
    """Combine the members' probabilities of all patients, because ranks are those among them.

    Raises:
        CompetitionError: Ranks are asked of a single patient.
    """
    tables = np.stack([patient.members for patient in patients], axis=1)
    combined = combine(decision.combine, tables, decision.weights())
    return VotedTable(combined.score, combined.probs, location_rule(decision).decide(combined.probs))
