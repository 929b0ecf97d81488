"""review: rank labels that may be wrong, or images on which folds disagree, and export them for correction."""

import argparse
from pathlib import Path
from typing import Any

from competition.console import say, table
from competition.data.manifest import read_manifest
from competition.data.preparation.corrected_files import CORRECTED, TABLE
from competition.ensembling.current_decision import check_training_data
from competition.errors import CompetitionError
from competition.reporting.review_page import review_page
from competition.review.export import COCO_FILE, FORMS, PAGE, Reviewed, check_out
from competition.review.predictions import Predictions
from competition.review.ranking import BY_DISAGREEMENT, BY_ERROR, Review, rank_review, write_review
from competition.text import counted
from competition.tracks.track import Track
from pipelines.choose_decision import choose_decision
from pipelines.context import open_track, open_workspace
from pipelines.options import typed_options

HELP = "Rank labels that may be wrong, or test images on which folds disagree; export them to correct."
EXAMPLE = "./run.sh review --track hand_bone --first 20 --out corrections"
FIGURES = {
    "folder": "Path of the folder to correct.",
    "page": "Path of the page that shows what is exported.",
    "ranked": "Whole number: samples that were ranked.",
    "exported": "List of objects: what was exported, the first to review first (sample, class, reason, score).",
}

SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument(
        "--decision", metavar="NAME", help="compare with this decision (default: the newest; tune if there is none)"
    )
    parser.add_argument(
        "--by",
        choices=(BY_ERROR, BY_DISAGREEMENT),
        default=BY_ERROR,
        help="rank training samples by expected label error, or test samples by disagreement of folds "
        "(default: %(default)s)",
    )
    parser.add_argument("--first", type=int, default=20, metavar="N", help="export the first N (default: 20)")
    parser.add_argument("--form", choices=FORMS, default="labelme", help="of exported masks (default: labelme)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="write the files there, a new folder")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Review; see HELP.

    Returns:
        ``FIGURES``.
    """
    check_out(args.out)
    if args.first < 1:
        raise CompetitionError(f"--first {args.first}: at least one sample must be exported")
    track, workspace = open_track(args), open_workspace(args)
    path, decision = choose_decision(track, workspace, args.decision, None, typed_options(args))
    manifest = read_manifest(workspace, track)
    check_training_data(track, workspace, decision, path, manifest.of("train"))
    review = rank_review(track, workspace, decision, manifest, args.by)
    chosen = review.ranked[: args.first]
    predictions = Predictions(track, workspace, decision, manifest)
    write_review(predictions, chosen, args.out, args.form, review_page(predictions, chosen))
    _report(track, review, chosen, args)
    return {
        "folder": str(args.out),
        "page": str(args.out / PAGE),
        "ranked": len(review.ranked),
        "exported": [
            {"sample": each.entry.sample, "class": each.label, "reason": each.reason, "score": round(each.score, 6)}
            for each in chosen
        ],
    }


def _report(track: Track, review: Review, chosen: list[Reviewed], args: argparse.Namespace) -> None:
    rows = [[each.entry.name, each.label, f"{each.score:.3f}", each.reason] for each in chosen[:SHOWN]]
    title = f"to review first, of {counted(len(review.ranked), 'sample')} with any doubt"
    table(title, ["sample", "class", "score", "reason"], rows)
    say(f"{counted(len(chosen), 'sample')} exported to {args.out}")
    say(f"see why in a browser: {args.out / PAGE}")
    say(_how_to_correct(track, args))
    if args.by == BY_ERROR:
        say("the score says how unusual a label is; a weak network can be the reason, so look before you correct")
        say(f"then run ./run.sh prepare{typed_options(args)} --corrections {args.out}")
    else:
        say("prepare does not read labels of test images back; train on them only where the competition allows it:")
        say("add them to the training data with their labels, then run prepare and train")


def _how_to_correct(track: Track, args: argparse.Namespace) -> str:
    """Return which program opens the files."""
    if track.task == "classification":
        return f'correct with a spreadsheet: {args.out / TABLE}, column "{CORRECTED}"'
    if args.form == "coco":
        return f"correct with a program that reads COCO, such as CVAT: {args.out / COCO_FILE}"
    return f"correct with labelme (pipx install labelme): labelme {args.out}"
