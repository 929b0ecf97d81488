"""Find the decision that a submission follows, and check that it was made of the current data."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from competition.data.folds import Fold
from competition.data.manifest import Entry, data_hash
from competition.ensembling.decision import Decision, load_decision
from competition.errors import CompetitionError
from competition.names import check_name
from competition.runs.members import check_same_data, check_trained, split_member, trained_folds
from competition.tracks.track import Track
from competition.workspace import Workspace


def named_decision(workspace: Workspace, name: str) -> Path:
    """Return the file of the decision of that name.

    Raises:
        CompetitionError: There is none; the others are listed.
    """
    check_name(name, "a decision", "Give the name of a decision, not its path, with --decision")
    path = workspace.decision_file(name)
    if not path.exists():
        known = ", ".join(file.parent.name for file in workspace.decision_files())
        repair = None if known else f"Run ./run.sh tune --name {shlex.quote(name)}"
        raise CompetitionError(f"no decision {name!r} (there are: {known or 'none'})", path, repair)
    return path


def newest_decision(workspace: Workspace) -> Path | None:
    """Return the file of the newest decision; None where there is none."""
    return max(workspace.decision_files(), key=lambda file: load_decision(file).created, default=None)


def trained_since(decision: Decision, workspace: Workspace) -> str:
    """Return the runs and folds finished after a decision and not in it: "quick (folds 1,2)"; "" for none.

    A model of all samples does not count: it votes only where it is named.
    """
    known: set[tuple[str, Fold]] = {(run, fold) for run, folds in decision.trained.items() for fold in folds}
    known |= {(split_member(member.name)[0], fold) for member in decision.members for fold in member.folds}
    found = []
    for run, folds in trained_folds(workspace).items():
        if new := [str(fold) for fold in folds if (run, fold) not in known]:
            found.append(f"{run} (folds {','.join(new)})")
    return ", ".join(found)


def check_members(
    workspace: Workspace, decision: Decision, path: Path, asked: Mapping[str, Sequence[Fold] | None], text: str
) -> None:
    """Reject a decision on other members than were asked for: member -> its folds, or None for those of the decision.

    ``text`` is what the user typed for them.

    Raises:
        CompetitionError: Others vote, or a member that was asked for is not trained.
    """
    if list(asked) == [member.name for member in decision.members] and all(
        asked[member.name] in (None, member.folds) for member in decision.members
    ):
        return
    for name in asked:
        check_trained(workspace, name)
    voting = (member.with_folds() for member in decision.members)
    what = f"decision has the members {','.join(voting)}, not {text}"
    repair = f"Run ./run.sh tune --members {shlex.quote(text)}, or name another one with --decision"
    raise CompetitionError(what, path, repair)


def check_training_data(
    track: Track, workspace: Workspace, decision: Decision, path: Path, training: Sequence[Entry]
) -> None:
    """Reject a decision that was made of other images or labels than ``training``, or for another metric.

    Raises:
        CompetitionError: The decision or one of its members was.
    """
    for member in decision.members:
        check_same_data(workspace, member.name, member.folds, training)
    repair = f"Run ./run.sh tune --name {shlex.quote(path.parent.name)}"
    if decision.metric not in ("", track.metric.key):
        what = f"this decision was tuned for {decision.metric}, but track {track.name} is scored by {track.metric.key}"
        raise CompetitionError(what, path, repair)
    if decision.data_hash not in ("", data_hash(training)):  # empty in decisions of earlier versions
        raise CompetitionError("images or labels have changed since this decision was tuned", path, repair)


def only_folds(decision: Decision, wanted: Sequence[Fold], text: str) -> Decision:
    """Return a decision of whose members only the ``wanted`` folds vote; ``text`` is what the user typed for them.

    Raises:
        CompetitionError: No member has one of the folds, or a member has none of them.
    """
    voting = {fold for member in decision.members for fold in member.folds}
    if strange := [str(fold) for fold in wanted if fold not in voting]:
        known = ", ".join(member.with_folds() for member in decision.members)
        raise CompetitionError(f"--folds {text}: no member has fold {', '.join(strange)} ({known})")
    members = []
    for member in decision.members:
        kept = tuple(fold for fold in member.folds if fold in wanted)
        if not kept:
            raise CompetitionError(f"member {member.with_folds()} has none of the folds {text}")
        members.append(member.model_copy(update={"folds": kept}))
    return decision.model_copy(update={"members": tuple(members)})
