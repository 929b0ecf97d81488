"""report: write one HTML page on the training, the results, the ensemble and the leaderboard."""

import argparse
import webbrowser
from typing import Any

from competition.console import say
from competition.reporting.report import make_report
from pipelines.context import open_track, open_workspace
from pipelines.options import typed_options

HELP = "Write a report as one HTML page that needs no network: training, results, ensemble, leaderboard."
EXAMPLE = "./run.sh report --track hand_bone --decision quick --open"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--decision", metavar="NAME", help="report on this decision (default: the newest)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the report; see HELP.

    Returns:
        The page, its size in bytes, and for each section the names of its figures and what is missing.
    """
    track, workspace = open_track(args), open_workspace(args)
    page, report = make_report(track, workspace, args.decision, typed_options(args))
    for section in report.sections:
        for line in section.missing.splitlines():
            say(f"{section.title}: {line}")
    say(f"report: {page}")
    if args.open:
        webbrowser.open(page.resolve().as_uri())
    sections = {
        section.name: {"figures": [figure.name for figure in section.figures], "missing": section.missing}
        for section in report.sections
    }
    return {"report": str(page), "bytes": page.stat().st_size, "sections": sections}
