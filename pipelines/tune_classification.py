"""Tuning a classification: weights of the ranked class, thresholds of the others, with a row for each class."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from competition.console import say
from competition.data.folds import Folds
from competition.data.manifest import Entry, target_matrix
from competition.ensembling.classification import TunedClassification, tune_classification
from competition.ensembling.decision import Decision
from competition.ensembling.locations import NEVER
from competition.ensembling.members import TrainedMember
from competition.tracks.track import Track
from competition.workspace import Workspace
from pipelines.tuned import honest_scores, number, weigh


def tune_classes(
    track: Track,
    workspace: Workspace,
    folds: Folds,
    members: Sequence[TrainedMember],
    entries: Sequence[Entry],
    trials: int,
) -> tuple[Decision, list[dict[str, Any]]]:
    """Tunes a classification.

    Args:
        track: Its classes.
        workspace: Of the data set.
        folds: The fold file in force.
        members: Who votes.
        entries: The samples all members cover.
        trials: Weight vectors to try.

    Returns:
        The decision, and a row per class for per_class.csv.
    """
    fold_of = np.array([folds.fold_of[entry.group] for entry in entries])
    groups = [entry.group for entry in entries]
    samples = [entry.sample for entry in entries]
    tuned = tune_classification(members, samples, track.classes, target_matrix(entries), fold_of, groups, trials)
    say(tuned.search.reason)
    crossfit = None if tuned.crossfit is None else tuned.crossfit.auroc
    scores = honest_scores(list(tuned.fold_aurocs.values()), tuned.oof.auroc, crossfit, tuned.interval or (None, None))
    decision = Decision(
        track=track.name,
        dataset=workspace.dataset,
        task="classification",
        classes=track.classes,
        members=weigh(members, tuned.search.weights, folds),
        cuts={},
        thresholds=dict(zip(track.classes[1:], tuned.locations.rule.thresholds.tolist(), strict=True)),
        gate=tuned.locations.rule.gate,
        operations={},
        scores=scores,
        coverage=len(entries),
        reason=tuned.search.reason,
    )
    _say_locations(tuned)
    return decision, _location_rows(track, entries, tuned)


def _say_locations(tuned: TunedClassification) -> None:
    honest = tuned.oof if tuned.crossfit is None else tuned.crossfit
    thresholds, gate = tuned.locations.rule.thresholds, tuned.locations.rule.gate
    say(tuned.locations.reason)
    used = f"{np.sum(thresholds < NEVER)} of {len(thresholds)} locations are ever 1"
    behind = "" if gate is None else f", of patients above {gate:.3f}"
    gained = f"{honest.cells_gained:+.0f} cells gained"
    say(f"locations: accuracy {honest.accuracy:.5f}, all zero {honest.all_zero_accuracy:.5f}: {gained}; {used}{behind}")


def _location_rows(track: Track, entries: Sequence[Entry], tuned: TunedClassification) -> list[dict[str, Any]]:
    positives = target_matrix(entries).sum(axis=0)
    aurocs = (tuned.oof.auroc, *tuned.oof.location_aurocs)
    thresholds = [None, *(round(float(value), 4) for value in tuned.locations.rule.thresholds)]
    return [
        {"class": name, "positives": int(count), "auroc": number(value), "threshold": threshold}
        for name, count, value, threshold in zip(track.classes, positives, aurocs, thresholds, strict=True)
    ]
