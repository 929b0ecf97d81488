"""What ensemble prints once a submission is written: what to expect of it, and where it is."""

import argparse
from pathlib import Path
from typing import Any

from competition.console import say, shout
from competition.ensembling.decision import Decision
from competition.runs.out_of_fold_scores import not_measured
from competition.submission.leaderboard import Row
from competition.tracks.track import Track
from pipelines.options import typed_options
from pipelines.reports.tuning_report import operations_text, say_alone, say_expectation


def report_submission(
    args: argparse.Namespace, track: Track, decision: Decision, path: Path, row: Row, some_folds: bool, recorded: bool
) -> dict[str, Any]:
    """Print the scores and files of a submission, of a vote of ``some_folds`` or of all; return its figures."""
    say_alone(track, decision, typed_options(args))
    say_expectation(decision, some_folds, args.test is not None)
    if decision.operations:
        say(f"post-processing: {operations_text(decision)}")
    if decision.unmeasured:
        shout(not_measured(decision.unmeasured, decision.classes, f"none of the {decision.coverage} tuning samples"))
    if row.test_score is not None:
        say(f"score on the synthetic test samples: {row.test_score:.4f}")
    say(f"submission: {path}")
    if (preview := path.with_name("preview.png")).exists():
        say(f"preview: {preview}")
    if not recorded:
        say("not entered in the leaderboard, which is for all folds and the prepared test set (see --record)")
    if args.out is not None:
        say(f"copied to {args.out}")
    return {
        "submission": str(path),
        "id": row.id,
        "oof": row.cv_oof,
        "oof_crossfit": row.cv_crossfit,
        "test": row.test_score,
        "recorded": recorded,
    }
