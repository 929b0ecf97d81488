"""compare: where two submissions differ, by class and by row."""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from competition.console import say, table
from competition.submission.differences import compare_masks, compare_tables
from pipelines.check import image_sizes
from pipelines.context import open_track, prepared_workspaces

HELP = "Says where two submissions differ: classes, rows, pixels."
EXAMPLE = "./run.sh compare --track hand_bone A.csv B.csv"

SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument("first", type=Path, metavar="A.csv", help="a submission")
    parser.add_argument("second", type=Path, metavar="B.csv", help="another one of the same images")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compares; see HELP.

    Returns:
        rows, rows_that_differ and per_class; for masks also pixels and dice (the mean over all rows).
    """
    track = open_track(args)
    if track.submission == "table":
        columns = compare_tables(args.first, args.second, track.classes)
        changed = columns[columns.rows > 0]
        if len(changed):
            table(
                "columns that differ",
                ["class", "rows", "largest difference", "rank correlation"],
                changed.round(4).reset_index().to_numpy().tolist(),
            )
        say(f"{len(changed)} of {len(columns)} columns differ")
        per_class = {str(name): int(rows) for name, rows in columns.rows.items()}
        return {"rows_that_differ": int(columns.rows.max()), "per_class": per_class}
    differences = compare_masks(
        args.first, args.second, track.classes, image_sizes(*prepared_workspaces(args, track)), track.rle_form
    )
    by_class, rows = differences.by_class(), differences.table
    differing, pixels = int(by_class.rows.sum()), int(rows.only_a.sum() + rows.only_b.sum())
    if differing:
        _show_masks(by_class, rows)
    say(f"{differing} of {len(rows)} rows differ, by {pixels} pixels; Dice of the two {rows.dice.mean():.6f}")
    return {
        "rows": len(rows),
        "rows_that_differ": differing,
        "pixels": pixels,
        "dice": float(rows.dice.mean()),
        "per_class": {str(name): float(value) for name, value in by_class.dice.items()},
    }


def _show_masks(by_class: pd.DataFrame, rows: pd.DataFrame) -> None:
    columns_shown = ["only in A", "only in B", "Dice"]
    _show_least(
        "classes that agree least (pixels)",
        ["class", "rows that differ", *columns_shown],
        by_class.reset_index()[["class", "rows", "only_a", "only_b", "dice"]],
    )
    _show_least("rows that agree least (pixels)", ["image", "class", *columns_shown], rows)


def _show_least(title: str, columns: list[str], frame: pd.DataFrame) -> None:
    """Prints the rows of the smallest Dice."""
    least = frame.sort_values("dice", kind="stable").head(SHOWN)
    table(title, columns, least.assign(dice=least["dice"].map("{:.4f}".format)).to_numpy().tolist())
