"""Where the tasks of a stage run. A stage defines what to run, an executor where."""

import argparse

from competition.errors import CompetitionError
from competition.text import nearest_hint, shown
from competition.workspace import Workspace
from pipelines.executors.jobs import JobExecutor
from pipelines.executors.local import LocalExecutor
from pipelines.executors.ray import Ray
from pipelines.executors.slurm import Slurm, parse_slurm
from pipelines.executors.task import Executor

LOCAL = "local"
PLACES = (LOCAL, "slurm", "ray")
"""What --on takes; ray also with the address of a cluster."""


def add_executor(parser: argparse.ArgumentParser) -> None:
    """Add --on and --slurm."""
    help_text = "run the tasks on this machine (local, default), slurm, or ray[:ADDRESS]; see docs/scaling.md"
    parser.add_argument("--on", default=LOCAL, metavar="PLACE", help=help_text)
    help_text = "with --on slurm: an option of sbatch, such as partition=gpu or time=1440 (minutes); repeatable"
    parser.add_argument("--slurm", action="append", metavar="KEY=VALUE", help=help_text)


def open_executor(args: argparse.Namespace, workspace: Workspace, tasks_per_gpu: int = 1) -> Executor:
    """Return the executor of --on, which runs ``tasks_per_gpu`` tasks on each GPU.

    Raises:
        CompetitionError: There is no such place, or an option does not belong to it.
    """
    place, _, address = args.on.partition(":")
    if place not in PLACES:
        raise CompetitionError(f"--on {shown(args.on)}: there is no such place to run on{nearest_hint(place, PLACES)}")
    if address and place != "ray":
        raise CompetitionError(f"--on {place} takes no address, only --on ray does", None, f"Give --on {place}")
    slurm = parse_slurm(args.slurm or [])
    if slurm and place != "slurm":
        raise CompetitionError(f"--slurm has no effect with --on {place}", None, "Give --on slurm too")
    if tasks_per_gpu > 1 and place == "slurm":
        what = "a job of Slurm has its GPUs to itself, so that tasks can't share one"
        raise CompetitionError(what, None, "Leave out --folds-per-gpu, or give --on local or ray")
    if place == "slurm":
        return JobExecutor(Slurm(slurm), workspace)
    if place == "ray":
        return JobExecutor(Ray(address or None, tasks_per_gpu), workspace)
    return LocalExecutor(tasks_per_gpu)
