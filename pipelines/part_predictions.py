"""Predict a test set in parts, one for each GPU or job.

Each part is a smaller test set. ``predict_test_set`` asks no network for a picture that it answered in another test
set, so the whole one takes over all maps and scores, and nothing is joined here.
"""

import argparse
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from competition.data.manifest import Entry
from competition.ensembling.decision import Decision
from competition.errors import CompetitionError
from competition.runs.test_set_predictions import has_test_maps, predict_test_set
from competition.text import shown
from competition.tracks.track import Track
from competition.workspace import Workspace
from pipelines.executors import LOCAL, add_executor, open_executor
from pipelines.executors.local import visible_gpus
from pipelines.executors.task import Task, end_with_starter, is_worker

JOBS = 8
"""Parts of a test set that is predicted on a cluster, unless --parts is given."""


def add_parts(parser: argparse.ArgumentParser) -> None:
    """Add --parts, --part, --on and --slurm."""
    help_text = f"predict in N parts at once (default: as many as there are GPUs; {JOBS} with --on)"
    parser.add_argument("--parts", type=int, metavar="N", help=help_text)
    help_text = "only predict part K of N and end; once all parts are predicted, ensemble takes them over"
    parser.add_argument("--part", metavar="K/N", help=help_text)
    add_executor(parser)


def chosen_part(args: argparse.Namespace) -> slice:
    """Return which test samples --part chooses: "2/4" is every fourth one from the second; without it all.

    Raises:
        CompetitionError: It is no part, or the options ask for other processes too.
    """
    if args.part is None:
        return slice(None)
    end_with_starter()
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", args.part)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise CompetitionError(f"--part takes K/N with K of 1..N, such as 2/4, not {shown(args.part)}")
    if args.parts is not None or args.on != LOCAL:
        raise CompetitionError(f"--part {args.part} is predicted in this process", None, "Leave out --parts and --on")
    return slice(int(found[1]) - 1, None, int(found[2]))


def predict_members(
    args: argparse.Namespace,
    track: Track,
    prepared: Workspace,
    runs: Workspace,
    decision_name: str,
    decision: Decision,
    entries: Sequence[Entry],
) -> list[Path]:
    """Return the folders of the members' test maps; see ``predict_test_set``.

    What is not predicted yet is predicted in as many parts as --parts and --on give.

    Raises:
        CompetitionError: A member can't predict, or a part failed.
    """
    if args.part is None:
        _predict_in_parts(args, track, prepared, runs, decision_name, decision, entries)
    return [predict_test_set(track, prepared, runs, member, entries) for member in decision.members]


def _predict_in_parts(
    args: argparse.Namespace,
    track: Track,
    prepared: Workspace,
    runs: Workspace,
    name: str,
    decision: Decision,
    entries: Sequence[Entry],
) -> None:
    """Predict parts as tasks, unless there is one on this machine, which is left to ``predict_test_set``."""
    if args.parts is not None and args.parts < 1:
        raise CompetitionError(f"--parts {args.parts}: a test set has at least one part")
    executor = open_executor(args, runs)
    usual = len(visible_gpus()) if args.on == LOCAL else JOBS
    count = min(args.parts or max(1, usual), len(entries))
    if is_worker() or (count == 1 and args.on == LOCAL):
        return
    if all(has_test_maps(track, runs, member, entries) for member in decision.members):
        return

    def predict(part: slice) -> None:
        for member in decision.members:
            predict_test_set(track, prepared, runs, member, entries[part])

    tasks = []
    for number in range(count):
        command = part_command(args, runs, name, number, count)
        tasks.append(Task(f"part {number + 1} of {count}", command, partial(predict, slice(number, None, count))))
    executor.run(tasks)


def part_command(args: argparse.Namespace, runs: Workspace, name: str, number: int, count: int) -> list[str]:
    """Return what a user would type after ./run.sh to predict one part alone, given the options of ensemble."""
    words = ["ensemble", "--track", args.track, "--decision", name, "--part", f"{number + 1}/{count}"]
    for option in ("folds", "test", "workspace"):
        if getattr(args, option) is not None:
            words += [f"--{option}", str(getattr(args, option))]
    flags = {"phantom": runs.phantom, "fill-bad": args.fill_bad, "debug": args.debug}
    return [*words, *(f"--{flag}" for flag, given in flags.items() if given)]
