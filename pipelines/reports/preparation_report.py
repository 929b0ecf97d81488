"""What prepare prints: the plan of a preparation, and its folds and counts once it is done."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from competition.console import say, shout, table
from competition.data.folds import Folds, fold_table
from competition.data.manifest import Entry
from competition.data.preparation.plan import plan_columns, plan_rows, planned_folds, usable_training
from competition.data.preparation.sample_problems import list_problems
from competition.errors import CompetitionError
from competition.text import counted, size_text
from competition.tracks.track import WARNING, Listing, Problem, Track
from competition.workspace import Workspace


def report_plan(
    args: argparse.Namespace, track: Track, workspace: Workspace, root: Path, listing: Listing
) -> dict[str, Any]:
    """Print the first samples of each split, all problems and counts; read and write nothing."""
    training = usable_training(listing)
    test = [sample for sample in listing.samples if sample.split == "test"]
    serious = list_problems(listing.problems, listing.samples)
    for remark in listing.remarks:
        (shout if remark.startswith(WARNING) else say)(remark)
    folds, fault = None, None
    try:
        folds = planned_folds(track, workspace, listing, args.folds, args.stratified, args.refold)
    except CompetitionError as error:  # the table shows why
        fault = error
    rows = {"train": plan_rows(track, root, training, folds), "test": plan_rows(track, root, test, folds)}
    columns = plan_columns(track)
    for split, shown in rows.items():
        if shown:
            table(f"{workspace.dataset}: the first samples of {split}", columns, shown)
    if fault is not None:
        raise fault
    groups = {sample.group for sample in training}
    strata = Counter(sample.stratum for sample in training if sample.stratum)
    how = "depend on the masks" if folds is None else f"{folds.count} ({folds.how or folds.path})"
    balanced = f", strata {', '.join(f'{name} {count}' for name, count in sorted(strata.items()))}" if strata else ""
    samples = f"{counted(len(training), 'training sample')} of {counted(len(groups), 'group')}{balanced}"
    say(f"plan: {samples}, {counted(len(test), 'test sample')}, {counted(len(serious), 'problem')}; folds: {how}")
    say(_scored_and_written(track))
    say("no image was read and nothing was written; prepare without --plan does both")
    return {
        "dataset": workspace.dataset,
        "samples": {"train": len(training), "test": len(test), "read": 0},
        "groups": len(groups),
        "classes": list(track.classes),
        "folds": folds and {"count": folds.count, "hash": folds.hash(), "path": str(folds.path)},
        "problems": [vars(problem) for problem in listing.problems],
        "remarks": listing.remarks,
        "plan": {
            split: [dict(zip(plan_columns(track), row, strict=True)) for row in shown] for split, shown in rows.items()
        },
    }


def _scored_and_written(track: Track) -> str:
    return f"scored by {track.metric.title}, submitted as {track.form.describe(track.classes)}"


def report_preparation(
    workspace: Workspace, track: Track, entries: Sequence[Entry], folds: Folds, problems: Sequence[Problem], made: int
) -> dict[str, Any]:
    """Print the folds and counts of a preparation that read ``made`` samples; return them."""
    training = [entry for entry in entries if entry.split == "train"]
    test = [entry for entry in entries if entry.split == "test"]
    groups = {entry.group for entry in training}
    title = f"{workspace.dataset}: held-out samples of each fold (no group is in two folds)"
    table(title, ["fold", "samples", "groups", "rarest class"], fold_table(folds, training, track.classes))
    size = size_text(Counter((entry.height, entry.width) for entry in entries).most_common(1)[0][0])
    counts = f"{counted(len(training), 'training sample')} of {counted(len(groups), 'group')}"
    counts += f", {counted(len(test), 'test sample')}"
    say(f"{counts}, mostly {size} (rows x columns)")
    say(_scored_and_written(track))
    sheet = workspace.contact_sheet_file()
    say(f"{counted(made, 'sample')} read, {len(entries) - made} cached; contact sheet: {sheet}")
    return {
        "dataset": workspace.dataset,
        "samples": {"train": len(training), "test": len(test), "read": made},
        "groups": len(groups),
        "classes": list(track.classes),
        "folds": {"count": folds.count, "hash": folds.hash(), "path": str(folds.path)},
        "problems": [vars(problem) for problem in problems],
        "manifest": str(workspace.manifest_file()),
        "contact_sheet": str(sheet),
    }
