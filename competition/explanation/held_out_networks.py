"""The networks of a member that have not learned from a sample."""

from competition.data.folds import FULL, Fold, find_folds
from competition.data.manifest import Entry, read_manifest
from competition.errors import CompetitionError
from competition.prediction.predictor import Predictor
from competition.runs.members import Member, split_member
from competition.runs.roi_run import find_boxes, find_first_stage
from competition.runs.test_set_predictions import find_test_boxes, load_fold
from competition.tracks.track import Track, narrow
from competition.training.checkpoints import open_predictor
from competition.workspace import Workspace


def open_held_out(
    track: Track, workspace: Workspace, member: Member, entry: Entry, images: Workspace | None = None
) -> tuple[Predictor, tuple[Fold, ...]]:
    """Open the networks of a member that have not learned from a sample, and name their folds.

    A training sample gets the network of the fold that held it out, any other sample those of all folds.

    Args:
        track: Not narrowed to the member's classes; the predictor's track is.
        workspace: Of the member's run.
        member: A trained run.
        entry: The sample.
        images: The workspace whose cache holds the sample; None means ``workspace``.

    Raises:
        CompetitionError: The member was imported and has no networks, the fold that held the sample out is not trained
            or not among the member's, or its weights changed since it was opened.
    """
    images = images or workspace
    run = split_member(member.name)[0]
    if workspace.imported_file(run).exists():
        raise CompetitionError(
            f"member {member.name!r} was imported as predictions and has no network that could be explained",
            workspace.run_folder(run),
            "Name a trained run with --run",
        )
    folds = _folds_for(workspace, member, entry)
    narrowed = narrow(track, member.classes)
    checkpoints = [load_fold(workspace, narrowed, member, fold) for fold in folds]
    settings = checkpoints[0].experiment.data.crop_to
    if settings is None or entry.split == "test":
        boxes = find_test_boxes(track, images, workspace, member, checkpoints, [entry])
    else:
        known = find_folds(workspace)
        assert known is not None  # the run was trained on them
        stage = find_first_stage(workspace, known, read_manifest(workspace, track).of("train"), settings)
        boxes = find_boxes(stage, stage.folder_of, [entry])
    return open_predictor(checkpoints, narrowed, images, boxes), folds


def _folds_for(workspace: Workspace, member: Member, entry: Entry) -> tuple[Fold, ...]:
    if entry.split == "test":
        return member.folds
    folds = find_folds(workspace)
    held_out = None if folds is None else folds.fold_of.get(entry.group)
    if folds is None or held_out is None:
        raise CompetitionError(f"sample {entry.sample!r} is in no fold", workspace.fold_file(), "Run ./run.sh prepare")
    if held_out not in member.folds:
        run = split_member(member.name)[0]
        learned = "have" if any(fold != FULL for fold in member.folds) else "has"
        raise CompetitionError(
            f"fold {held_out} of run {run!r} held sample {entry.sample!r} out and is not trained; all others {learned} "
            "learned from it",
            workspace.run_folder(run),
            f"Run {workspace.train_command(run, held_out)}",
        )
    return (held_out,)
