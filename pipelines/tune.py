"""tune: everything that is chosen on out-of-fold predictions, frozen in one decision.json. Never sees test data."""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from competition.console import say, shout, table
from competition.data.folds import FULL, Folds, find_folds
from competition.data.manifest import Entry, read_manifest
from competition.ensembling.decision import Decision, Scores, save_decision
from competition.ensembling.leak_alarm import learned_by, too_good
from competition.ensembling.locations import NEVER
from competition.ensembling.members import TrainedMember, covered, open_member, parse_members, trained_runs
from competition.ensembling.thresholds import HALF, Window
from competition.ensembling.voters import find_voters
from competition.ensembling.voting import round_weights
from competition.errors import CompetitionError
from competition.tracks.track import Track
from competition.workspace import Workspace, whole_folder, write_csv
from pipelines.context import open_track, open_workspace
from pipelines.tune_classification import tune_classes
from pipelines.tune_segmentation import tune_pixels
from pipelines.tuned import weigh

HELP = "Chooses member weights, thresholds and post-processing on out-of-fold predictions, and says what to expect."
EXAMPLE = "./run.sh tune --track hand_bone --members quick,strong:0,1 --name both"

# With one member the whole range of thresholds is exact at no cost; with several, a pixel is only left out of the
# search where no admissible threshold could change it, so the range decides how many are left. Weak members contest
# more: then a narrower range is searched, in the end only their weights.
ALONE = ("0.05:0.95",)
TOGETHER = ("0.2:0.8", "0.35:0.65", "0.5:0.5")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument("--members", metavar="RUN[:FOLDS],...", help="who votes (default: all trained runs)")
    parser.add_argument("--name", metavar="NAME", help="name of the decision (default: the members', joined by +)")
    parser.add_argument("--trials", type=int, default=300, help="weight vectors to try (default: 300)")
    parser.add_argument(
        "--window",
        metavar="LOW:HIGH",
        help=f"thresholds that may be chosen (default: {ALONE[0]}; several members {TOGETHER[0]}, narrower where weak)",
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
    members = _open_members(workspace, folds, manifest.of("train"), args.members)
    find_voters(track.classes, [member.classes for member in members])  # every class needs one
    name = args.name or "+".join(member.name for member in members)
    entries = {entry.sample: entry for entry in learned_by(workspace, members, manifest.of("train"))}
    samples = covered(members, list(entries))
    chosen = [entries[sample] for sample in samples]
    say(f"{len(samples)} of {len(manifest.of('train'))} samples are covered by " + ", ".join(map(_describe, members)))
    rows: list[dict[str, Any]] = []
    with whole_folder(workspace.ensemble_folder(name)) as folder:
        if not samples:
            shout("no sample is covered by all members, so nothing can be tuned: equal weights at threshold 0.5")
            decision = _untuned(track, workspace, folds, members)
        elif track.task == "classification":
            decision, rows = tune_classes(track, workspace, folds, members, chosen, args.trials)
        else:
            given = (args.window,) if args.window else ALONE if len(members) == 1 else TOGETHER
            windows = [parse_window(text) for text in given]
            decision, rows = tune_pixels(track, workspace, folds, members, chosen, args.trials, windows, folder)
        if rows:
            write_csv(folder / "per_class.csv", rows)
        decision = decision.model_copy(update={"everything": args.members is None})
        save_decision(folder / "decision.json", decision)
    _say_scores(track, decision, rows)
    if track.metric == "auroc" and (alarm := too_good(decision.scores.oof or 0.0, workspace.phantom)):
        shout(alarm)
    path = workspace.ensemble_folder(name) / "decision.json"
    say(f"decision: {path}")
    return {
        "decision": str(path),
        "members": {member.name: member.weight / 1000 for member in decision.members},
        "thresholds": decision.thresholds,
        "gate": decision.gate,
        "operations": decision.operations,
        "coverage": decision.coverage,
        "per_class": {str(row["class"]): row for row in rows},
    } | decision.scores.model_dump()


def _open_members(
    workspace: Workspace, folds: Folds, training: Sequence[Entry], text: str | None
) -> list[TrainedMember]:
    runs = trained_runs(workspace)
    if text is None:
        if not runs:
            raise CompetitionError("no run is trained", workspace.run_folder("*").parent, "Run train first")
        say(f"members: {', '.join(runs)} (all trained runs; --members chooses)")
        return [open_member(workspace, folds, training, name, None) for name in runs]
    members = [open_member(workspace, folds, training, name, wanted) for name, wanted in parse_members(text).items()]
    for member in members:
        if FULL in member.folds:
            say(f"{member.name}: {FULL} learned from every sample, so nothing is tuned on it; it votes on test samples")
    return members


def parse_window(text: str) -> Window:
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
        members=weigh(members, round_weights(np.ones(len(members))).tolist(), folds),
        cuts=dict.fromkeys(track.classes, HALF) if segments else {},
        thresholds=half if segments else never,
        operations=dict.fromkeys(track.classes, "none") if segments else {},
        scores=Scores(fold_mean=None, fold_sd=None, oof=None, oof_crossfit=None, interval_low=None, interval_high=None),
        coverage=0,
        reason=reason,
    )


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
    if track.test_mix is not None:
        mix = ", ".join(f"{share:.0%} {stratum}" for stratum, share in track.test_mix.items())
        lines.append([f"re-weighted to the test's mix ({mix})", shown(scores.oof_reweighted)])
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
