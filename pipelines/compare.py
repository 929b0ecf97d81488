"""compare: show where two submissions differ, by class and by row."""

import argparse
from pathlib import Path
from typing import Any

from competition.console import say, table
from competition.data.manifest import image_sizes
from competition.submission.known_images import KnownImages
from pipelines.context import open_track, prepared_workspaces

HELP = "Show where two submissions differ: classes, rows, pixels."
EXAMPLE = "./run.sh compare --track hand_bone A.csv B.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("first", type=Path, metavar="A", help="a submission")
    parser.add_argument("second", type=Path, metavar="B", help="another one of the same images")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compare; see HELP.

    Returns:
        rows_that_differ and per_class; for masks also rows, pixels and dice (the mean over all rows).
    """
    track = open_track(args)
    images = KnownImages(sizes=image_sizes(*prepared_workspaces(args, track)))
    comparison = track.form.compare(args.first, args.second, track.classes, images)
    for shown in comparison.tables():
        table(shown.title, shown.columns, shown.rows)
    say(comparison.summary())
    return comparison.figures()
