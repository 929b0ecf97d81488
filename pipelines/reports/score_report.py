"""What score prints: the score per class, of each kind of image, and its interval."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from competition.console import say, table
from competition.data.manifest import check_namesake, read_columns
from competition.ensembling.selection.bootstrap import auroc_interval, bootstrap_interval, figure_interval, table_figure
from competition.errors import CompetitionError
from competition.metrics.strata import mean_by_stratum
from competition.metrics.tables import TableMetric
from competition.submission.form import Score
from competition.text import counted
from competition.tracks.track import Track
from competition.workspace import Workspace

KINDS = {
    "stratum": "Put a strata.csv (image_name,stratum) into the data folder and run prepare",
    "side": "prepare finds the side of hands: by names that end in _R or _L, else where a person's folder holds both",
}
"""Columns of the manifest that split a score, and how to fill them."""


def report_score(result: Score, all_classes: bool) -> None:
    """Print the score of all classes, or of the worst ten, and overall."""
    scored = sorted(result.per_class.items(), key=lambda item: (item[1] is None, item[1]))
    rows = list(result.per_class.items()) if all_classes else scored[:10]
    hidden = len(rows) < len(scored)
    title = f"the worst {len(rows)} of {len(scored)} classes (--per-class shows all)" if hidden else "per class"
    of_class = result.metric if result.table is None else result.table.metric.class_label
    table(title, ["class", of_class], [(name, "-" if value is None else f"{value:.4f}") for name, value in rows])
    say(f"{result.metric} {result.score:.6f} over {counted(result.rows, 'row')}")
    if result.note:
        say(result.note)


def report_kinds(track: Track, workspaces: Sequence[Workspace], result: Score, by: str, path: Path) -> dict[str, float]:
    """Print and return the score of each stratum or side, or "unknown"; reject one that is no mean over images."""
    if not result.per_image:
        raise CompetitionError(f"--by {by} needs a mean over images, which {track.metric.title} is not")
    known = known_to_prepare(track, workspaces, by)
    kinds = [known.get(name) or "unknown" for name in result.per_image]
    if set(kinds) == {"unknown"}:
        raise CompetitionError(f"the {by} of none of these {len(kinds)} images is known", path, KINDS[by])
    means = mean_by_stratum(list(result.per_image.values()), kinds)
    rows = [(kind, kinds.count(kind), f"{mean:.4f}") for kind, mean in means.items()]
    table(f"by {by}", [by, "images", result.metric], rows)
    return means


def report_interval(track: Track, workspaces: Sequence[Workspace], result: Score, draws: int) -> dict[str, Any]:
    """Print and return the 95 % interval of the score, from resampled groups, or images whose group is unknown."""
    names = list(result.table.names if result.table is not None else result.per_unit or result.ranked)
    known = {name: name for name in names} if pools_groups(track) else known_to_prepare(track, workspaces, "group")
    groups = [f"group {known[name]}" if name in known else f"alone {name}" for name in names]
    alone = sum(name not in known for name in names)
    if result.table is not None:
        scored = table_figure(result.table.metric, result.table.truth, result.table.outputs)
        found = figure_interval(scored, groups, seed=0, draws=draws)
    elif result.ranked:
        truth, probs = np.array(list(result.ranked.values())).T
        found = auroc_interval(truth.astype(np.int64), probs, groups, seed=0, draws=draws)
    else:
        found = bootstrap_interval(np.array(list(result.per_unit.values())), groups, seed=0, draws=draws)
    low, high = found or (None, None)
    shown = "is undefined: the truth of every draw has one value only" if found is None else f"{low:.6f} .. {high:.6f}"
    count = len(set(groups))
    say(f"95 % interval of the {result.metric} {shown} ({counted(draws, 'draw')} of {counted(count, 'group')})")
    if alone:
        say(
            f"the group of {alone} of {counted(len(names), 'image')} is unknown, so each is resampled alone: the "
            "interval is too narrow where a group has several images"
        )
    return {"low": low, "high": high, "draws": draws, "groups": count, "alone": alone}


def pools_groups(track: Track) -> bool:
    """Return whether the metric pools the images of a group."""
    return not isinstance(track.metric, TableMetric) and track.metric.unit == "group"


def known_to_prepare(track: Track, workspaces: Sequence[Workspace], column: str) -> dict[str, str]:
    """Return a column of the manifests for every prepared image, by the name by which scores are joined."""
    known: dict[str, str] = {}
    for workspace in workspaces:
        if workspace.manifest_file().exists():
            check_namesake(workspace, track)
            manifest = read_columns(workspace, ["name", column])
            for name, value in zip(manifest["name"], manifest[column], strict=True):
                known[track.form.name_in_score(name)] = value
    return known
