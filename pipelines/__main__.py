"""The command line: ``./run.sh STAGE [options]``, or ``medcomp STAGE [options]`` where pip installed the program.

Each stage is a module with HELP, EXAMPLE, FIGURES (what --json holds), add_arguments and run.
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
from typing import Any, NoReturn

from competition.console import finish_output
from competition.data.remote.remote_files import without_secrets
from competition.errors import CompetitionError
from competition.files import write_json
from competition.installation import CHECKOUT, commands_as_typed, typed
from competition.machine import peak_memory_mb
from competition.text import nearest_hint, shown
from pipelines.executors.task import is_worker
from pipelines.options import DEFAULT_TRACK, typed_options

STAGES = (
    *("demo", "tracks", "prepare", "doctor", "train", "search", "import", "tune", "ensemble", "predict", "export"),
    *("score", "check", "vote", "report", "explain", "review", "compare", "comparison", "race", "bench"),
    *("leaderboard", "completion"),
)
ALIASES = {"contest": "comparison"}
"""Earlier name of a stage -> its name."""

# As run.sh exports it, with the reasons. The C library reads its part before Python starts.
ENVIRONMENT = {
    "PYTHONSAFEPATH": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "THP_MEM_ALLOC_ENABLE": "1",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
}

OVERVIEW = """\
usage: ./run.sh STAGE [options]        (./run.sh STAGE --help explains a stage)

  in this order:
    demo         run the whole pipeline on synthetic data: no download, no GPU, a few minutes
    prepare      check and cache raw data, make folds          ./run.sh prepare --track hand_bone --data DIR
    doctor       memory, time and disk before training         ./run.sh doctor --experiment strong
    train        train one model per fold                      ./run.sh train --fold 0..4
    tune         choose weights, thresholds, post-processing   ./run.sh tune --members quick,strong
    ensemble     predict test images, write a submission       ./run.sh ensemble
  at any time:
    predict      predict any images with a decision            ./run.sh predict IMAGE... --out DIR
    export       write the whole ensemble as one file          ./run.sh export --out model.zip
    tracks       list the tracks and test them                 ./run.sh tracks --check
    report       show results and worst images on a page       ./run.sh report --open
    search       search training settings with Optuna          ./run.sh search --trials 30
    review       find and correct wrong labels                 ./run.sh review --out corrections
    import       import another team's predictions             ./run.sh import --name theirs --test DIR
    score        score a submission                            ./run.sh score SUBMISSION.csv TRUTH
    check        validate a submission file                    ./run.sh check SUBMISSION.csv
    vote         join submissions by a weighted vote           ./run.sh vote A.csv B.csv --out V.csv
    explain      show what a class depends on in an image      ./run.sh explain SAMPLE --out DIR
    compare      show where two submissions differ             ./run.sh compare A.csv B.csv
    comparison   compare recipes on the same folds             ./run.sh comparison soft_targets
    race         race quick against a plain notebook           ./run.sh race --only legs
    bench        time the last mile beside its rivals          ./run.sh bench --quick
    leaderboard  rank all submissions                          ./run.sh leaderboard
    completion   complete stages and options in a shell        ./run.sh completion bash
    test         run ruff, mypy and the tests (in a checkout)

  tracks: hand_bone (default), aneurysm, cardiac, lumbar, knee, legs, or a file of your own.
  Without data under data/<track> the stages use synthetic data, with a warning.
"""


def command() -> int:
    """Run the stage typed after ``medcomp``; without the environment of run.sh the process replaces itself first."""
    if missing := ENVIRONMENT.keys() - os.environ.keys():
        os.execve(sys.executable, sys.orig_argv, os.environ | {name: ENVIRONMENT[name] for name in missing})
    return main(sys.argv[1:])


def main(arguments: list[str]) -> int:
    """Run a stage, given the words after ./run.sh or medcomp.

    Returns:
        The exit status: 0 done, 1 an error that the user can repair, 2 a wrong command line, 130 interrupted. Output
        into a closed pipe (``| head -1``) is not an error; output that can't be written to a full disk is one.
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
    if lost is None or isinstance(lost, BrokenPipeError) or is_worker():
        return status
    print(f"error: the output can't be written ({lost.strerror or lost}).", file=sys.stderr)
    return status or 1


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(typed(OVERVIEW), end="")
        return 0
    name = ALIASES.get(arguments[0], arguments[0])
    if name not in STAGES:
        program, known = ("run.sh", [*STAGES, "test"]) if CHECKOUT else ("medcomp", [*STAGES])
        hint = nearest_hint(name, known)
        stages = f" Stages are {', '.join(known)}." if hint.endswith("?") else ""
        print(f"{program}: unknown stage {shown(name)}{hint}{stages}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM is handled like Ctrl-C
    try:
        return _run_named(name, arguments[1:])
    except KeyboardInterrupt:
        if is_worker():  # the process that started it prints how to resume
            return 130
        again = typed(without_secrets(f"./run.sh {shlex.join(arguments)}"))
        print(f"\ninterrupted. Finished work is kept; to resume: {again}", file=sys.stderr)
        return 130


def _run_named(name: str, words: list[str]) -> int:
    """Run a stage with its options, print an error that the user can repair; return the exit status."""
    # Only one stage is imported, so that --help does not wait for torch.
    stage = importlib.import_module(f"pipelines.{name}")
    args = build_parser(name, stage).parse_args(words)
    start = time.perf_counter()
    try:
        figures: dict[str, Any] = stage.run(args)
        costs = {"seconds": round(time.perf_counter() - start, 2), "peak_mb": peak_memory_mb()}
        if args.json is not None:
            write_json(args.json, costs | figures)
    except (CompetitionError, MemoryError, OSError) as error:
        if args.debug:
            raise
        print(f"error: {_as_sentence(error, args)}", file=sys.stderr)
        return 1
    return 0


def _as_sentence(error: CompetitionError | MemoryError | OSError, args: argparse.Namespace) -> str:
    """Return the message of an error; commands in it get the track and workspace of the command that was typed."""
    if isinstance(error, MemoryError):
        return f"out of memory ({' '.join(str(error).split()) or 'none is free'})"
    if isinstance(error, OSError):  # a disk, a name or a permission that no reader or writer expects
        where = "" if error.filename is None else f": {error.filename}"
        return f"a file can't be used ({error.strerror or error}){where}. Run it again with --debug for details."
    return commands_as_typed(str(error), typed_options(args))


class StageParser(argparse.ArgumentParser):
    """A parser whose errors end with the stage's example."""

    def error(self, message: str) -> NoReturn:
        """Print the usage, the error and the example; end the program with status 2."""
        unknown = re.match(r"unrecognized arguments: (-[^\s=]+)", message)
        if unknown and unknown[1] == "--on":
            message = "this stage runs in this process: --on is an option of train, search and ensemble"
        elif unknown:
            known = [option.removeprefix("--") for option in self._option_string_actions if option.startswith("--")]
            message = f"unknown option {unknown[1]}{nearest_hint(unknown[1].lstrip('-'), known, '--')}"
        if wrong := re.fullmatch(r"argument (.+): invalid (int|float) value: (.+)", message):
            message = f"{wrong[1]} takes a {'whole number' if wrong[2] == 'int' else 'number'}, not {wrong[3]}"
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: error: {message}\n{self.epilog}\n")


def build_parser(name: str, stage: ModuleType) -> argparse.ArgumentParser:
    """Return the parser of a stage: its own options and the common ones."""
    parser = StageParser(
        prog=typed(f"./run.sh {name}"),
        description=stage.HELP,
        epilog=typed(f"example:\n  {stage.EXAMPLE}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # --folds 2 would be taken for --folds-per-gpu 2
    )
    common = parser.add_argument_group("options of every stage")
    help_text = f"choose a track, or give its YAML or Python file (default: {DEFAULT_TRACK}; tracks, leaderboard: all)"
    common.add_argument("--track", default=DEFAULT_TRACK, help=help_text)
    common.add_argument("--phantom", action="store_true", help="use synthetic data")
    help_text = "write everything there (default: $COMPETITION_WORKSPACE, else the checkout or the current folder)"
    common.add_argument("--workspace", metavar="DIR", help=help_text)
    common.add_argument("--json", type=Path, metavar="FILE", help="write the stage's figures to a JSON file")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    stage.add_arguments(parser)  # last, because a stage may change a default (leaderboard shows all tracks)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
