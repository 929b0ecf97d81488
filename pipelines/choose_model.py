"""What predicts new images: a model file, or a decision with its runs."""

import argparse
from pathlib import Path

from competition.console import say
from competition.errors import CompetitionError
from competition.formats.source_files import require_file
from competition.inference.predicting import OpenedModel
from competition.text import counted
from pipelines.context import open_track, open_workspace
from pipelines.options import DEFAULT_TRACK, typed_options


def split_model_file(args: argparse.Namespace) -> tuple[Path | None, list[Path]]:
    """Return the model file that was typed first, None where there is none, and the images.

    Raises:
        CompetitionError: The model file is missing or comes without images, or a decision was chosen too.
    """
    first, *images = args.paths
    if first.suffix.lower() != ".zip":
        return None, args.paths
    if args.decision is not None:
        raise CompetitionError("a model file holds one decision", first, "Leave out --decision")
    if not images:
        raise CompetitionError("images are missing after the model file", first, "Name images or folders of them")
    require_file(first, "model file")
    return first, images


def choose_model(args: argparse.Namespace, model_file: Path | None) -> OpenedModel:
    """Return what predicts: the model file, or the decision with its runs.

    Raises:
        CompetitionError: Nothing is trained, or the model file is damaged.
    """
    if model_file is None:
        return _open_decision(args)
    from competition.export.runtime import open_model  # here, because runs need no onnxruntime

    model = open_model(model_file)
    if args.track != DEFAULT_TRACK and Path(args.track).stem != model.track.name:
        what = f"the model is of track {model.track.name}, not {args.track}"
        raise CompetitionError(what, model_file, "Leave out --track")
    classes = counted(len(model.track.classes), "class", "classes")
    say(f"{model_file}: decision {model.name} of track {model.track.name}, {classes}")
    return model


def _open_decision(args: argparse.Namespace) -> OpenedModel:
    """Open the decision of --decision, or the newest, with its runs."""
    # Here, so that a model file is predicted without torch.
    from competition.ensembling.current_decision import newest_decision
    from competition.inference.loaded_members import load_vote
    from competition.runs.members import load_run_plugins
    from pipelines.choose_decision import choose_decision, warn_of_changed_data

    track, workspace = open_track(args), open_workspace(args)
    load_run_plugins(workspace)  # a decision may name their post-processing
    name, prepared = args.decision, workspace.manifest_file().exists()
    if name is None and not prepared and (newest := newest_decision(workspace)) is not None:
        name = newest.parent.name  # nothing could be tuned again
        say(f"decision: {name} (the newest; choose another by --decision NAME)")
    path, decision = choose_decision(track, workspace, name, None, typed_options(args))
    warn_of_changed_data(track, workspace, decision, path)
    return OpenedModel(
        track, workspace.dataset, path.parent.name, lambda images: load_vote(track, workspace, images, decision)
    )
