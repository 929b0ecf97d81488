"""The folds of a data set, as prepare settles them: kept where they are, extended by new groups, made where missing."""

import argparse
from collections.abc import Sequence

from competition.console import say, shout
from competition.data.folds import Folds, check_leaks, extend_folds, find_folds, make_folds, read_folds, write_folds
from competition.data.manifest import Entry
from competition.data.patient_folds import make_patient_folds
from competition.delivery.submissions import few
from competition.errors import CompetitionError
from competition.tracks.track import Track
from competition.workspace import Workspace


def settle_folds(track: Track, workspace: Workspace, training: Sequence[Entry], args: argparse.Namespace) -> Folds:
    """The fold file that is there, extended where there are new groups; a new one where there is none.

    Args:
        track: Decides what new folds are balanced by.
        workspace: Where the fold file is.
        training: All training samples.
        args: --folds, --stratified and --refold of prepare.

    Raises:
        CompetitionError: Groups leak, or a fold holds out nothing of this data.
    """
    folds = None if args.refold else find_folds(workspace)
    path = workspace.fold_file()
    if folds is None:
        fold_of, how = _new_folds(track, training, args)
        write_folds(path, fold_of, f"{how}; made by prepare")
        advice = "drawn data: not for git" if workspace.phantom else "commit it: everybody must use the same"
        say(f"folds: {how}, written to {path} ({advice})")
        folds = read_folds(path)
    else:
        new = sorted({entry.group for entry in training} - set(folds.fold_of))
        shared = not new and not workspace.phantom and folds.path == workspace.shipped_fold_file()
        remark = "of the repository has every group of this data: everybody's folds" if shared else "as it is"
        say(f"folds: {folds.path} {remark} ({folds.count} folds, {folds.hash()}); --refold makes others")
        if new:
            extended = extend_folds(folds.fold_of, training)
            write_folds(path, extended, f"{folds.path.name} with {len(new)} groups added by prepare")
            folds = read_folds(path)
            shout(f"{len(new)} new groups ({few(new)}) got the emptiest folds; train those trained before again")
    check_leaks(folds, training)
    if empty := [fold for fold in range(folds.count) if not folds.held_out(training, fold)]:
        raise CompetitionError(
            f"fold {empty[0]} holds out no group of this data, so it can't be trained",
            folds.path,
            "Make folds of this data alone with prepare --refold",
        )
    return folds


def _new_folds(track: Track, training: Sequence[Entry], args: argparse.Namespace) -> tuple[dict[str, int], str]:
    """Folds, and how they were made."""
    samples = f"of {args.folds}, {len(training)} samples"
    if track.task == "classification":
        partners = None if track.mirror is None else track.mirror.classes
        sides = "" if partners is None else " (left and right as one)"
        how = f"iterative stratification by {track.classes[0]} and the other classes{sides}, rarest first"
        return make_patient_folds(training, args.folds, partners), f"{how}, {samples}"
    rule = "StratifiedGroupKFold" if args.stratified else "GroupKFold"
    return make_folds(training, args.folds, args.stratified), f"{rule} {samples}"
