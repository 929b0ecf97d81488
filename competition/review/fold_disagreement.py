"""Test samples on which the folds of a decision disagree: those to label next."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import progress
from competition.data.manifest import Entry
from competition.ensembling.current_decision import only_folds
from competition.ensembling.decision import Decision
from competition.ensembling.voted_table import voted_probabilities
from competition.errors import CompetitionError
from competition.masks.bit_planes import class_areas, intersections
from competition.prediction.probability_maps import read_scores
from competition.review.stored_votes import vote_stored
from competition.runs.test_set_predictions import predict_test_set
from competition.tracks.track import Track
from competition.workspace import Workspace


@dataclass(frozen=True)
class Disagreement:
    """How much the folds disagree about a test sample.

    Attributes:
        sample: Key.
        score: 0 (they agree) to 1. Of masks 1 - Dice, the mean over pairs of folds and the classes that either
            predicts; of a table the largest standard deviation of a class's probability, doubled.
        label: The class on which they disagree most.
    """

    sample: str
    score: float
    label: str


def rank_disagreement(
    track: Track, workspace: Workspace, decision: Decision, entries: Sequence[Entry]
) -> list[Disagreement]:
    """Let each fold of a decision decide about the test samples by itself; the most disputed come first.

    What the folds predict is kept, so that a second call runs no network.

    Raises:
        CompetitionError: The decision has fewer than two folds, or a fold is missing or belongs to something else.
    """
    by_fold = predict_by_fold(track, workspace, decision, entries)
    samples = [entry.sample for entry in entries]
    if track.task == "classification":
        found = _disputed_targets(by_fold, samples, track.one_of_classes)
    else:
        found = _disputed_masks(by_fold, samples)
    return sorted(found, key=lambda each: (-each.score, each.sample))


def predict_by_fold(
    track: Track, workspace: Workspace, decision: Decision, entries: Sequence[Entry]
) -> list[tuple[Decision, list[Path]]]:
    """Return the decision with one fold alone and each member's folder of its test predictions, for each fold.

    Raises:
        CompetitionError: The decision has fewer than two folds, or a fold is missing or belongs to something else.
    """
    single = _single_folds(decision)
    if len(single) < 2:
        what = "images are ranked by how much folds disagree, and the decision has fewer than two"
        raise CompetitionError(what, workspace.run_folder(decision.members[0].name), "Train more folds, then run tune")
    return [
        (alone, [predict_test_set(track, workspace, workspace, member, entries) for member in alone.members])
        for alone in single
    ]


def _single_folds(decision: Decision) -> list[Decision]:
    """Return the decision with one fold alone, for each fold that all members have."""
    common = set.intersection(*(set(member.folds) for member in decision.members))
    return [only_folds(decision, [fold], str(fold)) for fold in sorted(common, key=str)]


def _disputed_targets(
    by_fold: Sequence[tuple[Decision, Sequence[Path]]], samples: Sequence[str], exclusive: bool
) -> list[Disagreement]:
    classes, tables = by_fold[0][0].classes, []
    for decision, own in by_fold:
        members = np.stack([read_scores(folder, samples, classes) for folder in own])
        tables.append(voted_probabilities(decision, members, exclusive))
    spread = 2 * np.stack(tables).std(axis=0)
    return [
        Disagreement(sample, float(row.max()), classes[int(row.argmax())])
        for sample, row in zip(samples, spread, strict=True)
    ]


def _disputed_masks(by_fold: Sequence[tuple[Decision, Sequence[Path]]], samples: Sequence[str]) -> list[Disagreement]:
    found = []
    with progress("folds on test images", len(samples)) as ticker:
        for sample in samples:
            masks = [vote_stored(decision, own, sample) for decision, own in by_fold]
            found.append(compare_masks(sample, masks, by_fold[0][0].classes))
            ticker.advance(sample)
    return found


def compare_masks(sample: str, masks: Sequence[NDArray[np.uint8]], classes: Sequence[str]) -> Disagreement:
    """Return how much label planes (H, W, P) of one image differ, and in which class most."""
    losses = []
    areas = [class_areas(planes, len(classes)) for planes in masks]
    for one, other in combinations(range(len(masks)), 2):
        both = intersections(masks[one], masks[other], len(classes))
        total = areas[one] + areas[other]
        losses.append(np.where(total > 0, 1 - 2 * both / np.maximum(total, 1), np.nan))
    of_pairs = np.stack(losses)
    seen = ~np.isnan(of_pairs)
    by_class = np.where(seen, of_pairs, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    score = float(of_pairs[seen].mean()) if seen.any() else 0.0
    return Disagreement(sample, score, classes[int(by_class.argmax())])
