"""report: write one HTML page on the data, the training, the results, the ensemble and the leaderboard."""

import argparse
import webbrowser
from typing import Any

from competition.console import say
from competition.errors import CompetitionError
from pipelines.context import open_track, open_workspace
from pipelines.options import typed_options

HELP = "Write a report as one HTML page that works offline: data, training, results, why, ensemble, leaderboard."
EXAMPLE = "./run.sh report --track hand_bone --decision quick --open"
FIGURES = {
    "report": "Path of the page.",
    "bytes": "Whole number: size of the page in bytes.",
    "sections": "Object: section -> figures (their names) and missing (text on what could not be shown).",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--decision", metavar="NAME", help="report on this decision (default: the newest)")
    help_text = "explain the network's answers on N of the worst and best samples (default: 3)"
    parser.add_argument("--explain", type=int, default=3, metavar="N", help=help_text)
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the report; see HELP.

    Returns:
        ``FIGURES``.
    """
    from competition.reporting.report import make_report  # here, because --help should not wait 4 s for it

    track, workspace = open_track(args), open_workspace(args)
    if args.explain < 0:
        raise CompetitionError(f"--explain {args.explain}: a number of samples is 0 or more")
    page, report = make_report(track, workspace, args.decision, typed_options(args), args.explain)
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
