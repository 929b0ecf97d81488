"""tune: everything that is chosen on out-of-fold predictions, frozen in one decision.json. Never sees test data."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from competition.console import say, shout
from competition.data.folds import FULL, Folds, find_folds
from competition.data.manifest import Entry, data_hash, read_manifest
from competition.ensembling.classification.locations import NEVER
from competition.ensembling.decision import Decision, Scores, save_decision
from competition.ensembling.segmentation.thresholds import HALF, Window
from competition.ensembling.segmentation.tuning import Search
from competition.ensembling.selection.weight_methods import METHODS
from competition.ensembling.voting.blend import round_weights
from competition.ensembling.voting.class_groups import declared_groups, one_group
from competition.ensembling.voting.class_votes import find_voters
from competition.ensembling.voting.combination import COMBINATIONS, Combination
from competition.errors import CompetitionError
from competition.files import whole_folder, write_csv
from competition.names import check_name, shortened_name
from competition.runs.leak_alarm import learned_by, too_good
from competition.runs.members import (
    Member,
    covered,
    is_imported,
    open_member,
    out_of_fold_folders,
    parse_members,
    trained_runs,
)
from competition.text import shown
from competition.tracks.track import Track
from competition.workspace import Workspace
from pipelines.alone_words import say_alone
from pipelines.context import open_track, open_workspace
from pipelines.given_weights import member_weights
from pipelines.tune_classification import tune_classes
from pipelines.tune_segmentation import tune_pixels
from pipelines.tuned import Rows, weigh
from pipelines.tuned_words import say_scores, say_worth
from pipelines.typed_options import typed_options

HELP = "Chooses member weights, thresholds and post-processing on out-of-fold predictions, and says what to expect."
EXAMPLE = "./run.sh tune --track hand_bone --members quick,strong:0,1 --name both"

# With one member, or given weights, the whole range of thresholds is exact at no cost; where weights are searched, a
# pixel is only left out of the search where no admissible threshold could change it, so the range decides how many are
# left. Weak members contest more: then a narrower range is searched, in the end only their weights.
ALONE = ("0.05:0.95",)
TOGETHER = ("0.2:0.8", "0.35:0.65", "0.5:0.5")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument("--members", metavar="RUN[:FOLDS],...", help="who votes (default: all trained runs)")
    parser.add_argument(
        "--weights", metavar="W,W,...", help="weights of --members, in any scale: nothing is searched (default: tuned)"
    )
    parser.add_argument("--name", metavar="NAME", help="name of the decision (default: the members', joined by +)")
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="optuna",
        help="how weights are searched: optuna spreads vectors evenly, greedy adds the member that helps most, "
        "equal does not search (default: optuna)",
    )
    parser.add_argument("--trials", type=int, default=300, help="weight vectors that optuna tries (default: 300)")
    parser.add_argument(
        "--by-group", action="store_true", help="weights of its own for each group of classes that the track declares"
    )
    parser.add_argument(
        "--combine",
        choices=COMBINATIONS,
        default="mean",
        help="classification: mean of the members' probabilities, of their logits, or of their ranks (default: mean)",
    )
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
    _check_options(args, track)
    class_groups = declared_groups(track) if args.by_group else one_group(len(track.classes))
    manifest = read_manifest(workspace, track)
    folds = find_folds(workspace)
    assert folds is not None  # a prepared data set has a fold file
    training = manifest.of("train")
    members = _open_members(workspace, folds, training, args.members)
    find_voters(track.classes, [member.classes for member in members])  # every class needs one
    folders = [out_of_fold_folders(workspace, member) for member in members]
    given = member_weights(args.weights, members, folders)
    name = shortened_name("+".join(member.name for member in members)) if args.name is None else args.name
    entries = {entry.sample: entry for entry in learned_by(workspace, members, training)}
    samples = covered(folders, list(entries))
    chosen = [entries[sample] for sample in samples]
    say(f"{len(samples)} of {len(training)} samples are covered by " + ", ".join(map(_describe, members)))
    rows: Rows = []
    worth: Rows = []
    with whole_folder(workspace.ensemble_folder(name), "decision.json") as folder:
        if not samples:
            whose = "equal" if given is None else "given"
            shout(f"no sample is covered by all members, so nothing can be tuned: {whose} weights at threshold 0.5")
            decision = _untuned(track, workspace, folds, members, args.combine, given)
        elif track.task == "classification":
            propose = METHODS[args.method](len(members), args.trials)
            decision, rows, worth = tune_classes(
                track, workspace, folds, members, folders, chosen, propose, args.combine, given, folder
            )
        else:
            windows = _windows(args.window, searched=len(members) > 1 and given is None)
            search = Search(args.method, args.trials, class_groups, windows, given)
            decision, rows, worth = tune_pixels(track, workspace, folds, members, folders, chosen, search, folder)
        if rows:
            write_csv(folder / "per_class.csv", rows)
            write_csv(folder / "members.csv", worth)
        method = args.method if given is None else "given"
        decision = decision.model_copy(
            update={"everything": args.members is None, "method": method, "data_hash": data_hash(training)}
        )
        save_decision(folder / "decision.json", decision)
    say_scores(track, decision, rows)
    say_alone(track, decision, typed_options(args))
    say_worth(track, worth)
    if track.metric == "auroc" and (alarm := too_good(decision.scores.oof or 0.0, workspace.phantom)):
        shout(alarm)
    path = workspace.decision_file(name)
    say(f"decision: {path}")
    return _figures(path, decision, rows, worth)


def _check_options(args: argparse.Namespace, track: Track) -> None:
    """Makes sure that the options fit each other and the track.

    Raises:
        CompetitionError: One of them has nothing to choose.
    """
    if args.name is not None:
        check_name(args.name, "a decision", "Give another --name")
    if args.trials < 1:
        raise CompetitionError(f"--trials {args.trials} tries nothing; --method equal searches no weights")
    if args.weights is not None and args.members is None:
        raise CompetitionError("--weights are those of --members, in their order, and --members is not given")
    if args.weights is not None and (args.by_group or args.method != "optuna"):
        raise CompetitionError("--weights are not searched, so --method and --by-group have nothing to choose")
    if track.task == "classification" and args.by_group:
        raise CompetitionError("--by-group is for masks; of scores only those of the first class are weighed")
    if track.task == "segmentation" and args.combine != "mean":
        raise CompetitionError(
            f"--combine {args.combine} is for scores of whole samples: maps are 8-bit, and most of their pixels are "
            "exactly 0 or 255, which have no logit and no rank of their own",
            repair="Leave --combine away",
        )


def _figures(path: Path, decision: Decision, rows: Rows, worth: Rows) -> dict[str, Any]:
    return {
        "decision": str(path),
        "members": {member.name: member.weight / 1000 for member in decision.members},
        "class_groups": {name: group.weights for name, group in decision.class_groups.items()},
        "worth": {str(row["member"]): row for row in worth},
        "thresholds": decision.thresholds,
        "gate": decision.gate,
        "operations": decision.operations,
        "coverage": decision.coverage,
        "per_class": {str(row["class"]): row for row in rows},
    } | decision.scores.model_dump()


def _open_members(workspace: Workspace, folds: Folds, training: Sequence[Entry], text: str | None) -> list[Member]:
    runs = trained_runs(workspace)
    if text is None:
        if not runs:
            raise CompetitionError("no run is trained", workspace.run_folder("*").parent, "Run ./run.sh train")
        say(f"members: {', '.join(runs)} (all trained runs; --members chooses)")
        return [open_member(workspace, folds, training, name, None) for name in runs]
    members = [open_member(workspace, folds, training, name, wanted) for name, wanted in parse_members(text).items()]
    for member in members:
        if FULL in member.folds and not is_imported(workspace, member.name):
            say(f"{member.name}: {FULL} learned from every sample, so nothing is tuned on it; it votes on test samples")
    return members


def _windows(text: str | None, searched: bool) -> list[Window]:
    """The windows of thresholds to try, one after the other."""
    if text is not None:
        return [parse_window(text)]
    return [parse_window(window) for window in (TOGETHER if searched else ALONE)]


def parse_window(text: str) -> Window:
    """Reads "0.2:0.8".

    Raises:
        CompetitionError: It is not two probabilities around 0.5.
    """
    low, _, high = text.partition(":")
    try:
        window = (float(low), float(high))
    except ValueError as error:
        raise CompetitionError(f"--window takes LOW:HIGH, for example 0.2:0.8, not {shown(text)}") from error
    if not 0 < window[0] <= 0.5 <= window[1] < 1:
        raise CompetitionError(f"--window must hold 0.5 and lie between 0 and 1, not {shown(text)}")
    return window


def _describe(member: Member) -> str:
    return f"{member.name} (folds {','.join(map(str, member.folds))})"


def _untuned(
    track: Track,
    workspace: Workspace,
    folds: Folds,
    members: Sequence[Member],
    combination: Combination,
    given: tuple[int, ...] | None,
) -> Decision:
    """Given or equal weights, threshold 0.5 (locations: never), no post-processing, no scores."""
    segments = track.task == "segmentation"
    reason = f"{'equal' if given is None else 'given'} weights: no sample is covered by all members"
    weights = given or round_weights(np.ones(len(members))).tolist()
    half, never = dict.fromkeys(track.classes, (HALF + 0.5) / 255), dict.fromkeys(track.classes[1:], NEVER)
    return Decision(
        track=track.name,
        dataset=workspace.dataset,
        task=track.task,
        classes=track.classes,
        members=weigh(members, weights),
        cuts=dict.fromkeys(track.classes, HALF) if segments else {},
        thresholds=half if segments else never,
        operations=dict.fromkeys(track.classes, "none") if segments else {},
        scores=Scores(fold_mean=None, fold_sd=None, oof=None, oof_crossfit=None, interval_low=None, interval_high=None),
        coverage=0,
        reason=reason,
        combine=combination,
    )
