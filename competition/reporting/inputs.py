"""What all sections of the report are made from: the prepared data, the decision and what its members predicted."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.data.evenly_spread import spread
from competition.data.manifest import Entry, Manifest, read_manifest, target_matrix
from competition.ensembling import voted_table
from competition.ensembling.classification.locations import LocationRule
from competition.ensembling.current_decision import check_training_data
from competition.ensembling.decision import Decision, load_decision
from competition.ensembling.segmentation.scored_vote import SCORED_VOTE, ScoredVote, load_scored_vote
from competition.ensembling.segmentation.true_objects import TrueObjects, find_true_objects
from competition.ensembling.tuning_data import TuningData, open_tuning_data
from competition.ensembling.voted_table import VotedTable
from competition.ensembling.voting.combination import Combined, combine
from competition.errors import CompetitionError
from competition.metrics.tables import TableMetric
from competition.runs.out_of_fold_scores import member_scores
from competition.tracks.track import Track
from competition.workspace import Workspace


@dataclass(frozen=True)
class ReportInputs:
    """What the sections read; each part is opened when the first section asks for it.

    Attributes:
        track: What is competed in.
        workspace: Of the data set.
        decision_file: Of the decision that is reported on; None where nothing is tuned.
        explained: How many samples are explained, which runs the networks again.
    """

    track: Track
    workspace: Workspace
    decision_file: Path | None
    explained: int = 0

    @cached_property
    def manifest(self) -> Manifest:
        """Return the prepared samples.

        Raises:
            CompetitionError: Nothing is prepared, or it has changed since.
        """
        return read_manifest(self.workspace, self.track)

    @cached_property
    def decision(self) -> Decision:
        """Return the decision.

        Raises:
            CompetitionError: There is none.
        """
        if self.decision_file is None:
            raise CompetitionError(
                "nothing is tuned yet, so there is no decision to show", repair="Run ./run.sh tune after ./run.sh train"
            )
        return load_decision(self.decision_file)

    @property
    def tune_command(self) -> str:
        """Return the command that makes the decision again, of the members it has."""
        if self.decision_file is None:
            return "./run.sh tune"
        members = ",".join(member.with_folds() for member in self.decision.members)
        return f"./run.sh tune --members {shlex.quote(members)} --name {shlex.quote(self.decision_file.parent.name)}"

    @cached_property
    def tuning(self) -> TuningData:
        """Return the decision's members with the training samples that all of them cover, at least one.

        Raises:
            CompetitionError: There is no decision, or its data, folds or members have changed since.
        """
        decision, path = self.decision, self.decision_file
        assert path is not None  # or there were no decision
        training, wanted = self.manifest.of("train"), {member.name: member.folds for member in decision.members}
        check_training_data(self.track, self.workspace, decision, path, training)
        data = open_tuning_data(self.track, self.workspace, training, wanted)
        for member, opened in zip(decision.members, data.members, strict=True):
            if member.config_hash != opened.config_hash:
                what = f"run {member.name!r} was trained with other settings since this decision was tuned"
                raise CompetitionError(what, path, f"Run {self.tune_command}")
        if not data.entries:
            raise CompetitionError(
                "no training sample has an out-of-fold prediction of every member, so nothing can be scored",
                path,
                "Train the missing folds with ./run.sh train, then run ./run.sh tune",
            )
        return data

    @cached_property
    def vote(self) -> ScoredVote:
        """Return the vote of a segmentation on every image of ``tuning``, in its order.

        Raises:
            CompetitionError: As of ``tuning``, the decision is of an earlier version, or no class occurs.
        """
        data, path = self.tuning, self.decision_file
        assert path is not None  # or there were no decision
        vote = load_scored_vote(path.with_name(SCORED_VOTE), f"Run {self.tune_command}")
        classes = len(self.track.classes)
        if list(vote.samples) != data.samples or vote.levels.shape[1] != classes:
            what = "the folds of a member have changed since this decision was tuned"
            raise CompetitionError(what, path, f"Run {self.tune_command}")
        if not vote.counts[:, 2].any():
            what = "no training image has a pixel of any class, so nothing can be scored"
            raise CompetitionError(what, self.workspace.manifest_file(), "Check the labels, then run ./run.sh prepare")
        return vote

    @cached_property
    def true_objects(self) -> TrueObjects | None:
        """Return ``find_true_objects`` of the track.

        Raises:
            CompetitionError: As of ``open_true_objects``.
        """
        return find_true_objects(self.track, self.workspace)

    @cached_property
    def member_tables(self) -> NDArray[np.float64]:
        """Return the members' out-of-fold probabilities of a classification (M, n, C), samples as in ``tuning``."""
        data = self.tuning
        return np.stack([member_scores(folders, data.samples, self.track.classes) for folders in data.folders])

    @cached_property
    def combined(self) -> Combined:
        """Return the vote of a classification on the samples of ``tuning``."""
        if self.decision.rule is not None:
            probs = self.voted.probabilities
            return Combined(probs[:, 0], probs)
        return combine(self.decision.combine, self.member_tables, self.decision.weights())

    @property
    def located(self) -> bool:
        """Return whether the first class is ranked and the others are decided, as of the aneurysm track."""
        return self.decision.rule is None

    @property
    def table_metric(self) -> TableMetric:
        """Return the metric of a classification."""
        assert isinstance(self.track.metric, TableMetric)
        return self.track.metric

    @property
    def shown_classes(self) -> int:
        """Return how many classes of a table, the first ones, samples are sorted by: one where it alone is ranked."""
        return 1 if self.located else len(self.track.classes)

    @cached_property
    def judged(self) -> NDArray[np.int64]:
        """Return the class (n,) by which each sample of a table is judged.

        It is the ranked class; of other tables the true one of classes that exclude each other, or else that whose
        probability is furthest from the truth.
        """
        if self.located:
            return np.zeros(len(self.targets), dtype=np.int64)
        wanted = self.targets if self.track.one_of_classes else np.abs(self.targets - self.combined.probs)
        return np.asarray(np.argmax(wanted, axis=1), dtype=np.int64)

    @property
    def judged_cells(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return truth and probability (n,) of the class by which each sample is judged."""
        rows = np.arange(len(self.judged))
        return self.targets[rows, self.judged], self.combined.probs[rows, self.judged]

    @cached_property
    def voted(self) -> VotedTable:
        """Return the vote of a classification with what would be submitted, samples as in ``tuning``."""
        return voted_table.vote_tables(self.decision, self.member_tables, self.track.one_of_classes)

    @cached_property
    def targets(self) -> NDArray[np.int64]:
        """Return the truth of a classification, 0 or 1 (n, C), samples as in ``tuning``."""
        return target_matrix(self.tuning.entries)

    @property
    def location_rule(self) -> LocationRule:
        """Return how the decision turns probabilities of the classes after the first into 0 and 1."""
        return voted_table.location_rule(self.decision)


def spread_within(entries: Sequence[Entry], values_per_pixel: int, budget: int) -> list[Entry]:
    """Return images evenly spread over all, as many as can be read with a number of map values, at least one.

    Args:
        entries: At least one.
        values_per_pixel: Maps that are read per pixel: members x classes.
        budget: Map values in all; reading and comparing 10^9 takes about a second.
    """
    pixels = np.mean([entry.height * entry.width for entry in entries])
    count = int(np.clip(budget / (pixels * values_per_pixel), 1, len(entries)))
    return spread(entries, count)
