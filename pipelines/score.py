"""score: score a submission against a truth with the competition's metric. Needs no prepared data.

The truth is a file in submission form, or a folder of labels in the track's own form.
"""

import argparse
from pathlib import Path
from typing import Any

from competition.console import say, shout
from competition.data.manifest import image_sizes
from competition.errors import CompetitionError
from competition.submission.form import Score
from competition.submission.known_images import KnownImages
from competition.text import counted, few, size_text
from competition.tracks.label_folder import LabelFolder
from competition.tracks.track import Track
from pipelines.context import open_track, prepared_workspaces
from pipelines.options import add_size
from pipelines.reports.score_report import (
    KINDS,
    known_to_prepare,
    pools_groups,
    report_interval,
    report_kinds,
    report_score,
)

HELP = "Score a submission with the competition's metric, overall and per class"
EXAMPLE = "./run.sh score --track cardiac submissions/cardiac/submission.csv data/cardiac/test/labels"
FIGURES = {
    "metric": "Text: the metric's name.",
    "score": "The score, as the competition computes it.",
    "per_class": "Object: class -> score; null where the class has none.",
    "rows": "Whole number: rows or files that were compared.",
    "accuracy": "Only for tables: share of correct cells of the locations, 0 to 1.",
    "all_zero_accuracy": "Only for tables: the same of a submission of zeros.",
    "cells_gained": "Only for tables: correct cells less those of a submission of zeros.",
    "count_score": "Only for metrics that are no count metric: the score by the one that proposes decisions.",
    "plane_accuracy": "Only for array zips: share of correct pixels of all planes, 0 to 1.",
    "all_background_accuracy": "Only for array zips: the same of an empty submission.",
    "per_stratum": "Only with --by stratum: stratum -> mean score.",
    "per_side": "Only with --by side: side -> mean score.",
    "interval": "Only with --bootstrap: low and high of the 95 % interval (or null), draws, groups and alone.",
}

# Run lengths do not contain the width of their image: read at a wrong width they are valid, and almost disjoint.
SUSPICIOUS_SCORE = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("submission", type=Path, metavar="SUBMISSION", help="score this CSV or zip (.npy or PNG)")
    help_text = "compare with this file in submission form, or folder of labels in the track's own form"
    parser.add_argument("truth", type=Path, metavar="TRUTH", help=help_text)
    add_size(parser, "size of every image, where labels are lists of points and the track's own size is wrong")
    parser.add_argument("--per-class", action="store_true", help="show all classes, not only the worst ten")
    parser.add_argument("--by", choices=list(KINDS), help="show also the score of each stratum or side")
    parser.add_argument("--bootstrap", type=int, metavar="N", help="show the 95 %% interval of N resamplings of groups")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score; see HELP.

    Returns:
        ``FIGURES``.
    """
    track = open_track(args)
    if args.bootstrap is not None and args.bootstrap < 1:
        raise CompetitionError(f"--bootstrap takes a number of draws such as 1000, not {args.bootstrap}")
    if not args.truth.exists():
        raise CompetitionError("no such file or folder", args.truth)
    result = _score(args, track)
    report_score(result, args.per_class)
    figures, workspaces = result.figures(), prepared_workspaces(args, track)
    if args.by is not None:
        figures[f"per_{args.by}"] = report_kinds(track, workspaces, result, args.by, args.submission)
    if args.bootstrap is not None:
        figures["interval"] = report_interval(track, workspaces, result, args.bootstrap)
    return figures


def _score(args: argparse.Namespace, track: Track) -> Score:
    workspaces = prepared_workspaces(args, track)
    known = image_sizes(*workspaces)
    groups = known_to_prepare(track, workspaces, "group") if pools_groups(track) else {}
    images = KnownImages(sizes={} if args.size else known, size_hw=args.size, groups=groups)
    truth = args.truth if args.truth.is_file() else LabelFolder(track, args.truth, args.size, known)
    result = track.form.score(args.submission, truth, track.classes, images, track.metric)
    if (sizes := result.label_sizes) and not args.truth.is_file():
        used = few(sorted({size_text(size) for size in sizes.values()}))
        say(f"truth: labels of {counted(len(sizes), 'image')} below {args.truth}, {used} pixels (rows x columns)")
        # Label pictures and prepared images have a known size: only a given or assumed one can be wrong.
        assumed = args.size is not None or (track.size_hw is not None and not set(sizes) <= set(known))
        if assumed and result.score < SUSPICIOUS_SCORE:
            shout(
                f"{track.metric.label} {result.score:.3f} suggests a wrong image size: check that the images have "
                f"{used} pixels, else give --size"
            )
    return result
