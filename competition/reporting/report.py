"""The report on a data set, its runs and its decision: all sections, written as one page."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from competition.data.folds import find_folds
from competition.ensembling.current_decision import named_decision, newest_decision, trained_since
from competition.errors import CompetitionError
from competition.installation import commands_as_typed
from competition.reporting.data_section import data_section
from competition.reporting.ensemble.section import ensemble_section
from competition.reporting.explanation_section import explanation_section
from competition.reporting.inputs import ReportInputs
from competition.reporting.leaderboard_section import leaderboard_section
from competition.reporting.network_input_section import network_input_section
from competition.reporting.page import Report, Section, write_report
from competition.reporting.results.section import results_section
from competition.reporting.training_section import training_section
from competition.runs.members import load_run_plugins
from competition.text import counted
from competition.tracks.track import Track
from competition.workspace import Workspace

SECTIONS: Sequence[Callable[[ReportInputs], Section]] = (
    data_section,
    network_input_section,
    training_section,
    results_section,
    explanation_section,
    ensemble_section,
    leaderboard_section,
)
"""In reading order; another section is one more function here.

A section that can't be made says why, and which command helps; it never raises a CompetitionError.
"""

UNDECIDED = "undecided"
"""The folder of a report without a decision."""


def make_report(
    track: Track, workspace: Workspace, name: str | None, options: str, explained: int = 0
) -> tuple[Path, Report]:
    """Write the report on a decision, or on the newest one; return the page and what it shows.

    Args:
        track: What is competed in.
        workspace: Of the data set.
        name: Of the decision; None for the newest, or for a report without one.
        options: Track and workspace as they were typed, which commands in the page repeat.
        explained: How many samples are explained, which runs the networks again.

    Raises:
        CompetitionError: There is no decision of that name, or the page can't be written.
    """
    load_run_plugins(workspace)
    path = newest_decision(workspace) if name is None else named_decision(workspace, name)
    inputs = ReportInputs(track, workspace, path, explained)
    sections = [_with_options(make(inputs), options) for make in SECTIONS]
    report = Report(_title(inputs), commands_as_typed(_subtitle(inputs), options), _facts(inputs), sections)
    folder = workspace.report_folder(UNDECIDED if path is None else path.parent.name)
    return write_report(folder, report), report


def _title(inputs: ReportInputs) -> str:
    kind = " (synthetic data)" if inputs.workspace.phantom else ""
    return f"{inputs.track.name}{kind}"


def _subtitle(inputs: ReportInputs) -> str:
    """Say which decision is shown, and what was trained or changed since."""
    if inputs.decision_file is None:
        return "Nothing is tuned yet. Run ./run.sh tune after ./run.sh train."
    name = inputs.decision_file.parent.name
    try:
        decision = inputs.decision
    except CompetitionError as error:
        return str(error)
    text = f"Decision {name} of {decision.created:%d %B %Y, %H:%M}, scored by {inputs.track.metric.title}."
    if since := trained_since(decision, inputs.workspace):
        text += f" It is older than {since}: run ./run.sh tune to include what was trained since."
    folds = find_folds(inputs.workspace)
    if folds is not None and any(member.fold_hash != folds.hash() for member in decision.members):
        text += f" {folds.path.name} has changed since it was tuned, so its scores are of the old folds."
    return text


def _facts(inputs: ReportInputs) -> list[tuple[str, str]]:
    """Return the figures at the top of the page."""
    try:
        decision = inputs.decision
    except CompetitionError:
        return []
    scores = decision.scores
    score, interval = scores.oof_crossfit, "–"
    if score is not None and scores.interval_low is not None and scores.interval_high is not None:
        interval = f"{scores.interval_low:.3f} to {scores.interval_high:.3f}"
    folds = sum(len(member.folds) for member in decision.members)
    return [
        (f"{inputs.track.metric.title}, cross-fitted", "–" if score is None else f"{score:.4f}"),
        ("95 % interval", interval),
        ("samples scored", f"{decision.coverage:,}"),
        ("classes", f"{len(decision.classes):,}"),
        ("members", f"{counted(len(decision.members), 'member')}, {counted(folds, 'model')}"),
    ]


def _with_options(section: Section, options: str) -> Section:
    """Return a section whose commands can be typed as they are."""
    shown = [replace(figure, sentence=commands_as_typed(figure.sentence, options)) for figure in section.figures]
    return replace(section, figures=shown, missing=commands_as_typed(section.missing, options))
