"""contest: two or more ways to do one thing, trained on the same folds, compared on what was held out."""

import argparse
from collections.abc import Sequence
from typing import Any

import pandas as pd

from competition.console import say, table
from competition.data.folds import FULL, Fold
from competition.data.manifest import Entry
from competition.ensembling.selection.bootstrap import figure_of, paired_difference
from competition.errors import CompetitionError
from competition.models.factory import build_model
from competition.runs.run import Run, open_run, parse_folds
from competition.settings import Experiment
from competition.tracks import get_track
from competition.workspace import contest_root, history_file
from pipelines import prepare, train
from pipelines.contest_declaration import Contest, contest_names, find_contest, load_contestants
from pipelines.contest_figures import FIGURES
from pipelines.context import call_stage, open_workspace, workspace_root

HELP = (
    "Trains contestants on the same folds and compares them in pairs on what was held out: equally long on drawn\n"
    "data, each by its own recipe on the data that is prepared (a contest that declares no phantom; its runs lie with\n"
    "the others). Without NAME it lists the contests. A contest that was cut goes on where it was."
)
EXAMPLE = "./run.sh contest soft_targets --json soft_targets.json"

HEADINGS = {
    "dice": "Dice",
    "auroc": "AUROC",
    "accuracy": "pixel accuracy",
    "ceiling": "Dice ceiling",
    "index_and_ring": "index bones also called ring",
    "cells": "cells above all zeros",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument("contest", nargs="?", metavar="NAME", help="a contest of pipelines/contests, or a YAML file")
    parser.add_argument(
        "--fold",
        default="all",
        metavar="F",
        help="on prepared data, only what these folds hold out: 0,1 (default: all)",
    )
    parser.add_argument("--force", action="store_true", help="train again what is trained, after settings were changed")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Holds a contest; see HELP.

    Returns:
        Per contestant its figures, the differences to the first with their intervals, seconds and parameters.
    """
    if args.contest is None:
        return _list_contests()
    name, contest = find_contest(args.contest)
    experiments = load_contestants(contest)
    parameters = {each: _count_parameters(contest, experiment) for each, experiment in experiments.items()}
    say(contest.question)
    inside = _draw(args, name, contest) if contest.phantom else _prepared(args, contest)
    track, workspace = get_track(contest.track), open_workspace(inside)
    runs = {each: open_run(each, track, workspace, experiment) for each, experiment in experiments.items()}
    first = next(iter(runs.values()))
    folds = _choose_folds(args, first)
    for each in runs:
        say(f"\n== {each} ==")
        call_stage(train, inside, _trained(contest, each, args))
    entries = [entry for entry in first.manifest.of("train") if first.folds.fold_of[entry.group] in folds]
    results = _compare(contest, runs, entries)
    for each, result in results.items():
        result |= {"seconds": _seconds(runs[each], folds), "parameters": parameters[each]}
    _show(name, contest, first, entries, results)
    folder = str(first.workspace.run_folder(first.name).parent)
    return {"contest": name, "question": contest.question, "contestants": results, "folder": folder}


def _prepared(args: argparse.Namespace, contest: Contest) -> argparse.Namespace:
    return argparse.Namespace(**vars(args) | {"track": contest.track})


def _draw(args: argparse.Namespace, name: str, contest: Contest) -> argparse.Namespace:
    """Draws a contest's data into a workspace of its own, and gives the options that lead there."""
    if args.fold != "all":
        raise CompetitionError(
            f"contest {name} is held on drawn data, of which all folds are trained", None, "Drop --fold"
        )
    root = contest_root(workspace_root(args), name)
    inside = argparse.Namespace(**vars(args) | {"workspace": str(root), "track": contest.track, "phantom": True})
    call_stage(prepare, inside, _drawn(contest))
    return inside


def _choose_folds(args: argparse.Namespace, first: Run) -> list[int]:
    folds = [fold for fold in parse_folds(args.fold, first.folds.count) if fold != FULL]
    if not folds or (len(folds) == 1 and first.track.task == "classification"):
        needed = "a fold" if first.track.task == "segmentation" else "two folds (locations are chosen on the other)"
        raise CompetitionError(f"a contest of {first.track.name} needs {needed}, not --fold {args.fold}")
    return folds


def _list_contests() -> dict[str, Any]:
    contests = dict(map(find_contest, contest_names()))
    rows = [[name, contest.track, contest.question] for name, contest in contests.items()]
    table("contests (./run.sh contest NAME)", ["name", "track", "question"], rows)
    return {"contests": {name: contest.question for name, contest in contests.items()}}


def _count_parameters(contest: Contest, experiment: Experiment) -> int:
    """Also finds out, before anything is drawn, whether the network can be built."""
    model = build_model(experiment, get_track(contest.track), pretrained=False)
    return sum(parameter.numel() for parameter in model.parameters())


def _drawn(contest: Contest) -> list[str]:
    """Options of prepare. The folds are made anew each time, because the same people always get the same."""
    assert contest.phantom is not None
    options = {"people": contest.phantom.people, "size": contest.phantom.size, "seed": contest.phantom.seed}
    words = [word for key, value in (options | {"folds": contest.folds}).items() for word in (f"--{key}", str(value))]
    return [*words, "--test-people", "1", "--stratified", "--refold"]


def _trained(contest: Contest, name: str, args: argparse.Namespace) -> list[str]:
    """Options of train."""
    settings = [word for setting in contest.settings(name) for word in ("--set", setting)]
    words = ["--experiment", contest.contestants[name].experiment, "--name", name, "--fold", args.fold, *settings]
    return [*words, "--force"] if args.force else words


def _compare(contest: Contest, runs: dict[str, Run], entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """Contestant -> column -> its figure and, but for the first, the paired difference to the first's."""
    first = next(iter(runs.values()))
    groups = [entry.group for entry in entries]
    results: dict[str, dict[str, Any]] = {name: {} for name in runs}
    for column in _columns(contest):
        figure = FIGURES[first.track.task][column]
        statistics = {name: figure(run, contest.contestants[name].rule, entries) for name, run in runs.items()}
        against = statistics[first.name]
        for name, statistic in statistics.items():
            result = {"value": figure_of(statistic, len(groups))}
            if name != first.name:
                difference = paired_difference(statistic, against, groups, seed=0)
                result |= {"difference": difference.value, "low": difference.low, "high": difference.high}
            results[name][column] = result
    return results


def _columns(contest: Contest) -> list[str]:
    return [next(iter(FIGURES[get_track(contest.track).task])), *contest.columns]


def _seconds(run: Run, folds: Sequence[Fold]) -> float:
    """Training time of the folds, without predicting and scoring."""
    histories = [pd.read_csv(history_file(run.folder(fold))) for fold in folds]
    return round(float(sum(history["seconds"].sum() for history in histories)), 1)


def _show(
    name: str, contest: Contest, first: Run, entries: Sequence[Entry], results: dict[str, dict[str, Any]]
) -> None:
    columns = _columns(contest)
    headings = [heading for column in columns for heading in (HEADINGS[column], f"against {first.name} (95 %)")]
    rows = [
        [each, *(cell for column in columns for cell in _cells(column, result[column])), *_costs(result)]
        for each, result in results.items()
    ]
    held_out = f"{len(entries)} held-out samples of {len({entry.group for entry in entries})} people"
    folds = len({first.folds.fold_of[entry.group] for entry in entries})
    kind = "drawn data" if first.workspace.phantom else "real data"
    title = f"{name}: {held_out}, {folds} folds, {kind}; 95 % intervals of paired differences"
    say(f"\n{contest.question}")
    table(title, ["contestant", *headings, "seconds", "parameters"], rows)


def _cells(column: str, result: dict[str, float]) -> list[str]:
    """A figure and its difference to the first contestant's, with four digits; cells are counted."""
    digits = 0 if column == "cells" else 4
    value = f"{result['value']:.{digits}f}"
    if "difference" not in result:
        return [value, "-"]
    difference, low, high = (f"{result[key]:+.{digits}f}" for key in ("difference", "low", "high"))
    return [value, f"{difference} ({low} to {high})"]


def _costs(result: dict[str, Any]) -> list[str]:
    return [f"{result['seconds']:.0f}", f"{result['parameters']:,}"]
