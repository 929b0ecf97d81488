"""The folds of prepare: the present ones, the shipped ones, or folds of the user's own, made here."""

from collections.abc import Mapping, Sequence

from competition.console import say, shout
from competition.data.folds import (
    FOLDS,
    STRATIFIED,
    Folds,
    check_leaks,
    extend_folds,
    find_folds,
    make_folds,
    read_folds,
    write_folds,
)
from competition.data.manifest import Entry
from competition.data.patient_folds import ITERATIVE, make_patient_folds
from competition.errors import CompetitionError
from competition.text import NearKeys, few
from competition.tracks.track import Track
from competition.workspace import SHIPPED_FOLDS, Workspace

_WITH_REFOLD = "with --refold, which makes earlier runs useless"


def settle_folds(
    track: Track,
    workspace: Workspace,
    training: Sequence[Entry],
    kinds: Mapping[str, str],
    count: int | None = None,
    stratified: bool = False,
    refold: bool = False,
) -> Folds:
    """Return the folds to use; new ones where there are none, others are asked for, or the shipped ones do not fit.

    Args:
        track: Decides what new folds are balanced by.
        workspace: Of the data set.
        training: The training samples that can be used.
        kinds: Group -> what --stratified balances beside the stratum.
        count: Number of folds that is asked for; None means any.
        stratified: Whether strata are to be balanced.
        refold: Whether other folds than the present are to be made.

    Returns:
        Folds that have every group, in a file that is written already.

    Raises:
        CompetitionError: ``count`` or ``stratified`` contradict the present folds, or a fold leaks or is empty.
    """
    folds, present = choose_folds(track, workspace, training, kinds, count, stratified, refold)
    check_leaks(folds, training)
    if empty := [fold for fold in range(folds.count) if not folds.held_out(training, fold)]:
        what = f"fold {empty[0]} holds out no group of this data, so it can't be trained"
        repair = "Check the data folder; if it is right, make folds of it alone with prepare --refold"
        raise CompetitionError(what, folds.path, repair)
    if folds is not present:  # only now that they are checked
        write_folds(folds.path, folds.fold_of, folds.how)
        _announce(workspace, folds, present, training)
    return folds


def choose_folds(
    track: Track,
    workspace: Workspace,
    training: Sequence[Entry],
    kinds: Mapping[str, str],
    count: int | None = None,
    stratified: bool = False,
    refold: bool = False,
) -> tuple[Folds, Folds | None]:
    """Return the folds of ``settle_folds`` without writing them, and the present ones that they keep or extend.

    Of the training samples only key, group, stratum and targets count. Errors are those of ``settle_folds``.
    """
    present = None if refold else find_folds(workspace)
    if present is None or _does_not_fit(workspace, present, training):
        return _make(track, workspace, training, kinds, FOLDS if count is None else count, stratified), None
    _refuse_contradiction(present, count, stratified)
    _refuse_strangers(present, training)
    _describe(workspace, present, training)
    return _extend(workspace, present, training), present


def _does_not_fit(workspace: Workspace, folds: Folds, training: Sequence[Entry]) -> bool:
    """Return whether these are the shipped folds and lack a group, with a message."""
    if missing := folds.without_fold(training) if folds.path == workspace.shipped_fold_file() else []:
        groups = len({entry.group for entry in training})
        say(f"folds: {len(missing)} of {groups} groups ({few(missing)}) are not in the shipped {folds.path}")
    return bool(missing)


def _make(
    track: Track, workspace: Workspace, entries: Sequence[Entry], kinds: Mapping[str, str], count: int, stratified: bool
) -> Folds:
    if track.task == "classification":
        same = track.mirror is None or track.mirror.classes == tuple(range(len(track.classes)))
        sides = "" if same else " (left and right as one)"
        rule = f"{ITERATIVE} by {track.classes[0]} and the other classes{sides}, rarest first,"
        fold_of = make_patient_folds(entries, count, None if track.mirror is None else track.mirror.classes)
    else:
        rule = STRATIFIED if stratified else "GroupKFold"
        fold_of = make_folds(entries, count, stratified, kinds)
    return Folds(fold_of, workspace.fold_file(), f"{rule} of {count}, {len(entries)} samples; made by prepare")


def _refuse_contradiction(folds: Folds, count: int | None, stratified: bool) -> None:
    """Reject options that ask for other folds than the current."""
    asked = []
    if count not in (None, folds.count):
        asked.append(f"--folds {count}")
    if stratified and STRATIFIED not in folds.how and ITERATIVE not in folds.how:
        asked.append("--stratified")
    if asked:
        made = f": {folds.how}" if folds.how else ""
        what = f"{' '.join(asked)} contradicts the current {folds.count} folds ({folds.path}{made})"
        repair = f"Leave {'it' if len(asked) == 1 else 'them'} out, or make other folds of your own {_WITH_REFOLD}"
        raise CompetitionError(what, None, repair)


def _refuse_strangers(folds: Folds, training: Sequence[Entry]) -> None:
    """Reject folds without any group of this data: groups are added to groups, not to other data."""
    groups = {entry.group for entry in training}
    if len(folds.without_fold(training)) == len(groups):
        what = f"none of the {len(groups)} groups of this data ({few(sorted(groups))}) is in the current folds, which"
        theirs = f"{few(sorted(folds.fold_of))}{NearKeys(groups).hint(min(folds.fold_of))}"
        repair = (
            f"Check the data folder and group: in the YAML file; if they are right, make other folds {_WITH_REFOLD}"
        )
        raise CompetitionError(f"{what} have {theirs}", folds.path, repair)


def _describe(workspace: Workspace, folds: Folds, training: Sequence[Entry]) -> None:
    """Print which folds are used, and whether they are the shipped ones."""
    shipped, known = workspace.shipped_fold_file(), SHIPPED_FOLDS.get(workspace.dataset)
    remark = "as it is"
    if folds.hash() == known and not folds.without_fold(training):
        remark = "has every group of this data: the shipped folds"
    elif folds.path == shipped:
        shout(f"{folds.path} differs from the shipped folds: restore it from git to use them")
    elif shipped is not None and shipped.exists() and not read_folds(shipped).without_fold(training):
        remark = f"as it is (without this file, the shipped folds in {shipped} would be used)"
    say(f"folds: {folds.path} {remark} ({folds.count} folds, {folds.hash()}); --refold makes others")


def _extend(workspace: Workspace, folds: Folds, training: Sequence[Entry]) -> Folds:
    """Give new groups a fold; the others keep theirs."""
    new = folds.without_fold(training)
    if not new:
        return folds
    how = f"{folds.how or folds.path.name}; {len(new)} groups added by prepare"
    return Folds(extend_folds(folds.fold_of, training), workspace.fold_file(), how)


def _announce(workspace: Workspace, folds: Folds, before: Folds | None, training: Sequence[Entry]) -> None:
    """Print that folds were made, or which groups were added to those of before."""
    if before is None:
        advice = "synthetic data: not for git" if workspace.phantom else "commit it: all members must use the same"
        say(f"folds: {folds.how}, written to {folds.path} ({advice})")
    else:
        new = before.without_fold(training)
        shout(f"{len(new)} new groups ({few(new)}) were added to the smallest folds; train earlier runs again")
