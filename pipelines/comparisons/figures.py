"""Figures of a recipe on its held-out samples, which can be compared in pairs."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from competition.data.cache import read_label_planes
from competition.data.grid import GridReader, grid_size, oversampling
from competition.data.manifest import Entry, target_matrix
from competition.ensembling.classification.locations import cells_gained, choose_locations
from competition.ensembling.classification.report_rules import decide_as_the_report
from competition.ensembling.selection.bootstrap import Statistic, auroc_of, mean_of, sum_of, table_figure
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.masks.soft_targets import soft_targets
from competition.metrics.counts import measured
from competition.metrics.tables import AneurysmMetric, TableMetric
from competition.prediction.histograms import (
    dice_curves,
    histograms_file,
    image_histogram,
    join_histograms,
    load_histograms,
)
from competition.prediction.native_size import to_native
from competition.prediction.probability_maps import HALF_LEVEL, read_map
from competition.runs.members import open_member, out_of_fold_folders
from competition.runs.out_of_fold_scores import member_scores
from competition.runs.run import Run
from competition.settings import DataSettings
from competition.tracks.track import Track
from competition.workspace import Workspace, out_of_fold_folder

Entries = Sequence[Entry]

# Bones of hands, from the fingertip down.
INDEX_FINGER = tuple(f"finger-{number}" for number in range(4, 8))
RING_FINGER = tuple(f"finger-{number}" for number in range(12, 16))

Figure = Callable[[Run, str, Entries], Statistic]
"""(trained run, "ours" or "report" for the rule of locations, held-out samples) -> the figure over these samples."""


def dice_figure(run: Run, _: str, entries: Entries) -> Statistic:
    """Return the mean Dice over images and their classes, at threshold 0.5 and native size."""
    return mean_of(_dice(_held_out_histograms(run, entries)))


def accuracy_figure(run: Run, _: str, entries: Entries) -> Statistic:
    """Return the share of correct pixels at threshold 0.5, mean over images and classes."""
    counts = _held_out_histograms(run, entries)
    called = counts[..., HALF_LEVEL + 1 :].sum(axis=-1)
    pixels = counts.sum(axis=-1)
    wrong = called[..., 0] - called[..., 1] + pixels[..., 1] - called[..., 1]
    return mean_of((1 - wrong / pixels[..., 0]).mean(axis=1))


def attainable_dice_figure(run: Run, _: str, entries: Entries) -> Statistic:
    """Return the Dice of a perfect network: its training targets, resized to native size like a prediction."""
    targets = target_maps(run.workspace, run.track, run.experiment.data, entries)
    counts = [
        image_histogram(values, read_label_planes(run.workspace, run.track, entry.sample))
        for entry, values in zip(entries, targets, strict=True)
    ]
    return mean_of(_dice(np.stack(counts)))


def index_and_ring_figure(run: Run, _: str, entries: Entries) -> Statistic:
    """Return the pixels called index and ring finger at once, as a share of the true index bones, at 0.5."""
    classes = run.track.classes
    if not {*INDEX_FINGER, *RING_FINGER} <= set(classes):
        raise CompetitionError(f"track {run.track.name} has no index and ring finger", None, "Drop that column")
    index, ring = ([classes.index(bone) for bone in bones] for bones in (INDEX_FINGER, RING_FINGER))
    shares = []
    for entry in entries:
        called = read_map(out_of_fold_folder(run.folder(run.folds.fold_of[entry.group])), entry.sample) > HALF_LEVEL
        both = called[index].any(axis=0) & called[ring].any(axis=0)
        truth = unpack_planes(read_label_planes(run.workspace, run.track, entry.sample), len(classes))[index]
        shares.append(both.sum() / max(1, truth.any(axis=0).sum()))
    return mean_of(np.array(shares))


def auroc_figure(run: Run, rule: str, entries: Entries) -> Statistic:
    """Return the AUROC of the first class."""
    kinds = {entry.targets[0] for entry in entries}
    if len(kinds) < 2:
        what = "all held-out patients have the same label, so there is no AUROC"
        raise CompetitionError(what, None, "Take more patients")
    truth, outputs = _patients(run, rule, entries)
    return auroc_of(truth[:, 0], outputs[:, 0])


def score_figure(run: Run, _: str, entries: Entries) -> Statistic:
    """Return the track's metric of out-of-fold probabilities, without tuning."""
    assert isinstance(run.track.metric, TableMetric)  # ``figures_of``
    samples = [entry.sample for entry in entries]
    member = open_member(run.workspace, run.folds, run.manifest.of("train"), run.name, None)
    probs = member_scores(out_of_fold_folders(run.workspace, member), samples, run.track.classes)
    return table_figure(run.track.metric, target_matrix(entries), run.track.metric.plain(probs))


def cells_figure(run: Run, rule: str, entries: Entries) -> Statistic:
    """Return how many more location cells are correct than with all zeros."""
    truth, outputs = _patients(run, rule, entries)
    return sum_of(cells_gained(truth[:, 1:], outputs[:, 1:] > 0))


_FIGURES: dict[str, dict[str, Figure]] = {
    "segmentation": {
        "dice": dice_figure,
        "accuracy": accuracy_figure,
        "attainable_dice": attainable_dice_figure,
        "index_and_ring": index_and_ring_figure,
    },
    "patients": {"auroc": auroc_figure, "cells": cells_figure},
    "tables": {"score": score_figure},
}


def figures_of(track: Track) -> dict[str, Figure]:
    """Return the figures that a track has; the first is the metric that it is ranked by."""
    if isinstance(track.metric, AneurysmMetric):
        return _FIGURES["patients"]
    return _FIGURES["segmentation" if track.task == "segmentation" else "tables"]


def _dice(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the Dice of images (n,), mean over the classes that any of them has, from counts (n, C, 2, 256)."""
    present = counts[:, :, 1].sum(axis=-1) > 0
    return np.asarray(measured(dice_curves(counts)[:, :, HALF_LEVEL], present).mean(axis=1))


def _held_out_histograms(run: Run, entries: Entries) -> NDArray[np.int64]:
    by_sample: dict[str, NDArray[np.int64]] = {}
    for fold in sorted({run.folds.fold_of[entry.group] for entry in entries}):
        by_sample |= load_histograms(histograms_file(out_of_fold_folder(run.folder(fold))))
    samples = [entry.sample for entry in entries]
    return join_histograms(by_sample, samples, run.workspace.run_folder(run.name))


def _patients(run: Run, rule: str, entries: Entries) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return truth and out-of-fold outputs, (n, 1 + L) each: a score, then locations 0 or 1.

    No rule is chosen on the patient's own label: ours is chosen on the other folds, the report's on the training
    samples of the fold.
    """
    training = run.manifest.of("train")
    member = open_member(run.workspace, run.folds, training, run.name, None)
    truth = target_matrix(entries)
    if rule == "report":
        return truth, decide_as_the_report(run.track, run.workspace, run.folds, member, training, entries)
    samples = [entry.sample for entry in entries]
    probs = member_scores(out_of_fold_folders(run.workspace, member), samples, run.track.classes)
    fold_of = np.array([run.folds.fold_of[entry.group] for entry in entries])
    decided = choose_locations(truth[:, 1:], probs, fold_of, [entry.group for entry in entries]).crossfit
    assert decided is not None  # a comparison has at least two folds
    return truth, np.column_stack([probs[:, 0], decided])


def target_maps(
    workspace: Workspace, track: Track, settings: DataSettings, entries: Sequence[Entry]
) -> Iterator[NDArray[np.uint8]]:
    """Yield each sample's training targets at native size, as a network that has learned them perfectly would predict.

    Maps are (C, H, W) uint8, of whole images without augmentation. With ``data.oversample`` 1 every target is the label
    under the middle of its pixel (nearest neighbour), with more it is the share of the pixel that the class covers
    (soft). The largest image of ``entries`` bounds the oversampling, as in training.
    """
    factor = oversampling(entries, track, settings)
    reader = GridReader(workspace, track, settings.size, budget_bytes=0, finer=factor)
    for entry in entries:
        planes = reader.read(entry).planes
        assert planes is not None  # training samples are labelled
        native_hw = (entry.height, entry.width)
        targets = soft_targets(torch.from_numpy(planes)[None], len(track.classes), grid_size(native_hw, settings.size))
        yield to_native(targets[0], native_hw)
