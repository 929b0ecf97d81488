"""What the members of a decision say about the labels of samples that they were not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.data.manifest import Entry
from competition.ensembling.decision import Decision
from competition.ensembling.tuning_data import TuningData, open_tuning_data
from competition.ensembling.voted_table import voted_probabilities
from competition.prediction.histograms import histograms_file, join_histograms, load_histograms, threshold_counts
from competition.review.stored_votes import vote_stored
from competition.runs.out_of_fold_scores import member_scores
from competition.tracks.track import Track
from competition.workspace import Workspace

COUNTED_AT_ONCE = 500
"""Samples whose counts at all thresholds are in memory at once: 0.3 GB of 29 classes."""


@dataclass(frozen=True)
class Agreement:
    """How well out-of-fold masks agree with the labels of n samples.

    Attributes:
        samples: Keys (n,).
        dice: float64 (n, C), the members' Dice with the label, averaged with their weights; NaN where the label is
            empty.
        labelled: float64 (n, C), pixels of the labels.
        predicted: float64 (n, C), pixels of the members' masks, averaged likewise.
    """

    samples: tuple[str, ...]
    dice: NDArray[np.float64]
    labelled: NDArray[np.float64]
    predicted: NDArray[np.float64]


def open_decided(track: Track, workspace: Workspace, decision: Decision, training: Sequence[Entry]) -> TuningData:
    """Open the members of a decision, with the samples of ``training`` that all of them cover.

    Raises:
        CompetitionError: As ``open_tuning_data``; also where images or labels have changed since a member was trained.
    """
    return open_tuning_data(track, workspace, training, {member.name: member.folds for member in decision.members})


def measure_agreement(data: TuningData, decision: Decision) -> Agreement:
    """Compare masks at the decision's thresholds with the labels, by the stored histograms and without any map.

    Members are compared one by one and post-processing is left out: 10,000 images take seconds where voting on their
    maps would take minutes.

    Raises:
        CompetitionError: An image has no histogram.
    """
    voters = decision.voters()
    weights = voters.weights_by_class(decision.class_weights()) / 1000
    shape = (len(data.entries), len(decision.classes))
    dice, predicted, labelled = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    at_level = decision.level_array()[None, :, None]
    for place, (member, folder_of) in enumerate(zip(data.members, data.folders, strict=True)):
        stored: dict[str, NDArray[np.int64]] = {}
        for folder in dict.fromkeys(folder_of.values()):
            stored |= load_histograms(histograms_file(folder))
        rows = voters.rows[:, place]
        voting = rows >= 0
        own = np.where(voting, weights[:, place], 0.0)
        for start in range(0, len(data.samples), COUNTED_AT_ONCE):
            part = slice(start, start + COUNTED_AT_ONCE)
            histograms = join_histograms(stored, data.samples[part], member.name)
            counts = threshold_counts(histograms[:, np.maximum(rows, 0)])
            both, above = (np.take_along_axis(each, at_level, axis=2)[..., 0] for each in counts[:2])
            truth = counts[2][..., 0]
            dice[part] += own * (2 * both / np.maximum(above + truth, 1))
            predicted[part] += own * above
            labelled[part] = np.where(voting, truth, labelled[part])
    return Agreement(tuple(data.samples), np.where(labelled > 0, dice, np.nan), labelled, predicted)


def out_of_fold_planes(data: TuningData, decision: Decision, sample: str) -> NDArray[np.uint8]:
    """Return the decision's masks of a training sample as label planes (H, W, P), voted by the folds that held it out.

    Raises:
        CompetitionError: A map is missing or damaged.
    """
    return vote_stored(decision, [folder_of[sample] for folder_of in data.folders], sample)


def out_of_fold_probabilities(data: TuningData, decision: Decision) -> NDArray[np.float64]:
    """Return the members' combined probabilities (n, C) of the samples of ``data``, for classification.

    Raises:
        CompetitionError: Scores are missing or damaged.
    """
    tables = np.stack([member_scores(folder_of, data.samples, decision.classes) for folder_of in data.folders])
    return voted_probabilities(decision, tables, data.track.one_of_classes)
