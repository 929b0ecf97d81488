"""Tuning a segmentation: weights, thresholds per class and post-processing, with a row for each class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.console import progress, say
from competition.data.folds import Folds
from competition.data.manifest import Entry
from competition.ensembling.decision import Decision
from competition.ensembling.evidence import bootstrap_interval
from competition.ensembling.members import TrainedMember
from competition.ensembling.segmentation import OutOfFold, TunedSegmentation, tune_segmentation
from competition.ensembling.thresholds import Window, threshold_of
from competition.metrics import reweighted_mean
from competition.reporting.neighbours import neighbour_rows, worst_neighbours
from competition.tracks.track import Track
from competition.workspace import Workspace, write_csv
from pipelines.tuned import honest_scores, weigh


def tune_pixels(
    track: Track,
    workspace: Workspace,
    folds: Folds,
    members: Sequence[TrainedMember],
    entries: Sequence[Entry],
    trials: int,
    windows: Sequence[Window],
    folder: Path,
) -> tuple[Decision, list[dict[str, Any]]]:
    """Tunes a segmentation.

    Args:
        track: Its classes.
        workspace: Of the data set.
        folds: The fold file in force.
        members: Who votes.
        entries: The samples all members cover.
        trials: Weight vectors to try.
        windows: Thresholds that may be chosen; the next one where too many pixels are contested.
        folder: Where contested pixels, trials.csv and neighbours.csv are kept.

    Returns:
        The decision, and a row per class for per_class.csv.
    """
    fold_of = np.array([folds.fold_of[entry.group] for entry in entries])
    groups = [entry.group for entry in entries]
    data = OutOfFold(members, workspace, [entry.sample for entry in entries], fold_of, groups, track.classes)
    with progress("tuning", len(entries) * (1 + (len(members) > 1))) as ticker:
        tuned = tune_segmentation(data, windows, trials, folder / "contested", ticker)
    if tuned.contested is not None:
        low, high = tuned.window
        say(f"{tuned.contested:.2%} of the pixels are contested between thresholds {low} and {high}")
    say(tuned.search.reason)
    by_fold = [tuned.at_half[fold_of == fold].mean() for fold in np.unique(fold_of)]
    ranked = tuned.oof if tuned.crossfit is None else tuned.crossfit
    per_image = ranked.mean(axis=1)
    scores = honest_scores(
        by_fold,
        tuned.oof.mean(),
        None if tuned.crossfit is None else tuned.crossfit.mean(),
        bootstrap_interval(per_image, groups, seed=0),
        _reweighted(track, per_image, entries),
    )
    decision = Decision(
        track=track.name,
        dataset=workspace.dataset,
        task="segmentation",
        classes=track.classes,
        members=weigh(members, tuned.search.weights, folds),
        cuts=dict(zip(track.classes, tuned.search.cuts.tolist(), strict=True)),
        thresholds=dict(zip(track.classes, threshold_of(tuned.search.cuts).tolist(), strict=True)),
        operations=dict(zip(track.classes, tuned.operations, strict=True)),
        scores=scores,
        coverage=len(entries),
        reason=tuned.search.reason,
    )
    _write_trials(folder / "trials.csv", members, tuned.search.candidates, tuned.search.candidate_scores)
    write_csv(folder / "neighbours.csv", neighbour_rows(track.classes, tuned.owners, tuned.false_positives))
    for sentence in worst_neighbours(track.classes, tuned.owners, tuned.areas):
        say(sentence)
    return decision, _class_rows(track, tuned)


def _reweighted(track: Track, per_image: NDArray[np.float64], entries: Sequence[Entry]) -> float | None:
    """The mean with the strata in the test's shares; what is left out of it, or why it can't be had, is said."""
    if track.test_mix is None:
        return None
    strata = [entry.stratum for entry in entries]
    if absent := [stratum for stratum in track.test_mix if stratum not in strata]:
        which = " and none ".join(absent)
        say(f"no score re-weighted to the test's mix: of {len(strata)} samples none is known to be {which}")
    elif unknown := sum(stratum not in track.test_mix for stratum in strata):
        say(f"the re-weighted score leaves out {unknown} of {len(strata)} samples whose stratum is not known")
    return reweighted_mean(per_image, strata, track.test_mix)


def _class_rows(track: Track, tuned: TunedSegmentation) -> list[dict[str, Any]]:
    rows = []
    for index, name in enumerate(track.classes):
        crossfit = None if tuned.crossfit is None else round(float(tuned.crossfit[:, index].mean()), 6)
        pooled = None if tuned.pooled_crossfit is None else round(float(tuned.pooled_crossfit[index]), 6)
        rows.append(
            {
                "class": name,
                "at_half": round(float(tuned.at_half[:, index].mean()), 6),
                "oof": round(float(tuned.oof[:, index].mean()), 6),
                "oof_crossfit": crossfit,
                "oof_crossfit_pooled": pooled,
                "threshold": round(float(threshold_of(tuned.search.cuts)[index]), 4),
                "optuna_threshold": round(float(threshold_of(tuned.study)[index]), 4),
                "operation": tuned.operations[index],
            }
        )
    return rows


def _write_trials(
    path: Path, members: Sequence[TrainedMember], candidates: NDArray[np.int64], scores: NDArray[np.float64]
) -> None:
    rows = [
        {member.name: weight / 1000 for member, weight in zip(members, weights, strict=True)} | {"score": float(score)}
        for weights, score in zip(candidates, scores, strict=True)
    ]
    write_csv(path, sorted(rows, key=lambda row: -row["score"]))
