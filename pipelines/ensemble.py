"""ensemble: predict test images; write a valid submission and its leaderboard row. All choices are in decision.json.

The decision's scores do not apply to a vote of some folds, nor to a later test set: such a submission has its own
expected score, and enters the leaderboard only by --record.
"""

import argparse
import shutil
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from competition.console import say
from competition.data.folds import read_fold_names
from competition.data.manifest import read_manifest
from competition.data.preparation.read_samples import find_test_samples
from competition.ensembling.current_decision import check_training_data, only_folds
from competition.ensembling.decision import Decision
from competition.ensembling.expectation import expect_of_folds
from competition.ensembling.submission import leaderboard_row, score_phantom, write_submission
from competition.errors import CompetitionError
from competition.files import sweep_below, whole_file, write_json
from competition.submission.leaderboard import Row, append, new_submission_id
from competition.text import counted
from competition.tracks.track import Track
from competition.workspace import Workspace
from pipelines.choose_decision import choose_decision
from pipelines.context import open_track, open_workspace
from pipelines.options import add_fill_bad, folder_or_address, typed_options
from pipelines.part_predictions import add_parts, chosen_part, predict_members
from pipelines.reports.drawn_report import draw_report
from pipelines.reports.submission_report import report_submission

HELP = "Predict the test images with all members, vote, validate, and enter the submission in the leaderboard."
EXAMPLE = "./run.sh ensemble --track hand_bone --decision quick --out submission.csv"
FIGURES = {
    "submission": "Path of the submission; null with --part, as are all others but samples.",
    "id": "Text: the submission's id on the leaderboard.",
    "samples": "Whole number: test samples, with --part those of the part.",
    "seconds_per_sample": "Seconds of predicting, voting and writing per test sample.",
    "oof": "Out-of-fold score of this vote after tuning, which is optimistic; null where it is unknown.",
    "oof_crossfit": "Cross-fitted out-of-fold score of this vote: rank by this; null where it is unknown.",
    "test": "Score on the test samples, for synthetic data; null where the truth is unknown.",
    "recorded": "Whether it was entered in the leaderboard.",
    "report": "Path of the report; null where none was written.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--decision", metavar="NAME", help="use this decision (default: the newest, else tune)")
    parser.add_argument("--members", metavar="RUN,...", help="stop if the decision has other members")
    parser.add_argument("--folds", metavar="F,...", help="let only these folds of each member vote")
    help_text = "use a later test set instead of the prepared one: a folder, or s3://, gs://, https://....zip"
    parser.add_argument("--test", type=folder_or_address, metavar="DIR", help=help_text)
    help_text = "enter the submission in the leaderboard even with --folds or --test"
    parser.add_argument("--record", action="store_true", help=help_text)
    add_fill_bad(parser)
    parser.add_argument(
        "--no-report", action="store_true", help="skip the report (./run.sh report), which takes some ten seconds"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="also copy the submission there")
    add_parts(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Make a submission; see HELP.

    Returns:
        ``FIGURES``.
    """
    track, workspace = open_track(args), open_workspace(args)
    if args.out is not None and args.out.is_dir():
        raise CompetitionError("--out is a folder", args.out, f"Give a file in it, such as x{track.form.ending}")
    decision_file, decision, some_folds = _choose(args, track, workspace)
    start, name = time.perf_counter(), decision_file.parent.name
    prepared, entries = find_test_samples(track, workspace, args.test, args.fill_bad, chosen_part(args))
    folders = predict_members(args, track, prepared, workspace, name, decision, entries)
    if args.part is not None:
        say(f"part {args.part}: {counted(len(entries), 'test sample')} predicted")
        return dict.fromkeys(FIGURES) | {"samples": len(entries)}
    if some_folds:
        decision = expect_of_folds(track, workspace, decision)
    moment = datetime.now().astimezone()
    submission_id, path = _new_submission(track, workspace, name, moment)
    write_submission(track, decision, prepared, folders, entries, path)
    per_sample = (time.perf_counter() - start) / len(entries)
    say(f"{counted(len(entries), 'test sample')}: {per_sample:.2f} s per test sample")
    drawn = workspace.phantom and args.test is None
    test_score = score_phantom(track, read_manifest(workspace, track), path) if drawn else None
    row = leaderboard_row(submission_id, moment, decision, decision_file, path, test_score)
    recorded = args.record or not (some_folds or args.test is not None)
    _store(args, track, workspace, decision, path, row, recorded)
    figures = report_submission(args, track, decision, path, row, some_folds, recorded)
    drawn_too = recorded and args.test is None and not args.no_report
    report = draw_report(track, workspace, name, typed_options(args)) if drawn_too else None
    figures |= {"samples": len(entries), "seconds_per_sample": round(per_sample, 4), "report": report}
    return {name: figures[name] for name in FIGURES}


def _choose(args: argparse.Namespace, track: Track, workspace: Workspace) -> tuple[Path, Decision, bool]:
    """Return the decision's file, the decision, and whether only some of its folds vote."""
    path, tuned = choose_decision(track, workspace, args.decision, args.members, typed_options(args))
    decision = tuned
    if args.folds is not None:
        decision = only_folds(tuned, read_fold_names(args.folds, "--folds"), args.folds)
        say(f"only folds {args.folds} vote")
    # Without prepared data (--test on a machine that has only the runs) nothing can have changed.
    if args.test is None or workspace.manifest_file().exists():
        check_training_data(track, workspace, decision, path, read_manifest(workspace, track).of("train"))
    return path, decision, decision.members != tuned.members


def _new_submission(track: Track, workspace: Workspace, name: str, moment: datetime) -> tuple[str, Path]:
    """Return the id and the file of a new submission; remove what killed processes left beside the others."""
    submission_id = new_submission_id(workspace.leaderboard_file(), workspace.submissions_folder(), name, moment)
    sweep_below(workspace.submissions_folder())
    return submission_id, workspace.submission_file(submission_id, track.form.ending)


def _store(
    args: argparse.Namespace,
    track: Track,
    workspace: Workspace,
    decision: Decision,
    path: Path,
    row: Row,
    recorded: bool,
) -> None:
    """Copy a submission, write its decision beside it, and enter it in the leaderboard if it is to be recorded."""
    for copy in filter(None, (workspace.latest_submission_file(track.form.ending), args.out)):
        with whole_file(copy) as part:
            shutil.copyfile(path, part)
    write_json(path.parent / "manifest.json", vars(row) | {"decision": decision.model_dump(mode="json")})
    if recorded:
        append(workspace.leaderboard_file(), row)
