"""What the members of a decision predict for the samples of a review: out-of-fold, or for test samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.data.folds import Fold
from competition.data.manifest import Entry, Manifest
from competition.ensembling.decision import Decision
from competition.ensembling.tuning_data import TuningData
from competition.ensembling.voted_table import voted_probabilities
from competition.prediction.probability_maps import read_scores
from competition.review.fold_disagreement import predict_by_fold
from competition.review.out_of_fold import open_decided, out_of_fold_planes, out_of_fold_probabilities
from competition.review.stored_votes import vote_stored
from competition.runs.test_set_predictions import predict_test_set
from competition.tracks.track import Track
from competition.workspace import Workspace


@dataclass(frozen=True)
class Predictions:
    """The predictions of a decision, read when they are asked for; networks run only where nothing is stored.

    Attributes:
        track: What is competed in.
        workspace: Of the data set.
        decision: Members, weights and thresholds.
        manifest: All samples.
    """

    track: Track
    workspace: Workspace
    decision: Decision
    manifest: Manifest

    def planes(self, entry: Entry) -> NDArray[np.uint8] | None:
        """Return the voted label planes (H, W, P); None of a training sample that some member does not cover.

        Raises:
            CompetitionError: A map is missing or damaged.
        """
        if entry.split == "test":
            return vote_stored(self.decision, self._test_folders, entry.sample)
        covered = entry.sample in self._row_of
        return out_of_fold_planes(self._out_of_fold, self.decision, entry.sample) if covered else None

    def planes_by_fold(self, entry: Entry) -> Mapping[Fold, NDArray[np.uint8]]:
        """Return the label planes (H, W, P) of a test sample that each fold votes by itself.

        Raises:
            CompetitionError: A map is missing or damaged.
        """
        return {
            alone.members[0].folds[0]: vote_stored(alone, folders, entry.sample) for alone, folders in self._by_fold
        }

    def probabilities(self, entries: Sequence[Entry]) -> NDArray[np.float64]:
        """Return the combined probabilities (n, C) of samples of one split, for classification.

        Raises:
            CompetitionError: Scores are missing or damaged.
        """
        if any(entry.split == "test" for entry in entries):
            samples = [entry.sample for entry in entries]
            tables = np.stack([read_scores(folder, samples, self.track.classes) for folder in self._test_folders])
            return voted_probabilities(self.decision, tables, self.track.one_of_classes)
        rows = [self._row_of[entry.sample] for entry in entries]
        return out_of_fold_probabilities(self._out_of_fold, self.decision)[rows]

    @cached_property
    def _out_of_fold(self) -> TuningData:
        return open_decided(self.track, self.workspace, self.decision, self.manifest.of("train"))

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {sample: row for row, sample in enumerate(self._out_of_fold.samples)}

    @cached_property
    def _test_folders(self) -> list[Path]:
        members, test = self.decision.members, self.manifest.of("test")
        return [predict_test_set(self.track, self.workspace, self.workspace, member, test) for member in members]

    @cached_property
    def _by_fold(self) -> list[tuple[Decision, list[Path]]]:
        return predict_by_fold(self.track, self.workspace, self.decision, self.manifest.of("test"))
