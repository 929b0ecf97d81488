"""What every stage needs first: its track, data set, workspace and experiment."""

import argparse
import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from competition.console import say, shout
from competition.data.manifest import Entry, read_manifest
from competition.data.resolution import suggested_repeats, suggested_size
from competition.errors import CompetitionError
from competition.installation import CHECKOUT, REPOSITORY
from competition.names import name_fault
from competition.settings import Experiment, TrainSettings, load_experiment, states
from competition.text import nearest_hint, shown
from competition.tracks import get_track
from competition.tracks.track import Track
from competition.workspace import PHANTOM, Workspace

EXPERIMENTS = Path(__file__).resolve().parent / "experiments"


def workspace_root(args: argparse.Namespace) -> Path:
    """Return the folder of --workspace, else of COMPETITION_WORKSPACE, else the checkout, else the current folder."""
    chosen = args.workspace or os.environ.get("COMPETITION_WORKSPACE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    return REPOSITORY if CHECKOUT else Path.cwd()


def open_track(args: argparse.Namespace) -> Track:
    """Return the track of --track."""
    return get_track(args.track)


def open_workspace(args: argparse.Namespace) -> Workspace:
    """Return the workspace of the data set.

    --phantom chooses the synthetic data. Otherwise prepared real data is used, else prepared synthetic data with a
    warning.
    """
    root, name = workspace_root(args), open_track(args).name
    real, phantom = Workspace(root, name), Workspace(root, PHANTOM + name)
    if args.phantom:
        return phantom
    if not real.manifest_file().exists() and phantom.manifest_file().exists():
        shout(f"PHANTOM DATA: no real {name} data is prepared, so the data and runs of --phantom are used")
        return phantom
    return real


def prepared_workspaces(args: argparse.Namespace, track: Track) -> list[Workspace]:
    """Return whose manifests may list the images of a submission, the later one first: synthetic, then real data."""
    root = workspace_root(args)
    both = [Workspace(root, PHANTOM + track.name), Workspace(root, track.name)]
    return both[:1] if args.phantom else both


def experiments_folder(track: Track) -> Path:
    """Return the folder of a track's experiments: its own, or that of all declared tracks of masks or of tables."""
    own = EXPERIMENTS / track.name
    return own if own.exists() else EXPERIMENTS / ("table" if track.task == "classification" else "folder")


def experiment_file(track: Track, name: str) -> Path:
    """Return the YAML of an experiment of a track, or a path.

    Raises:
        CompetitionError: There is none of that name; the nearest are given.
    """
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    folder = experiments_folder(track)
    path = folder / f"{name}.yaml"
    if name_fault(name) or not path.exists():
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        raise CompetitionError(f"unknown experiment {shown(name)} of track {track.name}{nearest_hint(name, known)}")
    return path


@dataclass(frozen=True)
class ChosenExperiment:
    """An experiment of a YAML file, with all changed settings as --set takes them."""

    name: str
    path: Path
    settings: list[str]
    experiment: Experiment


def choose_experiment(track: Track, workspace: Workspace, name: str | None, given: Sequence[str]) -> ChosenExperiment:
    """Return an experiment with changed settings, as --set takes them.

    Without a name it is "quick" for synthetic data or without a GPU, else "strong". For folder tracks, what neither the
    experiment nor ``given`` state is chosen: ``train.loss`` by the task, ``data.size`` from the images, and, unless the
    epochs are given, ``train.repeats`` from their number.
    """
    if name is None:
        from competition.models.gpu import computing_device  # here, so that other stages do not wait for torch

        quick = workspace.phantom or computing_device().type == "cpu"
        name = "quick" if quick else "strong"
        why = "synthetic data" if workspace.phantom else "no GPU" if quick else "a GPU is available"
        say(f"experiment: {name} ({why}; choose another by --experiment NAME)")
    path = experiment_file(track, name)
    changed = [*given]
    if not _has_own_experiments(track):
        changed = [*chosen_settings(path, given, track, lambda: read_manifest(workspace, track).of("train")), *given]
    return ChosenExperiment(path.stem, path, changed, load_experiment(path, changed))


def _has_own_experiments(track: Track) -> bool:
    return (EXPERIMENTS / track.name).exists()


def chosen_settings(
    path: Path, given: Sequence[str], track: Track, read_training: Callable[[], Sequence[Entry]]
) -> list[str]:
    """Return the settings of a folder track that neither the experiment nor --set gives.

    The training samples are read only where a setting follows from them; without any these settings are left out.
    """
    if _has_own_experiments(track):
        return []
    return [*_settings_for_task(path, given, track), *_settings_for_data(path, given, track, read_training)]


def _settings_for_task(path: Path, given: Sequence[str], track: Track) -> list[str]:
    """Return settings that follow from a track, where neither the experiment nor --set gives them.

    They are the loss, if the default does not fit, and mirrored draws.
    """
    settings = []
    if track.mirror is not None and not states(path, given, "data.flip"):
        settings.append("data.flip=true")
    if states(path, given, "train.loss"):
        return settings
    from competition.training.losses import usual_loss  # here, so that other stages do not wait for torch

    loss = usual_loss(track)
    return settings if loss == TrainSettings().loss else [*settings, f"train.loss={loss}"]


def _settings_for_data(
    path: Path, given: Sequence[str], track: Track, read_training: Callable[[], Sequence[Entry]]
) -> list[str]:
    """Return the settings chosen from the prepared data, where neither the experiment nor --set gives them."""
    size = not states(path, given, "data.size")
    by_hand = any(setting.startswith("train.epochs=") for setting in given)
    repeats = not by_hand and not states(path, given, "train.repeats")
    training = read_training() if size or repeats else ()
    if not training:
        return []
    settings = [f"data.size={suggested_size(training, track)}"] if size else []
    if repeats:
        settings.append(f"train.repeats={suggested_repeats(len(training), load_experiment(path, given).train)}")
    return settings


def call_stage(stage: str, args: argparse.Namespace, options: list[str], **common: Any) -> dict[str, Any]:
    """Run a stage as the command line would, with ``args``, changed ``common`` ones and its own; return its figures."""
    module = importlib.import_module(f"pipelines.{stage}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    figures: dict[str, Any] = module.run(argparse.Namespace(**vars(args) | common | vars(parser.parse_args(options))))
    return figures
