"""contest: two or more ways to do one thing, trained alike on the same drawn data, compared on what was held out."""

import argparse
from typing import Any

import pandas as pd

from competition.config import Experiment
from competition.console import say, table
from competition.ensembling.evidence import figure_of, paired_difference
from competition.models.factory import build_model
from competition.tracks import get_track
from competition.workspace import contest_root
from pipelines import prepare, train
from pipelines.contest_declaration import Contest, contest_names, find_contest, load_contestants
from pipelines.contest_figures import FIGURES
from pipelines.context import open_workspace, run_on_phantom, workspace_root
from pipelines.one_fold import Run
from pipelines.train import open_run

HELP = (
    "Trains contestants equally long on the same folds of drawn data, and compares them on what was held out.\n"
    "Without NAME it lists the contests. A contest that was cut goes on where it was."
)
EXAMPLE = "./run.sh contest soft_targets --json soft_targets.json"

HEADINGS = {
    "dice": "Dice",
    "auroc": "AUROC",
    "accuracy": "pixel accuracy",
    "ceiling": "Dice ceiling",
    "cells": "cells above all zeros",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument("contest", nargs="?", metavar="NAME", help="a contest of pipelines/contests, or a YAML file")
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
    root = contest_root(workspace_root(args), name)
    inside = argparse.Namespace(**vars(args) | {"workspace": str(root), "track": contest.track, "phantom": True})
    run_on_phantom(prepare, inside, contest.track, _drawn(contest))
    runs = {}
    for each, experiment in experiments.items():
        say(f"\n== {each} ==")
        run_on_phantom(train, inside, contest.track, _trained(contest, each, args.force))
        runs[each] = open_run(each, get_track(contest.track), open_workspace(inside), experiment)
    results = _compare(contest, runs)
    for each, result in results.items():
        result |= {"seconds": _seconds(runs[each]), "parameters": parameters[each]}
    _show(name, contest, next(iter(runs.values())), results)
    return {"contest": name, "question": contest.question, "contestants": results, "folder": str(root)}


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
    options = {"people": contest.phantom.people, "size": contest.phantom.size, "seed": contest.phantom.seed}
    words = [word for key, value in (options | {"folds": contest.folds}).items() for word in (f"--{key}", str(value))]
    return [*words, "--test-people", "1", "--stratified", "--refold"]


def _trained(contest: Contest, name: str, force: bool) -> list[str]:
    """Options of train."""
    settings = [word for setting in contest.settings(name) for word in ("--set", setting)]
    words = ["--experiment", contest.contestants[name].experiment, "--name", name, *settings]
    return [*words, "--force"] if force else words


def _compare(contest: Contest, runs: dict[str, Run]) -> dict[str, dict[str, Any]]:
    """Contestant -> column -> its figure and, but for the first, the paired difference to the first's."""
    first = next(iter(runs.values()))
    groups = [entry.group for entry in first.manifest.of("train")]
    results: dict[str, dict[str, Any]] = {name: {} for name in runs}
    for column in _columns(contest):
        figure = FIGURES[first.track.task][column]
        statistics = {name: figure(run, contest.contestants[name].rule) for name, run in runs.items()}
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


def _seconds(run: Run) -> float:
    """Training time of all folds, without predicting and scoring."""
    histories = [pd.read_csv(run.folder(fold) / "history.csv") for fold in range(run.folds.count)]
    return round(float(sum(history["seconds"].sum() for history in histories)), 1)


def _show(name: str, contest: Contest, first: Run, results: dict[str, dict[str, Any]]) -> None:
    entries, columns = first.manifest.of("train"), _columns(contest)
    headings = [heading for column in columns for heading in (HEADINGS[column], f"against {first.name} (95 %)")]
    rows = [
        [each, *(cell for column in columns for cell in _cells(column, result[column])), *_costs(result)]
        for each, result in results.items()
    ]
    held_out = f"{len(entries)} held-out samples of {len({entry.group for entry in entries})} people"
    title = f"{name}: {held_out}, {first.folds.count} folds, drawn data; 95 % intervals of paired differences"
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
