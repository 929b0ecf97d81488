"""Scores of stored out-of-fold predictions at threshold 0.5."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from competition.data.folds import Fold
from competition.data.manifest import Entry, target_matrix
from competition.metrics.tables import AneurysmMetric, TableMetric
from competition.prediction.histograms import histograms_file, load_histograms, threshold_counts
from competition.prediction.probability_maps import HALF_LEVEL, read_scores
from competition.tracks.track import Track, count_metric
from competition.workspace import out_of_fold_folder

if TYPE_CHECKING:  # tune needs no network, and importing them takes seconds
    from competition.runs.run import Run


def out_of_fold_score(run: "Run", fold: Fold) -> float:
    """Return the score of a fold's stored out-of-fold predictions at threshold 0.5; NaN where nothing was held out."""
    return stored_score(run.track, out_of_fold_folder(run.folder(fold)), run.held_out(fold))


def stored_score(track: Track, folder: Path, held_out: Sequence[Entry]) -> float:
    """Return the track's metric of stored out-of-fold predictions at threshold 0.5.

    Of masks over the classes that occur in the truth, of a table without tuning (``TableMetric.plain``); NaN where
    there are no samples, no class occurs, or the metric is undefined. The classes are those of ``track``.
    """
    if not held_out:
        return float("nan")
    samples = [entry.sample for entry in held_out]
    if isinstance(track.metric, TableMetric):
        truth = target_matrix(held_out)
        return track.metric.score_table(truth, read_scores(folder, samples, track.classes))
    stored = load_histograms(histograms_file(folder))
    both, predicted, truth = threshold_counts(np.stack([stored[sample] for sample in samples]))
    counts = np.stack([both[..., HALF_LEVEL], predicted[..., HALF_LEVEL], truth[..., 0]], axis=1)
    return count_metric(track).score(counts, [entry.group for entry in held_out])


def unmeasured_classes(run: "Run", fold: Fold) -> list[str]:
    """Return the classes of a segmentation without a pixel in the truth of what a fold held out."""
    samples = [entry.sample for entry in run.held_out(fold)]
    if run.track.task == "classification" or not samples:
        return []
    stored = load_histograms(histograms_file(out_of_fold_folder(run.folder(fold))))
    seen = np.any([stored[sample][:, 1].any(axis=1) for sample in samples], axis=0)
    return [name for name, occurs in zip(run.track.classes, seen, strict=True) if not occurs]


def ranked(track: Track, folder: Path, held_out: Sequence[Entry]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return learned targets of one class of held-out samples, and the fold's probabilities, (n,) each.

    The class is that which the aneurysm track ranks, elsewhere the one with the most even numbers of both kinds.
    """
    scores = read_scores(folder, [entry.sample for entry in held_out], track.classes)
    targets = target_matrix(held_out)
    even = 0 if isinstance(track.metric, AneurysmMetric) else int(np.argmin(np.abs(targets.mean(axis=0) - 0.5)))
    return targets[:, even], scores[:, even]


def member_scores(folder_of: Mapping[str, Path], samples: Sequence[str], classes: Sequence[str]) -> NDArray[np.float64]:
    """Return out-of-fold probabilities (n, C) of a member, each from the fold that held the sample out, joined by key.

    Raises:
        CompetitionError: Scores are missing or damaged.
    """
    rows = np.empty((len(samples), len(classes)))
    for folder in dict.fromkeys(folder_of.values()):
        here = [position for position, sample in enumerate(samples) if folder_of[sample] == folder]
        rows[here] = read_scores(folder, [samples[position] for position in here], classes)
    return rows


def not_measured(unmeasured: Sequence[str], classes: Sequence[str], images: str) -> str:
    """Return the sentence on the classes that a Dice leaves out: two empty masks agree whatever a network has learned.

    ``images`` is whose truth has no pixel of the ``unmeasured``: "none of the 8 samples".
    """
    rest = "" if len(unmeasured) == len(classes) else "; the Dice is the mean over the other classes"
    return f"not measured: {images} has a pixel of class {', '.join(unmeasured)}{rest}"
