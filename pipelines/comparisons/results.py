"""The results of a comparison: every recipe's figures and their paired differences to those of the first."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from competition.console import say, table
from competition.data.folds import Fold
from competition.ensembling.selection.bootstrap import figure_of, paired_difference
from competition.runs.run import Run
from competition.text import counted
from competition.tracks import get_track
from competition.workspace import history_file
from pipelines.comparisons.declaration import Comparison
from pipelines.comparisons.figures import Entries, figures_of

HEADINGS = {
    "dice": "Dice",
    "auroc": "AUROC",
    "accuracy": "pixel accuracy",
    "attainable_dice": "attainable Dice",
    "index_and_ring": "index bones also called ring",
    "cells": "cells above all zeros",
}


def compare_recipes(comparison: Comparison, runs: dict[str, Run], entries: Entries) -> dict[str, dict[str, Any]]:
    """Compare the trained runs of all recipes with the first on held-out samples.

    Returns:
        Recipe -> column -> its figure and, except for the first, the paired difference to the first's.
    """
    first = next(iter(runs.values()))
    groups = [entry.group for entry in entries]
    results: dict[str, dict[str, Any]] = {name: {} for name in runs}
    for column in _columns(comparison):
        figure = figures_of(first.track)[column]
        statistics = {name: figure(run, comparison.recipes[name].rule, entries) for name, run in runs.items()}
        against = statistics[first.name]
        for name, statistic in statistics.items():
            result = {"value": figure_of(statistic, len(groups))}
            if name != first.name:
                difference = paired_difference(statistic, against, groups, seed=0)
                result |= {"difference": difference.value, "low": difference.low, "high": difference.high}
            results[name][column] = result
    return results


def _columns(comparison: Comparison) -> list[str]:
    """Return the figures of a comparison, the track's own metric first."""
    return [next(iter(figures_of(get_track(comparison.track)))), *comparison.columns]


def training_seconds(run: Run, folds: Sequence[Fold]) -> float:
    """Return the training time of folds, without predicting and scoring."""
    histories = [pd.read_csv(history_file(run.folder(fold))) for fold in folds]
    return round(float(sum(history["seconds"].sum() for history in histories)), 1)


def show_results(
    name: str, comparison: Comparison, first: Run, entries: Entries, results: dict[str, dict[str, Any]]
) -> None:
    """Print a table of the results of ``compare_recipes``, with seconds and parameters added."""
    columns = _columns(comparison)
    headings = [heading for column in columns for heading in (HEADINGS[column], f"against {first.name} (95 %)")]
    rows = []
    for each, result in results.items():
        cells = [cell for column in columns for cell in _cells(column, result[column])]
        rows.append([each, *cells, f"{result['seconds']:.0f}", f"{result['parameters']:,}"])
    held_out = f"{len(entries)} held-out samples of {counted(len({entry.group for entry in entries}), 'group')}"
    folds = counted(len({first.folds.fold_of[entry.group] for entry in entries}), "fold")
    kind = "synthetic data" if first.workspace.phantom else "real data"
    title = f"{name}: {held_out}, {folds}, {kind}; 95 % intervals of paired differences"
    say(f"\n{comparison.question}")
    table(title, ["recipe", *headings, "seconds", "parameters"], rows)


def _cells(column: str, result: dict[str, float]) -> list[str]:
    """Return a figure and its difference to the first recipe's, with four digits; cells are counted."""
    digits = 0 if column == "cells" else 4
    value = f"{result['value']:.{digits}f}"
    if "difference" not in result:
        return [value, "-"]
    difference, low, high = (f"{result[key]:+.{digits}f}" for key in ("difference", "low", "high"))
    return [value, f"{difference} ({low} to {high})"]
