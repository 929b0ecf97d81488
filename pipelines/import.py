"""import: add another team's predictions as a member of tune and ensemble. Runs no network."""  # noqa: N999

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from competition.console import say, table
from competition.runs.imports.member import ImportedPredictions, import_member, imported_scores, open_import
from competition.tracks.track import fold_metric
from pipelines.context import open_track, open_workspace

HELP = "Add another team's predictions as a member: maps, arrays or a CSV. Without --oof it needs a given weight."
EXAMPLE = "./run.sh import --track hand_bone --name theirs --oof their/oof --folds their_folds.csv --test their/test"
FIGURES = {
    "name": "Text: the member's name.",
    "folder": "Path of the imported member.",
    "classes": "List of text: its classes, in the track's order.",
    "folds": "List: folds that vote.",
    "scores": "Object: fold -> score of its held-out samples; null where it is undefined; empty without --oof.",
    "samples": "Object: oof and test (whole numbers of samples with predictions).",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--name", required=True, metavar="NAME", help="name the member, for --members of tune")
    help_text = (
        "out-of-fold predictions: a folder of .npy or .npz, one per image, a folder of our own maps, or a file or "
        "folder in submission form; several if each fold has its own"
    )
    parser.add_argument("--oof", type=Path, nargs="+", metavar="PATH", help=help_text)
    parser.add_argument("--folds", type=Path, metavar="FILE", help="CSV of group,fold or image,fold of --oof")
    parser.add_argument("--test", type=Path, metavar="PATH", help="predictions of the test images, in any of the forms")
    parser.add_argument("--classes", metavar="A,B,...", help="classes of the arrays, in order (default: the track's)")
    parser.add_argument("--force", action="store_true", help="replace an earlier import of this name")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Import; see HELP.

    Returns:
        ``FIGURES``.
    """
    track, workspace = open_track(args), open_workspace(args)
    classes = None if args.classes is None else args.classes.split(",")
    found = open_import(track, workspace, args.name, args.oof or [], args.folds, args.test, classes)
    import_member(found, args.force)
    scores = imported_scores(found)
    _report(found, scores)
    return {
        "name": args.name,
        "folder": str(workspace.run_folder(args.name)),
        "classes": list(found.kept_classes()),
        "folds": list(found.voting()),
        "scores": {str(fold): None if np.isnan(score) else score for fold, score in scores.items()},
        "samples": {"oof": sum(map(len, found.held_out.values())), "test": len(found.test)},
    }


def _report(found: ImportedPredictions, scores: dict[int, float]) -> None:
    if not scores:
        say(f"{found.name} has no out-of-fold predictions, so it votes only with a given weight: tune --weights")
        return
    metric = fold_metric(found.track)
    rows = [[fold, f"{score:.4f}"] for fold, score in scores.items()]
    table(f"{found.name}: {metric.title} of held-out samples at native size", ["fold", metric.label], rows)
    if not found.test:
        say(f"{found.name} has no test predictions yet: it can be tuned, but not used by ensemble")
