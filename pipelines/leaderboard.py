"""leaderboard: rank all submissions by their cross-fitted score, and record the organiser's scores.

Each ranking holds one track, and either real or synthetic data.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from competition.console import say, table
from competition.errors import CompetitionError
from competition.metrics.metric import Metric
from competition.submission.leaderboard import rankings, record
from competition.submission.leaderboard_export import COLUMNS, check_export, export_rankings, printed_row, title_of
from competition.tracks import get_track, track_names
from competition.workspace import Workspace
from pipelines.context import open_track, workspace_root

HELP = "Rank all submissions; leaderboard record ID --public S --private S enters the organiser's scores"
EXAMPLE = "./run.sh leaderboard record 20261121-153012-strong --public 0.9730 --private 0.9733"
FIGURES = {
    "rankings": "List of objects: track, phantom and rows (columns of leaderboard.csv, null if unknown), best first.",
    "file": "Only with --out: path of the written table.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options; without --track it covers all tracks."""
    parser.add_argument("action", nargs="?", choices=("show", "record"), default="show", help="show (default), record")
    parser.add_argument("id", nargs="?", metavar="ID", help="with record: the submission")
    parser.add_argument("--public", type=float, metavar="SCORE", help="with record: the public score")
    parser.add_argument("--private", type=float, metavar="SCORE", help="with record: the private score")
    help_text = "write the rankings to a table too: FILE.csv with all columns and digits, or FILE.md as printed"
    parser.add_argument("--out", type=Path, metavar="FILE", help=help_text)
    parser.set_defaults(track=None)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Record scores, if asked to, and print the rankings.

    Returns:
        ``FIGURES``.
    """
    path = Workspace(workspace_root(args), args.track or "").leaderboard_file()
    if args.out is not None:
        check_export(args.out, path)
    if args.action == "record":
        if args.id is None:
            raise CompetitionError("record needs the id of a submission", path, f"For example: {EXAMPLE}")
        record(path, args.id, partial(_metric, args), args.public, args.private)
        say(f"recorded for {args.id}")
    elif args.public is not None or args.private is not None:
        raise CompetitionError("--public and --private are for leaderboard record", path, f"For example: {EXAMPLE}")
    everything = rankings(path)
    name = args.track
    if name is not None and name not in {track for track, _ in everything}:
        name = open_track(args).name  # a YAML file may hold another name; an unknown track is rejected
    found = {key: ranking for key, ranking in everything.items() if name in (None, key[0])}
    if not found:
        say(f"there are no submissions{'' if name is None else f' of {name}'} yet; make one with ./run.sh ensemble")
    listed = []
    for (track, phantom), ranking in found.items():
        table(title_of(track, phantom), COLUMNS, [printed_row(row) for row in ranking.to_dict("records")])
        rows = ranking.astype(object).where(ranking.notna(), None).to_dict("records")
        listed.append({"track": track, "phantom": phantom, "rows": rows})
    if args.out is None:
        return {"rankings": listed}
    export_rankings(args.out, found)
    say(f"leaderboard: {args.out}")
    return {"rankings": listed, "file": str(args.out)}


def _metric(args: argparse.Namespace, track: str) -> Metric:
    """Return the metric of the track of a submission; that of a file has to be named by --track."""
    if track in track_names():
        return get_track(track).metric
    if args.track is None or (given := open_track(args)).name != track:
        what = f"the metric of the track {track!r} says which scores are possible"
        raise CompetitionError(what, args.id, f"Add --track with the YAML or Python file of {track}")
    return given.metric
