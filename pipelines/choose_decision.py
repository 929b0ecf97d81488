"""The decision that ensemble follows: the named one, the newest, or one that is tuned now."""

from pathlib import Path

from competition.console import say, shout
from competition.data.folds import find_folds
from competition.data.manifest import read_manifest
from competition.ensembling.current_decision import (
    check_members,
    check_training_data,
    named_decision,
    newest_decision,
    trained_since,
)
from competition.ensembling.decision import Decision, load_decision
from competition.ensembling.tuning import TuneRequest, request_of, tune
from competition.ensembling.tuning_data import Wanted
from competition.errors import CompetitionError
from competition.runs.members import load_run_plugins, parse_members
from competition.tracks.track import Track
from competition.workspace import Workspace
from pipelines.reports.tuning_report import report_tuning


def choose_decision(
    track: Track, workspace: Workspace, name: str | None, members: str | None, options: str
) -> tuple[Path, Decision]:
    """Return the decision to follow, with its file: the named one, else the newest, tuned now if there is none.

    Raises:
        CompetitionError: There is none of that name, it has other ``members`` than typed, or nothing can be tuned.
    """
    load_run_plugins(workspace)
    asked = None if members is None else parse_members(members)
    path = _newest_decision(track, workspace, asked, options) if name is None else named_decision(workspace, name)
    decision = load_decision(path)
    if asked is not None and members is not None:
        check_members(workspace, decision, path, asked, members)
    folds = find_folds(workspace)
    if folds is not None and any(member.fold_hash != folds.hash() for member in decision.members):
        shout(f"{folds.path} has changed since decision {path.parent.name} was tuned: its scores are of the old folds")
    return path, decision


def warn_of_changed_data(track: Track, workspace: Workspace, decision: Decision, path: Path) -> None:
    """Warn where other images or labels are prepared than a decision and its members were made of."""
    if not workspace.manifest_file().exists():
        return
    try:
        check_training_data(track, workspace, decision, path, read_manifest(workspace, track).of("train"))
    except CompetitionError as error:
        shout(f"{error} Until then, predictions come from the data before the change")


def _newest_decision(track: Track, workspace: Workspace, members: Wanted | None, options: str) -> Path:
    """Return the newest decision; tune if there is none, or if one on all runs predates some."""

    def tune_now(request: TuneRequest) -> Path:
        made, tuning = tune(track, workspace, request)
        report_tuning(track, workspace, made, tuning, options)
        return made

    path = newest_decision(workspace)
    if path is None:
        say("nothing is tuned yet: running tune first")
        return tune_now(TuneRequest(members))
    decision = load_decision(path)
    new = trained_since(decision, workspace)
    if new and decision.everything and members is None:
        say(f"decision {path.parent.name} predates {new}: running tune again")
        return tune_now(request_of(decision))
    say(f"decision: {path.parent.name} (the newest; choose another by --decision NAME)")
    if new:
        shout(f"the decision predates {new}; run tune to include it")
    return path
