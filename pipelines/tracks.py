"""tracks: list the tracks and, with --check, test every one from raw files to a scored submission."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from competition.console import say, table
from competition.errors import CompetitionError
from competition.plugins import registered
from competition.tracks import get_track, track_names
from competition.tracks.track import Track
from pipelines.options import parse_folders
from pipelines.track_check import COLUMNS, DONE, Result, check_track, declared

HELP = (
    "List the tracks with their forms. --check tests each on very small synthetic data in a temporary workspace: draw\n"
    "and prepare every form of the raw data, train a network for one epoch, check and score its submission."
)
EXAMPLE = "./run.sh tracks --check --real cardiac=~/sunnybrook"
FIGURES = {
    "tracks": "Object: track -> cells (column -> text) and, with --check, seconds, samples, rows and scores.",
    "plugins": "List of text: what plugins have registered.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options; without --track it covers all tracks."""
    parser.add_argument("--check", action="store_true", help="test each track on synthetic data (a minute or two)")
    help_text = "with --check: prepare this real data too; repeatable"
    parser.add_argument("--real", action="append", default=[], metavar="TRACK=DIR", help=help_text)
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    parser.set_defaults(track=None)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """List or test the tracks; see HELP.

    Returns:
        ``FIGURES``.

    Raises:
        CompetitionError: A check failed; the table shows which.
    """
    tracks = [get_track(name) for name in ([args.track] if args.track else track_names())]
    real = _real_folders(args, tracks)
    results = [Result(track, declared(track)) for track in tracks]
    if args.check:
        for result in results:
            check_track(args, result, real.get(result.track.name, []))
    rows = [[result.cells[column] for column in COLUMNS] for result in results]
    if args.markdown:
        for cells in (list(COLUMNS), ["---"] * len(COLUMNS), *([f"`{name}`", *cells] for name, *cells in rows)):
            say(f"|{'|'.join(cells)}|" if cells[0] == "---" else f"| {' | '.join(cells)} |")
    else:
        hint = f"{DONE.strip()} just tested" if args.check else "as declared; ./run.sh tracks --check tests them"
        table(f"tracks ({hint})", COLUMNS, rows)
    if added := registered():
        say(f"added by plugins: {', '.join(added)}")
    if failures := [failure for result in results for failure in result.failures]:
        raise CompetitionError(f"{len(failures)} of these checks failed; the first: {failures[0]}")
    figures = {result.track.name: {"cells": result.cells, **result.figures} for result in results}
    return {"tracks": figures, "plugins": added}


def _real_folders(args: argparse.Namespace, tracks: Sequence[Track]) -> dict[str, list[Path]]:
    """Return track name -> folders of --real."""
    if args.real and not args.check:
        raise CompetitionError("--real names data to check", None, "Give --check with it")
    folders: dict[str, list[Path]] = {}
    for name, folder in parse_folders(args.real, "--real", "track", [track.name for track in tracks]):
        folders.setdefault(name, []).append(folder)
    return folders
