"""predict: the vote on any images, with overlays, masks, sizes and the disagreement of folds.

It needs the runs and their decision, or the model file of export, no prepared data. On the same images it gives exactly
what ``ensemble`` submits.
"""

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import Any

from competition.console import say, shout, table
from competition.files import write_json
from competition.inference.failures import failures_as_error
from competition.inference.predicting import Predictions, predict_sources
from competition.inference.sources import find_sources, split_missing
from competition.inference.summary import SUMMARY, SYNTHETIC
from competition.text import counted, few
from competition.tracks.track import Track
from competition.workspace import PHANTOM
from pipelines.choose_model import choose_model, split_model_file

HELP = """\
Predict any images with the members of a decision, or with a model file of export; prepared data is not needed.

Images are PNG, JPEG, TIFF, BMP, GIF, WebP, PPM, DICOM, NIfTI, .npy or .npz, or folders of them; with several views,
folders of views named as in the organiser's test set. The folder --out receives overlays, masks and summary.csv, with
sizes in mm where the spacing is known and the disagreement of the folds. A DICOM image also gets a DICOM SEG, which
carries the patient's identity of that image. A model file (predict model.zip IMAGE... --out DIR) needs no runs, no
track and no torch."""
STRANGE = 0.5
"""Mean Dice of the folds below which an image is named: noise has 0.35 on the demo's hands, a hand 0.9."""

EXAMPLE = "./run.sh predict --track hand_bone hand.png more_hands/ --out predicted"
FIGURES = {
    "out": "Path of the folder of results.",
    "decision": "Text: the decision that was applied.",
    "seconds_per_sample": "Seconds of reading, predicting and writing per sample.",
    "rows": "List of objects: the rows of summary.csv.",
    "failures": "List of objects: what could not be predicted (path, reason).",
}
SHOWN = 12
"""Images in the table on the screen; summary.csv has all."""
PROBABLE = 3
"""Classes of each in that table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help="images, or folders of them")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="write the results into this folder")
    parser.add_argument(
        "--decision", metavar="NAME", help="use this decision (default: the newest; tune if there is none)"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Predict everything that was given; see HELP.

    Returns:
        ``FIGURES``.

    Raises:
        CompetitionError: Something could not be predicted; the rest was written before.
    """
    model_file, given = split_model_file(args)
    paths, missing = split_missing(given)  # before torch is imported, which takes seconds
    if not paths:
        raise failures_as_error(missing, len(missing))
    model = choose_model(args, model_file)
    if model.dataset.startswith(PHANTOM):
        shout(SYNTHETIC)
    sources, empty = find_sources(model.track, paths)
    missing += empty
    if not sources:
        raise failures_as_error(missing, len(missing))
    start = time.perf_counter()
    found = predict_sources(model, sources, args.out, missing)
    per_sample = (time.perf_counter() - start) / len(sources)
    total = len(missing) + len(sources)
    _show(model.track, found)
    say(f"{counted(total - len(found.failures), 'sample')} predicted, {per_sample:.2f} s each: {args.out}")
    figures = {
        "out": str(args.out),
        "decision": model.name,
        "seconds_per_sample": round(per_sample, 4),
        "rows": found.rows,
        "failures": [vars(failure) for failure in found.failures],
    }
    if found.failures:
        if args.json is not None:
            write_json(args.json, figures)
        raise failures_as_error(found.failures, total)
    return figures


def _show(track: Track, found: Predictions) -> None:
    """Print the first images, those on which the folds agree least first."""
    if track.task == "classification":
        if "score" not in found.rows[0]:
            _show_classes(track, found)
            return
        first = track.classes[0]
        rows = [(row["name"], f"{row['score']:.4f}", _positive(row)) for row in found.rows[:SHOWN]]
        others = ("further classes decided positive",) if len(track.classes) > 1 else ()
        columns = ("name", f"score of {first}", *others)
        table(_title(len(found.rows)), columns, [row[: len(columns)] for row in rows])
        say(f"{first} has a score and no decision: choose its threshold for your use, on the ROC curve of the report")
        return
    images = {row["name"]: row["image_fold_dice"] for row in found.rows}
    present = Counter(row["name"] for row in found.rows if row["pixels"])
    ordered = sorted(images, key=lambda name: 2.0 if images[name] is None else images[name])[:SHOWN]
    rows = [(name, str(present[name]), "" if images[name] is None else f"{images[name]:.4f}") for name in ordered]
    table(f"{_title(len(images))}, on which the folds agree least", ("name", "classes found", "Dice of folds"), rows)
    strange = [name for name in ordered if images[name] is not None and images[name] < STRANGE]
    if strange:
        shout(
            f"the folds agree poorly (Dice below {STRANGE:g}) on {few(strange)}: look at the overlays, because such "
            "images may be unlike those of the training"
        )


def _show_classes(track: Track, found: Predictions) -> None:
    """Print the most probable classes of the first samples, and what is decided where the metric asks for decisions."""
    rows = []
    for row in found.rows[:SHOWN]:
        order = sorted(track.classes, key=lambda name: -row[f"{name}_probability"])
        probable = ", ".join(f"{name} {row[f'{name}_probability']:.3f}" for name in order[:PROBABLE])
        rows.append((row["name"], probable, _positive(row)))
    decided = f"{track.classes[0]}_decision" in found.rows[0]
    columns = ("name", "most probable", *(("decided",) if decided else ()))
    table(_title(len(found.rows)), columns, [row[: len(columns)] for row in rows])


def _title(count: int) -> str:
    return SUMMARY if count <= SHOWN else f"{SUMMARY}: {SHOWN} of {count:,}"


def _positive(row: dict[str, Any]) -> str:
    found = [key.removesuffix("_decision") for key, value in row.items() if key.endswith("_decision") and value]
    return ", ".join(found) or "none"
