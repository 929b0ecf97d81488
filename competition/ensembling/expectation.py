"""The expected score of a vote of some folds: that of the decision on the samples which these folds held out."""

from collections.abc import Sequence

import numpy as np

from competition.console import track as shown
from competition.data.cache import read_cached_planes
from competition.data.folds import FULL, find_folds
from competition.data.manifest import Entry, read_manifest, target_matrix
from competition.ensembling.decision import Decision, Scores
from competition.ensembling.segmentation.postprocessing import decide_image
from competition.ensembling.segmentation.true_objects import open_true_objects
from competition.ensembling.voted_table import vote_tables
from competition.masks.object_splitting import split_planes
from competition.metrics.masks import ImageMasks, MaskMetric, Measured
from competition.metrics.tables import TableMetric
from competition.prediction.opened_maps import open_map
from competition.runs.members import held_out_folder
from competition.runs.out_of_fold_scores import member_scores
from competition.submission.mask_counts import count_pixels
from competition.tracks.track import Track, count_metric
from competition.workspace import Workspace

NOTHING = Scores(fold_mean=None, fold_sd=None, oof=None, oof_crossfit=None, interval_low=None, interval_high=None)


def expect_of_folds(track: Track, workspace: Workspace, decision: Decision) -> Decision:
    """Return a decision whose members name only the folds that vote, with the score of these folds.

    It is the score on the training samples that a fold of every member held out; there is none without such samples, or
    where the folds have changed since the members were trained. Weights and thresholds were chosen on all folds, so it
    is optimistic: it replaces the tuned out-of-fold score, and there is no cross-fitted one.

    Raises:
        CompetitionError: An out-of-fold prediction is missing or damaged.
    """
    folds = find_folds(workspace)
    held_out = set.intersection(*({fold for fold in member.folds if fold != FULL} for member in decision.members))
    known = folds is not None and all(member.fold_hash == folds.hash() for member in decision.members)
    fold_of = folds.fold_of if folds is not None and known else {}
    entries = [entry for entry in read_manifest(workspace, track).of("train") if fold_of.get(entry.group) in held_out]
    score = float("nan")
    if entries:
        fold_of_entry = [fold_of[entry.group] for entry in entries]
        measure = _table_score if track.task == "classification" else _mask_score
        score = measure(track, workspace, decision, entries, fold_of_entry)
    scores = NOTHING.model_copy(update={"oof": None if np.isnan(score) else score})
    return decision.model_copy(update={"scores": scores, "coverage": len(entries)})


def _mask_score(
    track: Track, workspace: Workspace, decision: Decision, entries: Sequence[Entry], folds: Sequence[int]
) -> float:
    """Return the score of the decision's votes at native size; nan where no class occurs."""
    voters, classes = decision.voters(), len(decision.classes)
    weights = voters.weights_by_class(decision.class_weights())
    counts, metric, measured = [], track.metric, []
    rules, of_objects = decision.object_rules(), isinstance(metric, MaskMetric) and metric.of_objects
    objects = open_true_objects(track, workspace) if of_objects else None
    for entry, fold in zip(shown(entries, "scoring what these folds held out"), folds, strict=True):
        maps = [open_map(held_out_folder(workspace, member, fold), entry.sample) for member in decision.members]
        voted = decide_image(maps, voters, weights, decision.level_array(), decision.operation_list())
        truth = read_cached_planes(workspace, entry.sample)
        if isinstance(metric, MaskMetric):
            found = split_planes(voted, rules) if objects is not None and rules else None
            true = None if objects is None else objects(entry.sample, truth)
            measured.append(metric.measure(ImageMasks(voted, classes, found), ImageMasks(truth, classes, true)))
        counts.append(count_pixels(voted, truth, classes))
    groups = [entry.group for entry in entries]
    if isinstance(metric, MaskMetric):
        return metric.score(Measured(np.stack(counts), np.stack([values for _, values in measured])), groups)
    return count_metric(track).score(np.stack(counts), groups)


def _table_score(
    track: Track, workspace: Workspace, decision: Decision, entries: Sequence[Entry], folds: Sequence[int]
) -> float:
    """Return the score of the decision's vote; nan where it is not defined."""
    samples, tables = [entry.sample for entry in entries], []
    for member in decision.members:
        folder_of = {
            sample: held_out_folder(workspace, member, fold) for sample, fold in zip(samples, folds, strict=True)
        }
        tables.append(member_scores(folder_of, samples, track.classes))
    assert isinstance(track.metric, TableMetric)  # of a classification
    return track.metric.score_table(
        target_matrix(entries), vote_tables(decision, np.stack(tables), track.one_of_classes).outputs
    )
