"""vote: join submission files by a weighted vote. Needs neither maps nor prepared data."""

import argparse
from fractions import Fraction
from pathlib import Path
from typing import Any

from competition.console import say
from competition.data.manifest import image_sizes
from competition.errors import CompetitionError
from competition.masks.run_length_votes import quorum
from competition.submission.known_images import KnownImages
from competition.text import counted
from pipelines.context import open_track, prepared_workspaces
from pipelines.options import parse_fraction, parse_weights

HELP = "Join submission files by a weighted vote, in seconds: when only the submission files are left."
EXAMPLE = "./run.sh vote --track hand_bone A.csv B.csv C.csv --weights 2,1,1 --out V.csv"
FIGURES = {
    "submission": "Path of the new submission.",
    "members": "List of paths: the submissions that voted.",
    "weights": "List of numbers: their weights, which sum to 1.",
    "rows": "Whole number: rows, or files of a zip.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("submissions", type=Path, nargs="+", metavar="SUBMISSION", help="two files or more")
    parser.add_argument("--weights", metavar="W,W,...", help="one per file, in any scale (default: equal)")
    help_text = "share of the votes that a pixel, or a cell of 0 or 1, must exceed to be positive (default: 0.5)"
    parser.add_argument("--threshold", help=help_text)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="write the submission there")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Vote; see HELP.

    Returns:
        ``FIGURES``.
    """
    track, paths = open_track(args), list(args.submissions)
    if len(paths) < 2:
        raise CompetitionError("a vote takes two submissions or more")
    weights = (
        parse_weights(args.weights, len(paths), "submissions")
        if args.weights is not None
        else [Fraction(1)] * len(paths)
    )
    if args.out.resolve() in [path.resolve() for path in paths]:
        raise CompetitionError("--out is one of the submissions, which would be lost", args.out, "Give another name")
    if args.threshold is not None and not track.form.elects:
        what = (
            f"--threshold has no effect on submissions of {track.name}, which hold neither masks nor cells of 0 and 1"
        )
        raise CompetitionError(what, repair="Leave it out")
    election = quorum(weights, parse_fraction("0.5" if args.threshold is None else args.threshold, "--threshold"))
    shares = [float(weight / sum(weights)) for weight in weights]
    if args.weights and sum(weights) != 1:
        say(f"weights, normalised: {', '.join(f'{share:.4f}' for share in shares)}")
    images = KnownImages(sizes=image_sizes(*prepared_workspaces(args, track)))
    rows = track.form.vote(paths, election, track.classes, images, args.out)
    say(f"{len(paths)} submissions, {counted(rows, track.form.unit.removesuffix('s'))}: {args.out}")
    return {"submission": str(args.out), "members": [str(path) for path in paths], "weights": shares, "rows": rows}
