"""ensemble: test images -> a validated submission and its leaderboard row. Decides nothing: decision.json does.

A vote of some folds and a test set that came later are not what the decision's scores are of: such a submission has its
own expectation, and enters the leaderboard only where that is asked for.
"""

import argparse
import hashlib
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from competition.console import say, shout
from competition.data.folds import FULL, Fold, find_folds, read_fold_names
from competition.data.manifest import data_hash, read_manifest
from competition.ensembling.decision import Decision, load_decision
from competition.errors import CompetitionError
from competition.files import sweep_below, whole_file, write_json
from competition.installation import CHECKOUT, REPOSITORY
from competition.names import check_name
from competition.runs.finished import finished_at
from competition.runs.members import (
    check_same_data,
    check_trained,
    finished_folds,
    parse_members,
    split_member,
    trained_runs,
)
from competition.runs.test_predictions import predict_test_set
from competition.submission.leaderboard import Row, append, new_submission_id
from competition.tracks.track import Track
from competition.workspace import Workspace
from pipelines import tune
from pipelines.alone_words import operations_text, say_alone
from pipelines.context import open_track, open_workspace
from pipelines.expectation import expect_of_folds, say_expectation
from pipelines.late_test_set import find_test_samples
from pipelines.submission import score_phantom, write_submission
from pipelines.tuned_words import not_measured
from pipelines.typed_options import typed_options
from pipelines.unreadable import add_fill_bad

HELP = "Predicts the test images with all members, votes, validates, and enters the submission in the leaderboard."
EXAMPLE = "./run.sh ensemble --track hand_bone --decision quick --out submission.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument(
        "--decision", metavar="NAME", help="what tune chose (default: the newest; tunes if there is none)"
    )
    parser.add_argument("--members", metavar="RUN,...", help="stop if the decision has other members than these")
    parser.add_argument("--folds", metavar="F,...", help="let only these folds of each member vote")
    parser.add_argument(
        "--test", type=Path, metavar="DIR", help="a test set that came later, instead of the prepared one"
    )
    parser.add_argument(
        "--record", action="store_true", help="enter the submission in the leaderboard also with --folds or --test"
    )
    add_fill_bad(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="also copy the submission there")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Makes a submission; see HELP.

    Returns:
        The submission's path, the out-of-fold scores of what votes, the test score where the truth is here, and whether
        it was entered in the leaderboard.
    """
    track, workspace = open_track(args), open_workspace(args)
    if args.out is not None and args.out.is_dir():
        raise CompetitionError("--out is a folder", args.out, f"Name a file in it, such as x{track.submission_ending}")
    decision_file, decision = _find_decision(args, workspace)
    tuned, decision = decision, _only_folds(decision, args.folds)
    some_folds = decision.members != tuned.members
    _check_same_data(args, track, workspace, decision, decision_file)
    start = time.perf_counter()
    prepared, entries = find_test_samples(args, track, workspace)
    folders = [predict_test_set(track, prepared, workspace, member, entries) for member in decision.members]
    if some_folds:
        decision = expect_of_folds(track, workspace, decision)
    moment = datetime.now().astimezone()
    name = decision_file.parent.name
    submission_id = new_submission_id(workspace.leaderboard_file(), workspace.submissions_folder(), name, moment)
    path = workspace.submission_file(submission_id, track.submission_ending)
    sweep_below(workspace.submissions_folder())
    write_submission(track, decision, prepared, folders, entries, path)
    per_sample = (time.perf_counter() - start) / len(entries)
    say(f"{len(entries)} test samples, {per_sample:.2f} s each from image to row")
    drawn = workspace.phantom and args.test is None
    test_score = score_phantom(track, read_manifest(workspace, track), path) if drawn else None
    for copy in filter(None, (workspace.latest_submission_file(track.submission_ending), args.out)):
        with whole_file(copy) as part:
            shutil.copyfile(path, part)
    row = _leaderboard_row(submission_id, moment, track, workspace, decision, decision_file, path, test_score)
    write_json(path.parent / "manifest.json", vars(row) | {"decision": decision.model_dump(mode="json")})
    recorded = args.record or not (some_folds or args.test is not None)
    if recorded:
        append(workspace.leaderboard_file(), row)
    say_alone(track, decision, typed_options(args))
    if decision.operations:
        say(f"post-processing: {operations_text(decision)}")
    say_expectation(decision, some_folds, args.test is not None)
    _say_result(decision, path, test_score)
    if not recorded:
        say("not entered in the leaderboard, whose scores are of all folds and the prepared test set (see --record)")
    if args.out is not None:
        say(f"copied to {args.out}")
    return {
        "submission": str(path),
        "id": submission_id,
        "samples": len(entries),
        "seconds_per_sample": round(per_sample, 4),
        "oof": decision.scores.oof,
        "oof_crossfit": decision.scores.oof_crossfit,
        "test": test_score,
        "recorded": recorded,
    }


def _find_decision(args: argparse.Namespace, workspace: Workspace) -> tuple[Path, Decision]:
    """The decision of --decision, else the newest, else one that is tuned now."""
    if args.decision is not None:
        check_name(args.decision, "a decision", "Give the name of a decision, not its path, with --decision")
        path = workspace.decision_file(args.decision)
        if not path.exists():
            known = ", ".join(file.parent.name for file in workspace.decision_files())
            repair = None if known else f"Run ./run.sh tune --name {args.decision}"
            raise CompetitionError(f"no decision {args.decision!r} (there are: {known or 'none'})", path, repair)
    else:
        path = _newest_decision(args, workspace)
    decision = load_decision(path)
    if args.members is not None and not _is_on(decision, parse_members(args.members)):
        for name in parse_members(args.members):
            check_trained(workspace, name)
        voting = (member.with_folds() for member in decision.members)
        raise CompetitionError(
            f"decision has the members {','.join(voting)}, not {args.members}",
            path,
            f"Run ./run.sh tune --members {args.members}, or name another one with --decision",
        )
    folds = find_folds(workspace)
    if folds is not None and any(member.fold_hash != folds.hash() for member in decision.members):
        shout(
            f"decision {path.parent.name} was tuned on other folds than {folds.path} has now: its scores are of those"
        )
    return path, decision


def _check_same_data(
    args: argparse.Namespace, track: Track, workspace: Workspace, decision: Decision, decision_file: Path
) -> None:
    """Refuses a decision, or a member, that was made of other training data than is prepared now.

    Where nothing is prepared (--test on a machine that has the runs alone) nothing could have changed.
    """
    if args.test is not None and not workspace.manifest_file().exists():
        return
    training = read_manifest(workspace, track).of("train")
    for member in decision.members:
        check_same_data(workspace, member.name, member.folds, training)
    if decision.data_hash not in ("", data_hash(training)):  # decisions of earlier versions do not say
        raise CompetitionError(
            "images or labels have changed since this was tuned",
            decision_file,
            f"Run ./run.sh tune --name {decision_file.parent.name}",
        )


def _is_on(decision: Decision, members: Mapping[str, Sequence[Fold] | None]) -> bool:
    """Whether these members and no others vote, each with these folds where folds are named."""
    if list(members) != [member.name for member in decision.members]:
        return False
    return all(members[member.name] in (None, member.folds) for member in decision.members)


def _newest_decision(args: argparse.Namespace, workspace: Workspace) -> Path:
    """The newest decision; tunes where there is none, or where it was to know everything and there is more now."""
    made = workspace.decision_files()
    if not made:
        say("nothing is tuned yet, so tune runs first")
        return Path(tune.run(_tune_arguments(args, []))["decision"])
    path = max(made, key=lambda file: load_decision(file).created)
    decision = load_decision(path)
    new = _trained_since(decision, workspace)
    if new and decision.everything and args.members is None:
        say(f"trained since decision {path.parent.name} was tuned: {new}; tune runs again")
        return Path(tune.run(_tune_arguments(args, tune_options(decision)))["decision"])
    say(f"decision: {path.parent.name} (the newest; --decision NAME chooses another)")
    if new:
        shout(f"trained since this decision was tuned: {new}; run tune with them to let them vote")
    return path


def _trained_since(decision: Decision, workspace: Workspace) -> str:
    """Runs and folds that were finished after a decision and are not in it: "quick (folds 1,2)"; "" for none.

    A model of all samples is no news: it votes only where it is named.
    """
    voting = {(split_member(member.name)[0], fold) for member in decision.members for fold in member.folds}
    found = []
    for run in trained_runs(workspace):
        new = [
            fold
            for fold in finished_folds(workspace, run)
            if fold != FULL
            and (run, fold) not in voting
            and finished_at(workspace.fold_folder(run, fold)) > decision.created
        ]
        if new:
            found.append(f"{run} (folds {','.join(map(str, new))})")
    return ", ".join(found)


def tune_options(decision: Decision) -> list[str]:
    """The options of tune that a decision on all runs was made with."""
    by_group = ["--by-group"] if decision.class_groups else []
    return ["--combine", decision.combine, "--method", decision.method, *by_group]


def _tune_arguments(args: argparse.Namespace, options: Sequence[str]) -> argparse.Namespace:
    """The arguments of a tuning with some of its options, of the members that were asked for."""
    parser = argparse.ArgumentParser()
    tune.add_arguments(parser)
    members = [] if args.members is None else ["--members", args.members]
    tuning = parser.parse_args([*members, *options])
    return argparse.Namespace(**vars(args) | vars(tuning))


def _only_folds(decision: Decision, text: str | None) -> Decision:
    if text is None:
        return decision
    wanted = read_fold_names(text, "--folds")
    voting = {fold for member in decision.members for fold in member.folds}
    if strange := [str(fold) for fold in wanted if fold not in voting]:
        known = ", ".join(member.with_folds() for member in decision.members)
        raise CompetitionError(f"--folds {text}: no member has fold {', '.join(strange)} ({known})")
    members = []
    for member in decision.members:
        kept = tuple(fold for fold in member.folds if fold in wanted)
        if not kept:
            raise CompetitionError(f"member {member.with_folds()} has none of the folds {text}")
        members.append(member.model_copy(update={"folds": kept}))
    say(f"only folds {text} vote")
    return decision.model_copy(update={"members": tuple(members)})


def _leaderboard_row(
    submission_id: str,
    moment: datetime,
    track: Track,
    workspace: Workspace,
    decision: Decision,
    decision_file: Path,
    path: Path,
    test_score: float | None,
) -> Row:
    scores = decision.scores
    return Row(
        id=submission_id,
        time=moment.isoformat(timespec="seconds"),
        track=track.name,
        phantom=workspace.phantom,
        members="+".join(member.with_folds() for member in decision.members),
        weights=_written_weights(decision),
        cv_fold_mean=scores.fold_mean,
        cv_fold_sd=scores.fold_sd,
        cv_oof=scores.oof,
        cv_crossfit=scores.oof_crossfit,
        cv_low=scores.interval_low,
        cv_high=scores.interval_high,
        cv_reweighted=scores.oof_reweighted,
        test_score=test_score,
        git_commit=_git_commit(),
        config_hash=hashlib.sha256(decision_file.read_bytes()).hexdigest()[:10],
        file_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _written_weights(decision: Decision) -> str:
    """The members' weights joined by "+"; of class groups "fingers 0.5+0.5, carpals 1+0"."""

    def joined(weights: Iterable[int]) -> str:
        return "+".join(f"{weight / 1000:g}" for weight in weights)

    groups = decision.class_groups.items()
    by_group = [f"{name} {joined(group.weights[m.name] for m in decision.members)}" for name, group in groups]
    return ", ".join(by_group) or joined(decision.weights())


def _git_commit() -> str:
    """The commit of the code, with a + where files were changed since; empty outside of a git checkout."""
    if not CHECKOUT:  # an environment may lie in the checkout of another project
        return ""
    try:
        command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _say_result(decision: Decision, path: Path, test_score: float | None) -> None:
    if decision.unmeasured:
        shout(not_measured(decision.unmeasured, decision.classes, f"none of the {decision.coverage} tuning samples"))
    if test_score is not None:
        say(f"synthetic test samples, whose truth is known: {test_score:.4f}")
    say(f"submission: {path}")
    if (preview := path.with_name("preview.png")).exists():
        say(f"its masks as a picture: {preview}")
