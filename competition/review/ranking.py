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
from competition.errors import CompetitionError
from competition.review.export import Form, Reviewed, export_masks, export_table
from competition.review.fold_disagreement import rank_disagreement
from competition.review.out_of_fold import open_decided
from competition.review.predictions import Predictions
from competition.review.suspicious_labels import find_suspicious, rank_samples
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
    data = open_decided(track, workspace, decision, training)
    maps = map_labels(track, workspace, training) if track.task == "segmentation" else None
    entries = {entry.sample: entry for entry in training}
    ranked = rank_samples(find_suspicious(track, training, maps, data, decision))
    return [Reviewed(entries[each.sample], each.label, each.reason, each.score) for each in ranked]


def write_review(
    predictions: Predictions,
    chosen: Sequence[Reviewed],
    out: Path,
    form: Form,
    page: str,
) -> None:
    """Export samples of a review, with their labels, or with predictions where they have none.

    Args:
        predictions: Of the decision that ranked them.
        chosen: The samples, in the order in which to look at them.
        out: A new folder, written whole or not at all.
        form: Of masks.
        page: HTML that shows the samples, written beside the files to correct.

    Raises:
        CompetitionError: A prediction is missing, or the folder can't be written.
    """
    track, workspace = predictions.track, predictions.workspace
    if track.task == "classification":
        export_table(track, out, chosen, predictions.probabilities([each.entry for each in chosen]), page)
        return

    def planes_of(entry: Entry) -> NDArray[np.uint8]:
        if entry.split == "train":
            return read_label_planes(workspace, track, entry.sample)
        predicted = predictions.planes(entry)
        assert predicted is not None  # of a test sample it never is
        return predicted

    export_masks(track, workspace, out, chosen, planes_of, form, page)
