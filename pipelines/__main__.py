"""The command line: ``./run.sh STAGE [options]``, or ``medcomp STAGE [options]`` where pip installed the program.

Each stage is a module with HELP, EXAMPLE, add_arguments and run.
"""

import argparse
import importlib
import io
import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from competition.console import finish_output
from competition.errors import CompetitionError
from competition.files import write_json
from competition.installation import CHECKOUT, typed
from pipelines.executors.parent import works_for_another
from pipelines.machine import peak_memory_mb
from pipelines.typed_options import DEFAULT_TRACK, typed_options

STAGES = (
    "demo",
    "tracks",
    "prepare",
    "train",
    "search",
    "import",
    "tune",
    "ensemble",
    "score",
    "check",
    "vote",
    "compare",
    "comparison",
    "race",
    "bench",
    "leaderboard",
)

ALIASES = {"contest": "comparison"}
"""Earlier name of a stage -> its name."""

# What run.sh exports, which gives the reasons. The C library reads its part before Python starts.
ENVIRONMENT = {
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "THP_MEM_ALLOC_ENABLE": "1",
}

OVERVIEW = """\
usage: ./run.sh STAGE [options]        (./run.sh STAGE --help explains a stage)

  in this order:
    demo         the whole pipeline on drawn data: no download, no GPU, a few minutes
    prepare      raw data -> cache and folds                   ./run.sh prepare --track hand_bone --data DIR
    train        one model per fold                            ./run.sh train --fold 0..4
    tune         weights, thresholds and post-processing       ./run.sh tune --members quick,strong
    ensemble     test images -> submission.csv                 ./run.sh ensemble
  at any time:
    tracks       what can be competed in, and whether it works ./run.sh tracks --check
    search       training settings, tried by Optuna            ./run.sh search --trials 30
    import       another team's predictions become a member    ./run.sh import --name theirs --test DIR
    score        the competition's own metric                  ./run.sh score SUBMISSION.csv TRUTH
    check        validate a submission file                    ./run.sh check SUBMISSION.csv
    vote         joins finished submissions                    ./run.sh vote A.csv B.csv --out V.csv
    compare      where two submissions differ                  ./run.sh compare A.csv B.csv
    comparison   recipes side by side on drawn data            ./run.sh comparison soft_targets
    race         our quick against a plain notebook            ./run.sh race --only legs
    bench        the last mile beside its rivals, timed        ./run.sh bench --quick
    leaderboard  all submissions with their scores             ./run.sh leaderboard
    test         ruff, mypy and the tests (in a checkout)

  tracks: hand_bone (default), aneurysm, cardiac, lumbar, knee, legs, or a YAML file of your own.
  With no data under data/<track> everything works on drawn stand-in data, and says so.
"""


def command() -> int:
    """Run the stage that was typed after ``medcomp``, in the environment of run.sh; return the exit status of ``main``.

    The process replaces itself once by the same command where a variable is missing.
    """
    if missing := ENVIRONMENT.keys() - os.environ.keys():
        os.execve(sys.executable, sys.orig_argv, os.environ | {name: ENVIRONMENT[name] for name in missing})
    return main(sys.argv[1:])


def main(arguments: list[str]) -> int:
    """Run a stage.

    Args:
        arguments: What was typed after ./run.sh or medcomp.

    Returns:
        The exit status: 0 done, 1 a mistake the user can repair, 2 a wrong command line, 130 interrupted. Output that
        nobody reads (``| head -1``) is no mistake; output that can't be written to a full disk is one.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not be UTF-8
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(arguments)
    except SystemExit:  # of argparse
        finish_output()
        raise
    lost = finish_output()
    if lost is None or isinstance(lost, BrokenPipeError) or works_for_another():
        return status
    print(f"error: the output can't be written ({lost.strerror or lost}).", file=sys.stderr)
    return status or 1


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(typed(OVERVIEW), end="")
        return 0
    name = ALIASES.get(arguments[0], arguments[0])
    if name not in STAGES:
        program, known = ("run.sh", f"{', '.join(STAGES)} and test") if CHECKOUT else ("medcomp", ", ".join(STAGES))
        print(f"{program}: unknown stage {name!r}. Stages are {known}.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite end is the same as Ctrl-C
    try:
        return _run_named(name, arguments[1:])
    except KeyboardInterrupt:
        if works_for_another():  # the process that asked for all folds says how to go on with all of them
            return 130
        again = typed(f"./run.sh {shlex.join(arguments)}")
        print(f"\ninterrupted. What is finished is kept; the same command goes on: {again}", file=sys.stderr)
        return 130


def _run_named(name: str, words: list[str]) -> int:
    """Import a stage, runs it with its options and says what the user can repair; return the exit status."""
    # One stage at a time is imported, so that --help does not wait for torch.
    stage = importlib.import_module(f"pipelines.{name}")
    args = build_parser(name, stage).parse_args(words)
    try:
        figures = run_stage(stage, args)
        if args.json is not None:
            write_json(args.json, figures)
    except (CompetitionError, MemoryError, OSError) as error:
        if args.debug:
            raise
        print(f"error: {_as_sentence(error, args)}", file=sys.stderr)
        return 1
    return 0


def _as_sentence(error: CompetitionError | MemoryError | OSError, args: argparse.Namespace) -> str:
    """Return what the user reads; commands in it get the track and the workspace of the command that was typed."""
    if isinstance(error, MemoryError):
        return f"the memory of this machine does not suffice ({' '.join(str(error).split()) or 'no more is free'})"
    if isinstance(error, OSError):  # a disk, a name or a right of access that no reader or writer has thought of
        where = "" if error.filename is None else f": {error.filename}"
        return f"a file can't be used ({error.strerror or error}){where}. Run it again with --debug for details."
    options = typed_options(args)
    return typed(re.sub(r"(\./run\.sh [a-z]+)\b(?! --track)", lambda command: command[1] + options, str(error)))


def build_parser(name: str, stage: ModuleType) -> argparse.ArgumentParser:
    """Return the parser of a stage: its own options and those that every stage takes."""
    parser = argparse.ArgumentParser(
        prog=typed(f"./run.sh {name}"),
        description=stage.HELP,
        epilog=typed(f"example:\n  {stage.EXAMPLE}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = parser.add_argument_group("options of every stage")
    common.add_argument(
        "--track",
        default=DEFAULT_TRACK,
        help=f"a track or YAML file (default: {DEFAULT_TRACK}; tracks, leaderboard: all)",
    )
    common.add_argument("--phantom", action="store_true", help="work on the drawn stand-in data")
    common.add_argument(
        "--workspace",
        metavar="DIR",
        help="where everything written goes (default: $COMPETITION_WORKSPACE, else the checkout or the current folder)",
    )
    common.add_argument("--json", type=Path, metavar="FILE", help="write the stage's figures there")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    stage.add_arguments(parser)  # last, because a stage may change a default (leaderboard shows all tracks)
    return parser


def run_stage(stage: ModuleType, args: argparse.Namespace) -> dict[str, Any]:
    """Run a stage and add how long it took and the most memory the process has held."""
    start = time.perf_counter()
    figures: dict[str, Any] = stage.run(args)
    figures.setdefault("seconds", round(time.perf_counter() - start, 2))
    figures.setdefault("peak_mb", peak_memory_mb())
    return figures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
