"""search: search training settings with Optuna, on one fold."""

import argparse
import shlex
from functools import partial
from typing import Any

from competition.console import say, table
from competition.errors import CompetitionError
from competition.runs.search import Search, SearchResult, run_search
from competition.settings import Experiment
from competition.text import counted
from competition.tracks.track import Track, fold_metric
from competition.training.search_space import Space, default_space, parse_space, settings_of
from pipelines.context import choose_experiment, open_track, open_workspace
from pipelines.executors import LOCAL, add_executor, open_executor
from pipelines.executors.task import Task, end_with_starter, is_worker

HELP = (
    "Try training settings on one fold with Optuna, stop poor trials early, and print the best as --set options.\n"
    "An interrupted search resumes; a larger --trials continues a finished one. The same command in other\n"
    "terminals, or on other machines that share the disk, takes part in the search."
)
EXAMPLE = "./run.sh search --track hand_bone --experiment quick --trials 30 --space train.lr=log:1e-4:1e-2"
FIGURES = {
    "search": "Text: the search's name.",
    "file": "Path of the Optuna study, a journal file.",
    "fold": "Whole number: the fold that scored the trials.",
    "trials": "Whole number: trials that have ended.",
    "pruned": "Whole number: trials that were stopped early.",
    "failed": "Whole number: trials that failed.",
    "best": "Object: score and settings (as --set takes them) of the best trial.",
    "all": "List of objects: settings and score of every trial, the best first; null where it did not finish.",
    "command": "Text: the command that trains the best.",
}

SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--experiment", metavar="NAME", help="an experiment of the track, or a YAML file")
    parser.add_argument("--trials", type=int, default=20, help="number of trials in all (default: 20)")
    parser.add_argument("--fold", type=int, default=0, help="fold that scores them (default: 0)")
    help_text = (
        "what to vary: log:1e-4:1e-2, 0.8:0.99, int:10:40 or bce|bce_dice; repeatable (default: learning rate, "
        "weight decay, batch size and loss around the experiment's own)"
    )
    parser.add_argument("--space", action="append", metavar="SECTION.KEY=VALUES", help=help_text)
    help_text = "change a setting of competition/settings.py; repeatable"
    parser.add_argument("--set", action="append", metavar="SECTION.KEY=VALUE", help=help_text)
    parser.add_argument("--name", metavar="NAME", help="name of the search (default: the experiment's)")
    help_text = "let N processes take the trials, one per GPU or core, or as jobs with --on (default: 1)"
    parser.add_argument("--workers", type=int, default=1, metavar="N", help=help_text)
    add_executor(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Search; see HELP.

    Returns:
        ``FIGURES``.
    """
    if args.trials < 1:
        raise CompetitionError(f"--trials {args.trials}: at least one trial is required")
    if args.workers < 1:
        raise CompetitionError(f"--workers {args.workers}: at least one process is required")
    end_with_starter()
    track, workspace, typed = open_track(args), open_workspace(args), list(args.set or [])
    chosen = choose_experiment(track, workspace, args.experiment, typed)
    search = Search(
        name=chosen.name if args.name is None else args.name,
        track=track,
        workspace=workspace,
        experiment_path=chosen.path,
        given=chosen.settings,
        space=_space(args.space, typed, chosen.experiment, track),
        fold=args.fold,
    )
    executor = open_executor(args, workspace)
    if args.workers > 1 or args.on != LOCAL:
        here = partial(run_search, search, args.trials)
        command = _worker_command(args, search)
        executor.run([Task(f"worker {number + 1}", command, here) for number in range(args.workers)])
    return _report(args, search, run_search(search, args.trials))


def _worker_command(args: argparse.Namespace, search: Search) -> list[str]:
    """Return what a user would type after ./run.sh to take part in the search."""
    words = ["search", "--track", args.track, "--name", search.name, "--trials", str(args.trials)]
    words += ["--fold", str(args.fold), "--experiment", args.experiment or search.experiment_path.stem]
    words += ["--workspace", args.workspace] if args.workspace else []
    for option, values in (("--set", args.set or []), ("--space", args.space or [])):
        words += [word for value in values for word in (option, value)]
    return [*words, *(["--phantom"] if search.workspace.phantom else []), *(["--debug"] if args.debug else [])]


def _space(asked: list[str] | None, typed: list[str], experiment: Experiment, track: Track) -> Space:
    given = [setting.partition("=")[0] for setting in typed]
    if asked is None:
        space = default_space(experiment, track, given)
        say(f"searching {', '.join(space)} around the experiment's own values (choose others by --space)")
        return space
    space = parse_space(asked)
    if both := sorted(set(space) & set(given)):
        raise CompetitionError(f"{both[0]} is given by both --set and --space", None, "Leave out one of them")
    return space


def _report(args: argparse.Namespace, search: Search, result: SearchResult) -> dict[str, Any]:
    ended, best = result.ended, result.best
    title = f"{search.name}: best of {counted(len(ended), 'trial')} on fold {search.fold} "
    title += f"({result.pruned} stopped early, {len(result.failed)} failed)"
    rows = [[f"{trial.value:.4f}", " ".join(settings_of(trial.params))] for trial in result.complete[:SHOWN]]
    command = _train_command(args, search, settings_of(best.params))
    if not is_worker():
        table(title, [fold_metric(search.track).label, "settings"], rows)
        say(f"train the best: {command}")
    return {
        "search": search.name,
        "file": str(search.workspace.search_file(search.name)),
        "fold": search.fold,
        "trials": len(ended),
        "pruned": result.pruned,
        "failed": len(result.failed),
        "best": {"score": best.value, "settings": settings_of(best.params)},
        "all": [
            {"settings": settings_of(trial.params), "score": trial.value if trial in result.complete else None}
            for trial in ended
        ],
        "command": command,
    }


def _train_command(args: argparse.Namespace, search: Search, settings: list[str]) -> str:
    words = ["./run.sh", "train", "--track", args.track]
    words += ["--phantom"] if search.workspace.phantom else []
    words += ["--workspace", args.workspace] if args.workspace else []
    words += ["--experiment", args.experiment or search.experiment_path.stem]
    for setting in (*search.given, *settings):
        words += ["--set", setting]
    return shlex.join([*words, "--name", f"{search.name}_best"])
