"""doctor: what an experiment needs before it is trained: memory, time, disk, and whether this machine can do it."""

import argparse
import multiprocessing
from multiprocessing import forkserver
from typing import Any

from competition.data.manifest import Manifest, read_manifest
from competition.errors import CompetitionError
from competition.settings import load_experiment
from competition.tracks import track_names
from competition.tracks.track import Track, narrow
from competition.workspace import Workspace
from pipelines.context import choose_experiment, chosen_settings, experiments_folder, open_track, open_workspace

HELP = (
    "Say what an experiment needs before anything is trained: is the card usable, memory and time of a step, hours of\n"
    "all folds, disk, and the largest batch and crop that fit. Without --experiment: a table of all experiments of a\n"
    "track, or of all tracks. Nothing is computed but shapes, so no card is needed; --measure times real steps."
)
EXAMPLE = "./run.sh doctor --track hand_bone --experiment strong --memory 24"
FIGURES = {
    "experiments": "List of objects: experiment, batch, memory_gb, largest_batch, step_seconds, hours, disk_gb ...",
    "machine": "Object: name, memory_gb and fault of what it was computed for.",
    "checks": "List of objects with name, good and finding, for one experiment.",
    "largest_side": "Largest side of a crop (or image) in pixels with the batch as it is, for one experiment, or null.",
    "draw_seconds": "Processor seconds of loading one sample, for one experiment with prepared data, or null.",
    "measured": "Object: step_seconds of the full step, from two smaller ones, and peak_gb on a card; or null.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options; without --track it covers all tracks."""
    parser.add_argument("--experiment", metavar="NAME", help="an experiment of the track, or a YAML file")
    parser.add_argument("--set", action="append", metavar="SECTION.KEY=VALUE", help="change a setting; repeatable")
    help_text = "memory of the card to plan for, in GB (default: the card that is here, else 24)"
    parser.add_argument("--memory", type=float, metavar="GB", help=help_text)
    parser.add_argument("--cpu", action="store_true", help="plan for the processor of this machine")
    help_text = "time steps of two smaller sizes and extrapolate: on the card (always), else on the processor"
    parser.add_argument("--measure", action="store_true", help=help_text)
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    parser.set_defaults(track=None)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Say what experiments need; see HELP.

    Returns:
        ``FIGURES``.

    Raises:
        CompetitionError: An experiment or track is unknown, or its network can't be built.
    """
    if args.experiment is None:  # the processes import what they need while this one does
        multiprocessing.get_context("forkserver").set_forkserver_preload(["competition.planning.diagnosis"])
        forkserver.ensure_running()
    from competition.planning.diagnosis import diagnose, diagnose_all
    from competition.planning.run_cost import work_of
    from pipelines.reports.doctor_report import as_figures, machine_to_plan_for, report_all, report_one

    if args.memory is not None and not 0 < args.memory < 10_000:
        raise CompetitionError(f"--memory takes GB of a card, such as 24, not {args.memory:g}")
    if args.memory is not None and (args.cpu or args.measure):
        what = "--memory plans for a card that is not here, --cpu and --measure for this machine"
        raise CompetitionError(what, None, "Leave out --memory, or both of the others")
    machine = machine_to_plan_for(args.memory, args.cpu or args.measure)
    if args.experiment is None:
        tracks = track_names() if args.track is None else [args.track]
        questions = [question for name in tracks for question in _questions(args, name, machine)]
        found = diagnose_all(questions)
        report_all(found, args.markdown)
        return as_figures(found, machine)
    args = argparse.Namespace(**vars(args) | {"track": args.track or "hand_bone"})
    track, workspace = open_track(args), open_workspace(args)
    manifest = _prepared(track, workspace)
    chosen = choose_experiment(track, workspace, args.experiment, args.set or [])
    work = work_of(chosen.experiment, narrow(track, chosen.experiment.data.classes), workspace, manifest)
    diagnosis = diagnose(track, chosen.name, chosen.experiment, work, machine)
    return report_one(diagnosis, track, workspace, manifest, args.measure)


def _questions(args: argparse.Namespace, name: str, machine: Any) -> list[Any]:
    """Return the shipped experiments of a track, for ``diagnose_all``."""
    from competition.planning.run_cost import work_of

    of_track = argparse.Namespace(**vars(args) | {"track": name})
    track, workspace = open_track(of_track), open_workspace(of_track)
    manifest = _prepared(track, workspace)
    training = [] if manifest is None else manifest.of("train")
    files = sorted(experiments_folder(track).glob("*.yaml"))
    questions = []
    for file in files:
        given = [*chosen_settings(file, args.set or [], track, lambda: training), *(args.set or [])]
        experiment = load_experiment(file, given)
        work = work_of(experiment, narrow(track, experiment.data.classes), workspace, manifest)
        questions.append((name, file.stem, experiment, work, machine))
    return questions


def _prepared(track: Track, workspace: Workspace) -> Manifest | None:
    return read_manifest(workspace, track) if workspace.manifest_file().exists() else None
