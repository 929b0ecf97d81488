"""leaderboard: rank all submissions by their cross-fitted score, and record the organiser's scores.

Each ranking holds one track, and either real or synthetic data.
"""

import argparse
import re
from typing import Any

import pandas as pd

from competition.console import say, table
from competition.errors import CompetitionError
from competition.submission.leaderboard import rankings, record
from competition.workspace import Workspace
from pipelines.context import open_track, workspace_root

HELP = "Rank all submissions; leaderboard record ID --public S --private S enters the organiser's scores"
EXAMPLE = "./run.sh leaderboard record 20261121-153012-strong --public 0.9730 --private 0.9733"

COLUMNS = (
    *("id", "members x folds", "fold mean", "tuned", "cross-fitted", "95 %"),
    *("re-weighted", "test", "public", "private"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options; without --track it covers all tracks."""
    parser.add_argument("action", nargs="?", choices=("show", "record"), default="show", help="show (default), record")
    parser.add_argument("id", nargs="?", metavar="ID", help="with record: the submission")
    parser.add_argument("--public", type=float, metavar="SCORE", help="with record: the public score, 0 to 1")
    parser.add_argument("--private", type=float, metavar="SCORE", help="with record: the private score, 0 to 1")
    parser.set_defaults(track=None)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Record scores, if asked to, and print the rankings.

    Returns:
        rankings: one per track and kind of data, each with track, phantom and its rows, best first.
    """
    path = Workspace(workspace_root(args), args.track or "").leaderboard_file()
    if args.action == "record":
        if args.id is None:
            raise CompetitionError("record needs the id of a submission", path, f"For example: {EXAMPLE}")
        record(path, args.id, args.public, args.private)
        say(f"recorded for {args.id}")
    elif args.public is not None or args.private is not None:
        raise CompetitionError("scores are only entered by record", path, f"For example: {EXAMPLE}")
    everything = rankings(path)
    name = args.track
    if name is not None and name not in {track for track, _ in everything}:
        name = open_track(args).name  # a YAML file may hold another name; an unknown track is rejected
    found = {key: ranking for key, ranking in everything.items() if name in (None, key[0])}
    if not found:
        say(f"there are no submissions{'' if name is None else f' of {name}'} yet; make one with ./run.sh ensemble")
    shown = []
    for (track, phantom), ranking in found.items():
        title = f"{track}, synthetic data (PHANTOM)" if phantom else track
        table(title, COLUMNS, [_line(row) for row in ranking.to_dict("records")])
        rows = ranking.astype(object).where(ranking.notna(), None).to_dict("records")
        shown.append({"track": track, "phantom": phantom, "rows": rows})
    return {"rankings": shown}


def _line(row: dict[Any, Any]) -> list[str]:
    def number(name: str) -> str:
        return "-" if pd.isna(row[name]) else f"{row[name]:.4f}"

    # "quick:0,1,2" is exact, and too wide for a table
    members = re.sub(r":([\d,]+)", lambda folds: f" x{folds[1].count(',') + 1}", str(row["members"]))
    mean = f"{number('cv_fold_mean')} ±{number('cv_fold_sd')}"
    interval = f"{number('cv_low')}-{number('cv_high')}"
    others = map(number, ("cv_reweighted", "test_score", "public", "private"))
    return [row["id"], members, mean, number("cv_oof"), number("cv_crossfit"), interval, *others]
