"""comparison: train two or more recipes on the same folds and compare them on held-out samples."""

import argparse
from typing import Any

from competition.console import say, table
from competition.data.folds import FULL
from competition.errors import CompetitionError
from competition.models.factory import build_model
from competition.runs.run import Run, open_run, parse_folds
from competition.settings import Experiment
from competition.tracks import get_track
from competition.workspace import comparison_root
from pipelines.comparisons.declaration import Comparison, comparison_names, find_comparison, load_recipes
from pipelines.comparisons.results import compare_recipes, show_results, training_seconds
from pipelines.context import call_stage, open_workspace, workspace_root

HELP = (
    "Train recipes on the same folds and compare them in pairs on held-out samples: with equal budgets on synthetic\n"
    "data, with each recipe's own budget on prepared data (a comparison without phantom). Without NAME, list the\n"
    "comparisons. An interrupted comparison resumes."
)
EXAMPLE = "./run.sh comparison soft_targets --json soft_targets.json"
FIGURES = {
    "comparisons": "Only without NAME: comparison -> the question it answers.",
    "comparison": "Only with NAME: text, the comparison's name.",
    "question": "Only with NAME: text, the question it answers.",
    "recipes": "Only with NAME: recipe -> figure -> value, and difference to the first recipe with low and high.",
    "folder": "Only with NAME: path of its runs.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("comparison", nargs="?", metavar="NAME", help="one of pipelines/comparisons, or a YAML file")
    help_text = "on prepared data: train only these folds, as 0,1 (default: all)"
    parser.add_argument("--fold", default="all", metavar="F", help=help_text)
    parser.add_argument("--force", action="store_true", help="train again after settings have changed")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compare recipes; see HELP.

    Returns:
        ``FIGURES``.
    """
    if args.comparison is None:
        return _list_comparisons()
    name, comparison = find_comparison(args.comparison)
    experiments = load_recipes(comparison)
    parameters = {each: _count_parameters(comparison, experiment) for each, experiment in experiments.items()}
    say(comparison.question)
    inside = argparse.Namespace(**vars(args) | {"track": comparison.track})
    if comparison.phantom is not None:
        inside = _draw(args, name, comparison)
    track, workspace = get_track(comparison.track), open_workspace(inside)
    runs = {each: open_run(each, track, workspace, experiment) for each, experiment in experiments.items()}
    first = next(iter(runs.values()))
    folds = _choose_folds(args, first)
    for each in runs:
        say(f"\n== {each} ==")
        call_stage("train", inside, _trained(comparison, each, args))
    entries = [entry for entry in first.manifest.of("train") if first.folds.fold_of[entry.group] in folds]
    results = compare_recipes(comparison, runs, entries)
    for each, result in results.items():
        result |= {"seconds": training_seconds(runs[each], folds), "parameters": parameters[each]}
    show_results(name, comparison, first, entries, results)
    folder = str(first.workspace.run_folder(first.name).parent)
    return {"comparison": name, "question": comparison.question, "recipes": results, "folder": folder}


def _draw(args: argparse.Namespace, name: str, comparison: Comparison) -> argparse.Namespace:
    """Draw a comparison's data into a workspace of its own and return the options that choose it."""
    if args.fold != "all":
        raise CompetitionError(f"comparison {name} trains all folds of its synthetic data", None, "Drop --fold")
    root = comparison_root(workspace_root(args), name)
    inside = argparse.Namespace(**vars(args) | {"workspace": str(root), "track": comparison.track, "phantom": True})
    call_stage("prepare", inside, _drawn(comparison))
    return inside


def _choose_folds(args: argparse.Namespace, first: Run) -> list[int]:
    folds = [fold for fold in parse_folds(args.fold, first.folds.count) if fold != FULL]
    if not folds or (len(folds) == 1 and first.track.task == "classification"):
        needed = "a fold" if first.track.task == "segmentation" else "two folds (locations are chosen on the other one)"
        raise CompetitionError(f"a comparison of {first.track.name} needs {needed}, not --fold {args.fold}")
    return folds


def _list_comparisons() -> dict[str, Any]:
    comparisons = dict(map(find_comparison, comparison_names()))
    rows = [[name, comparison.track, comparison.question] for name, comparison in comparisons.items()]
    table("comparisons (./run.sh comparison NAME)", ["name", "track", "question"], rows)
    return {"comparisons": {name: comparison.question for name, comparison in comparisons.items()}}


def _count_parameters(comparison: Comparison, experiment: Experiment) -> int:
    """Count the parameters of a network before any data is drawn, which also tests that it can be built."""
    model = build_model(experiment, get_track(comparison.track), pretrained=False)
    return sum(parameter.numel() for parameter in model.parameters())


def _drawn(comparison: Comparison) -> list[str]:
    """Return the options of prepare. The folds are made anew each time: the same groups always get the same folds."""
    assert comparison.phantom is not None
    words = ["--test-people", "1", "--stratified", "--refold", "--folds", str(comparison.folds)]
    for key in ("people", "size", "seed"):
        words += [f"--{key}", str(getattr(comparison.phantom, key))]
    return words


def _trained(comparison: Comparison, name: str, args: argparse.Namespace) -> list[str]:
    """Return the options of train."""
    settings = [word for setting in comparison.settings(name) for word in ("--set", setting)]
    words = ["--experiment", comparison.recipes[name].experiment, "--name", name, "--fold", args.fold, *settings]
    return [*words, "--force"] if args.force else words
