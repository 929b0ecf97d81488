"""The report at the end of another stage, which is complete without it."""

from competition.console import say, shout
from competition.tracks.track import Track
from competition.workspace import Workspace


def draw_report(track: Track, workspace: Workspace, decision: str, options: str) -> str | None:
    """Write the report on a decision and print its path; return it, or None with a warning where that failed."""
    from competition.reporting.report import make_report  # matplotlib takes a second to import

    try:
        page, _ = make_report(track, workspace, decision, options)
    except Exception as error:  # the submission is written and entered: no fault of a chart may end the stage
        shout(f"warning: no report was written: {error}")
        return None
    say(f"report: {page}")
    return str(page)
