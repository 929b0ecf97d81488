"""tune: everything that is chosen on out-of-fold predictions, frozen in one decision.json. Never sees test data."""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.console import progress, say, shout, table
from competition.data.folds import Folds, find_folds
from competition.data.manifest import Entry, read_manifest, target_matrix
from competition.ensembling.classification import TunedClassification, tune_classification
from competition.ensembling.decision import Decision, Member, Scores, save_decision
from competition.ensembling.evidence import bootstrap_interval
from competition.ensembling.members import TrainedMember, covered, open_member, parse_members, trained_runs
from competition.ensembling.segmentation import OutOfFold, TunedSegmentation, tune_segmentation
from competition.ensembling.thresholds import HALF, NEVER, threshold_of
from competition.ensembling.weights import round_weights
from competition.errors import CompetitionError
from competition.tracks.track import Track
from competition.workspace import Workspace, whole_folder
from pipelines.context import open_track, open_workspace

HELP = "Chooses member weights, thresholds and post-processing on out-of-fold predictions, and says what to expect."
EXAMPLE = "./run.sh tune --track hand_bone --members quick,strong:0,1 --name both"

# With one member the whole range of thresholds is exact at no cost; with several, a pixel is only left out of the
# search where no admissible threshold could change it, so the range decides how many are left.
ALONE, TOGETHER = "0.05:0.95", "0.2:0.8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument("--members", metavar="RUN[:FOLDS],...", help="who votes (default: all trained runs)")
    parser.add_argument("--name", metavar="NAME", help="name of the decision (default: the members', joined by +)")
    parser.add_argument("--trials", type=int, default=300, help="weight vectors to try (default: 300)")
    parser.add_argument(
        "--window",
        metavar="LOW:HIGH",
        help=f"thresholds that may be chosen (default: {ALONE}, several members {TOGETHER})",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Tunes; see HELP.

    Returns:
        The honest numbers, the decision's path, weights and thresholds.
    """
    track, workspace = open_track(args), open_workspace(args)
    manifest = read_manifest(workspace, track)
    folds = find_folds(workspace)
    assert folds is not None  # a prepared data set has a fold file
    members = _open_members(workspace, folds, args.members)
    name = args.name or "+".join(member.name for member in members)
    entries = manifest.by_sample()
    samples = covered(members, [entry.sample for entry in manifest.of("train")])
    chosen = [entries[sample] for sample in samples]
    say(f"{len(samples)} of {len(manifest.of('train'))} samples are covered by " + ", ".join(map(_describe, members)))
    rows: list[dict[str, Any]] = []
    with whole_folder(workspace.ensemble_folder(name)) as folder:
        if not samples:
            shout("no sample is covered by all members, so nothing can be tuned: equal weights at threshold 0.5")
            decision = _untuned(track, workspace, folds, members)
        elif track.task == "classification":
            decision, rows = _tune_classes(track, workspace, folds, members, chosen, args.trials)
        else:
            window = parse_window(args.window or (ALONE if len(members) == 1 else TOGETHER))
            decision, rows = _tune_pixels(track, workspace, folds, members, chosen, args.trials, window, folder)
        if rows:
            _write_csv(folder / "per_class.csv", rows)
        save_decision(folder / "decision.json", decision)
    _say_scores(track, decision, rows)
    path = workspace.ensemble_folder(name) / "decision.json"
    say(f"decision: {path}")
    return {
        "decision": str(path),
        "members": {member.name: member.weight / 1000 for member in decision.members},
        "thresholds": decision.thresholds,
        "operations": decision.operations,
        "coverage": decision.coverage,
        "per_class": {str(row["class"]): row for row in rows},
    } | decision.scores.model_dump()


def _open_members(workspace: Workspace, folds: Folds, text: str | None) -> list[TrainedMember]:
    runs = trained_runs(workspace)
    if text is None:
        if not runs:
            raise CompetitionError("no run is trained", workspace.run_folder("*").parent, "Run train first")
        say(f"members: {', '.join(runs)} (all trained runs; --members chooses)")
        return [open_member(workspace, folds, name, None) for name in runs]
    return [open_member(workspace, folds, name, wanted) for name, wanted in parse_members(text).items()]


def parse_window(text: str) -> tuple[float, float]:
    """Reads "0.2:0.8".

    Raises:
        CompetitionError: It is not two probabilities around 0.5.
    """
    low, _, high = text.partition(":")
    try:
        window = (float(low), float(high))
    except ValueError as error:
        raise CompetitionError(f"--window takes LOW:HIGH, for example 0.2:0.8, not {text!r}") from error
    if not 0 < window[0] <= 0.5 <= window[1] < 1:
        raise CompetitionError(f"--window must hold 0.5 and lie between 0 and 1, not {text!r}")
    return window


def _describe(member: TrainedMember) -> str:
    return f"{member.name} (folds {','.join(map(str, member.folds))})"


def _tune_pixels(
    track: Track,
    workspace: Workspace,
    folds: Folds,
    members: Sequence[TrainedMember],
    entries: Sequence[Entry],
    trials: int,
    window: tuple[float, float],
    folder: Path,
) -> tuple[Decision, list[dict[str, Any]]]:
    fold_of = np.array([folds.fold_of[entry.group] for entry in entries])
    groups = [entry.group for entry in entries]
    data = OutOfFold(members, workspace, [entry.sample for entry in entries], fold_of, groups, len(track.classes))
    with progress("tuning", len(entries) * (1 + (len(members) > 1))) as ticker:
        tuned = tune_segmentation(data, window, trials, folder / "contested", ticker)
    if tuned.contested is not None:
        say(f"{tuned.contested:.2%} of the pixels are contested between thresholds {window[0]} and {window[1]}")
    say(tuned.search.reason)
    by_fold = [tuned.at_half[fold_of == fold].mean() for fold in np.unique(fold_of)]
    ranked = tuned.oof if tuned.crossfit is None else tuned.crossfit
    low, high = bootstrap_interval(ranked.mean(axis=1), groups, seed=0)
    scores = _scores(by_fold, tuned.oof.mean(), None if tuned.crossfit is None else tuned.crossfit.mean(), (low, high))
    decision = Decision(
        track=track.name,
        dataset=workspace.dataset,
        task="segmentation",
        classes=track.classes,
        members=_weighted(members, tuned.search.weights, folds),
        cuts=dict(zip(track.classes, tuned.search.cuts.tolist(), strict=True)),
        thresholds=dict(zip(track.classes, threshold_of(tuned.search.cuts).tolist(), strict=True)),
        operations=dict(zip(track.classes, tuned.operations, strict=True)),
        scores=scores,
        coverage=len(entries),
        reason=tuned.search.reason,
    )
    _write_trials(folder / "trials.csv", members, tuned.search.candidates, tuned.search.candidate_scores)
    return decision, _class_rows(track, tuned)


def _untuned(track: Track, workspace: Workspace, folds: Folds, members: Sequence[TrainedMember]) -> Decision:
    """Equal weights, threshold 0.5 (locations: never), no post-processing, no scores."""
    segments = track.task == "segmentation"
    reason = "equal weights: no sample is covered by all members"
    half, never = dict.fromkeys(track.classes, (HALF + 0.5) / 255), dict.fromkeys(track.classes[1:], NEVER)
    return Decision(
        track=track.name,
        dataset=workspace.dataset,
        task=track.task,
        classes=track.classes,
        members=_weighted(members, round_weights(np.ones(len(members))).tolist(), folds),
        cuts=dict.fromkeys(track.classes, HALF) if segments else {},
        thresholds=half if segments else never,
        operations=dict.fromkeys(track.classes, "none") if segments else {},
        scores=Scores(fold_mean=None, fold_sd=None, oof=None, oof_crossfit=None, interval_low=None, interval_high=None),
        coverage=0,
        reason=reason,
    )


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


def _tune_classes(
    track: Track,
    workspace: Workspace,
    folds: Folds,
    members: Sequence[TrainedMember],
    entries: Sequence[Entry],
    trials: int,
) -> tuple[Decision, list[dict[str, Any]]]:
    fold_of = np.array([folds.fold_of[entry.group] for entry in entries])
    groups = [entry.group for entry in entries]
    samples = [entry.sample for entry in entries]
    tuned = tune_classification(members, samples, track.classes, target_matrix(entries), fold_of, groups, trials)
    say(tuned.search.reason)
    crossfit = None if tuned.crossfit is None else tuned.crossfit.auroc
    scores = _scores(list(tuned.fold_aurocs.values()), tuned.oof.auroc, crossfit, tuned.interval or (None, None))
    decision = Decision(
        track=track.name,
        dataset=workspace.dataset,
        task="classification",
        classes=track.classes,
        members=_weighted(members, tuned.search.weights, folds),
        cuts={},
        thresholds=dict(zip(track.classes[1:], tuned.thresholds.tolist(), strict=True)),
        operations={},
        scores=scores,
        coverage=len(entries),
        reason=tuned.search.reason,
    )
    _say_locations(tuned)
    return decision, _location_rows(track, entries, tuned)


def _say_locations(tuned: TunedClassification) -> None:
    honest = tuned.oof if tuned.crossfit is None else tuned.crossfit
    used = f"{np.sum(tuned.thresholds < NEVER)} of {len(tuned.thresholds)} locations are ever 1"
    gained = f"{honest.cells_gained:+.0f} cells gained"
    say(f"locations: accuracy {honest.accuracy:.5f}, all zero {honest.all_zero_accuracy:.5f}: {gained}; {used}")


def _location_rows(track: Track, entries: Sequence[Entry], tuned: TunedClassification) -> list[dict[str, Any]]:
    positives = target_matrix(entries).sum(axis=0)
    aurocs = (tuned.oof.auroc, *tuned.oof.location_aurocs)
    thresholds = [None, *(round(float(value), 4) for value in tuned.thresholds)]
    return [
        {"class": name, "positives": int(count), "auroc": _number(value), "threshold": threshold}
        for name, count, value, threshold in zip(track.classes, positives, aurocs, thresholds, strict=True)
    ]


def _weighted(members: Sequence[TrainedMember], weights: Sequence[int], folds: Folds) -> tuple[Member, ...]:
    return tuple(
        Member(name=m.name, folds=m.folds, weight=weight, config_hash=m.config_hash, fold_hash=folds.hash())
        for m, weight in zip(members, weights, strict=True)
    )


def _scores(
    by_fold: Sequence[float], oof: float, crossfit: float | None, interval: tuple[float | None, float | None]
) -> Scores:
    """The honest numbers; with one member of a ranking metric nothing was tuned, so ``crossfit`` may equal ``oof``."""
    return Scores(
        fold_mean=_number(np.mean(by_fold)) if by_fold else None,
        fold_sd=_number(np.std(by_fold, ddof=1)) if len(by_fold) > 1 else None,
        oof=_number(oof),
        oof_crossfit=None if crossfit is None else _number(crossfit),
        interval_low=interval[0],
        interval_high=interval[1],
    )


def _number(value: float | np.floating[Any]) -> float | None:
    """A figure for JSON, where NaN does not exist."""
    return None if np.isnan(value) else float(value)


def _say_scores(track: Track, decision: Decision, rows: Sequence[dict[str, Any]]) -> None:
    scores = decision.scores
    measure = "Dice" if track.metric == "dice" else "AUROC"

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    spread = "" if scores.fold_sd is None else f" +- {scores.fold_sd:.4f}"
    lines = [
        ["fold mean at threshold 0.5", shown(scores.fold_mean) + spread],
        ["out-of-fold, tuned (optimistic)", shown(scores.oof)],
        ["out-of-fold, cross-fitted (rank by this)", shown(scores.oof_crossfit)],
        ["95 % interval (groups drawn)", f"{shown(scores.interval_low)} .. {shown(scores.interval_high)}"],
    ]
    pooled = [row["oof_crossfit_pooled"] for row in rows if row.get("oof_crossfit_pooled") is not None]
    if pooled:
        lines.append(["cross-fitted, pixels pooled over images", f"{np.mean(pooled):.4f}"])
    table(f"{measure} on {decision.coverage} samples", ["honest numbers", measure], lines)
    if scores.oof_crossfit is None and scores.oof is not None:
        say("with one fold nothing can be cross-fitted: the tuned figure was chosen on the samples it is measured on")
    weights = ", ".join(f"{member.name} {member.weight / 1000:.3f}" for member in decision.members)
    say(f"weights: {weights}")
    if track.task == "segmentation":
        moved = [row for row in rows if decision.cuts[str(row["class"])] != HALF or row["operation"] != "none"]
        say(f"{len(moved)} of {len(rows)} classes have a threshold other than 0.5 or post-processing (per_class.csv)")


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_trials(
    path: Path, members: Sequence[TrainedMember], candidates: NDArray[np.int64], scores: NDArray[np.float64]
) -> None:
    rows = [
        {member.name: weight / 1000 for member, weight in zip(members, weights, strict=True)} | {"score": float(score)}
        for weights, score in zip(candidates, scores, strict=True)
    ]
    _write_csv(path, sorted(rows, key=lambda row: -row["score"]))
