"""vote: joins finished submission files by weighted vote. Needs no maps, no prepared data and draws no pixel."""

import argparse
from fractions import Fraction
from pathlib import Path
from typing import Any

from competition.console import progress, say
from competition.errors import CompetitionError
from competition.masks.run_length_votes import quorum
from competition.submission.file_votes import read_alike, vote_on_masks, vote_on_tables
from competition.submission.submission_files import ID_COLUMN, write_rle_csv, write_table_csv
from pipelines.check import image_sizes
from pipelines.context import open_track, prepared_workspaces
from pipelines.given_weights import parse_fraction, parse_weights

HELP = "Joins submission files by a weighted vote, in seconds: where only the files of other runs are left."
EXAMPLE = "./run.sh vote --track hand_bone A.csv B.csv C.csv --weights 2,1,1 --out V.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument("submissions", type=Path, nargs="+", metavar="SUBMISSION.csv", help="two files or more")
    parser.add_argument("--weights", metavar="W,W,...", help="one per file, in any scale (default: equal)")
    parser.add_argument(
        "--threshold", default="0.5", help="a pixel is taken where more than this share votes for it (default: 0.5)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the submission to write")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Votes; see HELP.

    Returns:
        submission, members, weights (summing to 1), rows.
    """
    track, paths = open_track(args), list(args.submissions)
    weights = _weights(args.weights, len(paths))
    if args.out.resolve() in [path.resolve() for path in paths]:
        raise CompetitionError("--out is one of the submissions, which would be lost", args.out, "Give another name")
    election = quorum(weights, parse_fraction(args.threshold, "--threshold"))
    shares = [float(weight / sum(weights)) for weight in weights]
    if args.weights and sum(weights) != 1:
        say(f"weights, normalised: {', '.join(f'{share:.4f}' for share in shares)}")
    if track.submission == "table":
        patients, values = vote_on_tables(paths, track.classes, weights, election)
        write_table_csv(args.out, ID_COLUMN, patients, track.classes, values)
        rows = len(patients)
    else:
        files, sizes = read_alike(paths, track.classes, track.rle_form), image_sizes(*prepared_workspaces(args, track))
        rows = len(files[0])
        with progress("voting", rows // len(track.classes)) as ticker:
            voted = vote_on_masks(paths, files, track.classes, election, sizes)
            write_rle_csv(args.out, ticker.ticking(voted, len(track.classes)), track.classes, track.rle_form)
    say(f"{len(paths)} submissions, {rows} rows: {args.out}")
    return {"submission": str(args.out), "members": [str(path) for path in paths], "weights": shares, "rows": rows}


def _weights(text: str | None, count: int) -> list[Fraction]:
    if count < 2:
        raise CompetitionError("a vote takes two submissions or more")
    if text is None:
        return [Fraction(1)] * count
    return parse_weights(text, count, "submissions")
