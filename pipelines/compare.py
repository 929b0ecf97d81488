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
FIGURES = {
    "rows_that_differ": "Whole number: rows that differ; in tables of the column with the most.",
    "per_class": "Object: class -> mean Dice of both; in tables the number of rows that differ.",
    "rows": "Only for masks: whole number of rows.",
    "pixels": "Only for masks: whole number of pixels in one submission alone.",
    "objects_a": "Only for forms with a row per object: objects of the first submission.",
    "objects_b": "Only for forms with a row per object: objects of the second submission.",
    "equal_objects": "Only for forms with a row per object: objects with the same pixels in both.",
    "dice": "Only for masks: mean Dice of both over all rows, 0 to 1.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("first", type=Path, metavar="A", help="a submission")
    parser.add_argument("second", type=Path, metavar="B", help="another one of the same images")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compare; see HELP.

    Returns:
        ``FIGURES``.
    """
    track = open_track(args)
    images = KnownImages(sizes=image_sizes(*prepared_workspaces(args, track)))
    comparison = track.form.compare(args.first, args.second, track.classes, images)
    for shown in comparison.tables():
        table(shown.title, shown.columns, shown.rows)
    say(comparison.summary())
    return comparison.figures()
