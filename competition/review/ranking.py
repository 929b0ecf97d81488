"""The order in which to review samples, and the files to review them with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from competition.data.cache import read_label_planes
from competition.data.checks.label_maps import map_labels
from competition.data.manifest import Entry, Manifest
from competition.ensembling.decision import Decision
from competition.ensembling.voting.combination import combine
from competition.errors import CompetitionError
from competition.prediction.probability_maps import read_scores
from competition.review.export import Form, Reviewed, export_masks, export_table
from competition.review.fold_disagreement import rank_disagreement
from competition.review.out_of_fold import open_decided, out_of_fold_probabilities
from competition.review.stored_votes import vote_stored
from competition.review.suspicious_labels import find_suspicious, rank_samples
from competition.runs.test_set_predictions import predict_test_set
from competition.tracks.track import Track
from competition.workspace import Workspace

Order = Literal["error", "disagreement"]
BY_ERROR: Order = "error"
BY_DISAGREEMENT: Order = "disagreement"


@dataclass(frozen=True)
class Review:
    """Samples to look at, the most important first, and what they were ranked by."""

    ranked: list[Reviewed]
    by: Order


def rank_review(track: Track, workspace: Workspace, decision: Decision, manifest: Manifest, by: Order) -> Review:
    """Rank training samples by expected label error, or test samples by how much the folds disagree.

    Raises:
        CompetitionError: There are no test samples, the decision has one fold, or a prediction is missing.
    """
    if by == BY_ERROR:
        return Review(_by_error(track, workspace, decision, manifest.of("train")), by)
    test = {entry.sample: entry for entry in manifest.of("test")}
    if not test:
        raise CompetitionError(
            "there are no test samples to disagree about", workspace.manifest_file(), "Use --by error"
        )
    found = rank_disagreement(track, workspace, decision, list(test.values()))
    reason = "the folds disagree most about this class"
    return Review([Reviewed(test[each.sample], each.label, reason, each.score) for each in found], by)


def _by_error(track: Track, workspace: Workspace, decision: Decision, training: Sequence[Entry]) -> list[Reviewed]:
    data = open_decided(track, workspace, decision)
    maps = map_labels(track, workspace, training) if track.task == "segmentation" else None
    entries = {entry.sample: entry for entry in training}
    ranked = rank_samples(find_suspicious(track, training, maps, data, decision))
    return [Reviewed(entries[each.sample], each.label, each.reason, each.score) for each in ranked]


def write_review(
    track: Track,
    workspace: Workspace,
    decision: Decision,
    manifest: Manifest,
    review: Review,
    chosen: Sequence[Reviewed],
    out: Path,
    form: Form,
) -> None:
    """Export samples of a review, with their labels, or with predictions where they have none.

    Raises:
        CompetitionError: A prediction is missing, or the folder can't be written.
    """
    folders: list[Path] = []
    if review.by == BY_DISAGREEMENT:
        test = manifest.of("test")
        folders = [predict_test_set(track, workspace, workspace, member, test) for member in decision.members]
    if track.task == "classification":
        samples = [each.entry.sample for each in chosen]
        export_table(track, out, chosen, _probabilities(track, workspace, decision, folders, samples))
        return

    def planes_of(entry: Entry) -> NDArray[np.uint8]:
        if entry.split == "train":
            return read_label_planes(workspace, track, entry.sample)
        return vote_stored(decision, folders, entry.sample)

    export_masks(track, workspace, out, chosen, planes_of, form)


def _probabilities(
    track: Track, workspace: Workspace, decision: Decision, folders: Sequence[Path], samples: Sequence[str]
) -> NDArray[np.float64]:
    """Return the probabilities (n, C) of test samples from their folders, of training samples out-of-fold."""
    if folders:
        tables = np.stack([read_scores(folder, samples, track.classes) for folder in folders])
        return combine(decision.combine, tables, decision.weights()).probs
    data = open_decided(track, workspace, decision)
    row_of = {sample: row for row, sample in enumerate(data.samples)}
    return out_of_fold_probabilities(data, decision)[[row_of[sample] for sample in samples]]
