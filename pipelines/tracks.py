"""tracks: what can be competed in, and with --check the proof: every track from raw files to a scored submission."""

import argparse
import io
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from competition.console import say, table
from competition.errors import CompetitionError
from competition.file_listing import split_part
from competition.phantoms import PHANTOMS, Draw
from competition.tracks import get_track, track_names
from competition.tracks.track import Listing, Track
from competition.workspace import Workspace
from pipelines import check, ensemble, prepare, score, train
from pipelines.context import call_stage

HELP = (
    "Lists the tracks with their forms. --check tries each on very small drawn data in a temporary workspace: every\n"
    "form of the raw data is drawn and prepared, a network trained for one epoch, its submission checked and scored."
)
EXAMPLE = "./run.sh tracks --check --real cardiac=~/sunnybrook"

DONE = "✓ "
"""Stands before what was done just now; the other cells say what the tracks declare."""

COLUMNS = ("track", "reads the original form", "phantom", "real data", "trains", "submission form", "metric")

# Enough for two folds with sick and healthy patients in each; every other track could do with fewer.
PIXELS = 128
DRAWN = ["--people", "8", "--test-people", "3", "--size", str(PIXELS)]
FOLDS = ["--folds", "2", "--stratified", "--refold"]
EXPERIMENT = "quick"
NETWORK_PIXELS = 32
TINY = {
    "model.prior": 0.3,  # so that one epoch gives masks that are not all empty
    "data.size": NETWORK_PIXELS,
    "data.crop": "null",
    "data.oversample": 1,
    "data.workers": 0,
    "train.epochs": 1,
    "train.validate_every": 1,
    "train.precision": "fp32",
    "predict.views": "[identity]",
}


@dataclass
class Result:
    """What was found out about a track.

    Attributes:
        track: The track.
        cells: Of the table, by column.
        figures: Of the steps that were done.
        failures: Step and the sentence that ended it.
    """

    track: Track
    cells: dict[str, str]
    figures: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def done(self, column: str, text: str) -> None:
        """Says in the table that something was done just now."""
        self.cells[column] = DONE + text

    def failed(self, column: str, error: CompetitionError) -> None:
        """Says in the table that something could not be done."""
        self.cells[column] = f"FAILED: {error}"
        self.failures.append(f"{self.track.name}, {column}: {error}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options; without --track it is about all tracks."""
    parser.add_argument("--check", action="store_true", help="try each track on drawn data (a minute or two)")
    parser.add_argument(
        "--real",
        action="append",
        default=[],
        metavar="TRACK=DIR",
        help="with --check: real data to prepare too; repeatable",
    )
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    parser.set_defaults(track=None)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """List the tracks or tries them; see HELP.

    Returns:
        Per track the cells of the table and, of --check, the figures of each step.

    Raises:
        CompetitionError: Something that was tried did not work; the table says what.
    """
    tracks = [get_track(name) for name in ([args.track] if args.track else track_names())]
    real = _real_folders(args, tracks)
    results = [Result(track, declared(track)) for track in tracks]
    if args.check:
        for result in results:
            _check(args, result, real.get(result.track.name, []))
    _show(results, args.markdown)
    failures = [failure for result in results for failure in result.failures]
    if failures:
        raise CompetitionError(f"{len(failures)} of these checks failed; the first: {failures[0]}")
    return {"tracks": {result.track.name: {"cells": result.cells, **result.figures} for result in results}}


def declared(track: Track) -> dict[str, str]:
    """Return the cells of a track as far as its declaration tells them."""
    phantom = PHANTOMS.get(track.name)
    return {
        "track": track.name,
        "reads the original form": " ".join(track.layout.split()),
        "phantom": "none" if phantom is None else f"{phantom.people} + {phantom.test_people} people",
        "real data": track.public_data or "none known",
        "trains": "not tried",
        "submission form": track.form.describe(track.classes),
        "metric": track.metric.title,
    }


def _real_folders(args: argparse.Namespace, tracks: Sequence[Track]) -> dict[str, list[Path]]:
    """Track name -> folders of --real."""
    if args.real and not args.check:
        raise CompetitionError("--real is data to try", None, "Give --check with it")
    folders: dict[str, list[Path]] = {}
    names = [track.name for track in tracks]
    for text in args.real:
        name, _, folder = text.partition("=")
        if name not in names or not folder:
            raise CompetitionError(f"--real takes TRACK=DIR with a track of {', '.join(names)}, not {text!r}")
        folders.setdefault(name, []).append(Path(folder).expanduser())
    return folders


def _check(args: argparse.Namespace, result: Result, real: Sequence[Path]) -> None:
    """Try all that can be tried of one track."""
    start = time.perf_counter()
    name = result.track.name
    with tempfile.TemporaryDirectory(prefix="tracks_") as folder:
        root = Path(folder)
        if name in PHANTOMS:
            _check_phantom(_inside(args, result.track, root / "phantom", phantom=True), result, root)
        else:
            result.cells["trains"] = "not tried: there is no drawn data"
        if real:
            _check_real(args, result, real, root)
    result.figures["seconds"] = round(time.perf_counter() - start, 1)
    say(f"{name}: {'FAILED' if result.failures else 'done'} in {result.figures['seconds']:.0f} s")


def _inside(args: argparse.Namespace, track: Track, root: Path, phantom: bool) -> argparse.Namespace:
    """Return the options of every stage for one track in a workspace of its own."""
    common = {"track": args.track or track.name, "workspace": str(root), "phantom": phantom}
    return argparse.Namespace(**vars(args) | common)


def _check_phantom(args: argparse.Namespace, result: Result, root: Path) -> None:
    """Drawn data from raw files to a score; the first step that fails ends it."""
    track, phantom = result.track, PHANTOMS[result.track.name]
    workspace = Workspace(root / "phantom", f"phantom_{track.name}")
    column = "phantom"
    try:
        counts = _quietly(prepare, args, [*DRAWN, *FOLDS])["samples"]
        result.done(column, f"{counts['train']} + {counts['test']} samples drawn")
        column = "reads the original form"
        forms = [_form(track, workspace.data_folder())]
        forms += [_check_form(args, track, root / f"form{at}", draw) for at, draw in enumerate(phantom.other_forms)]
        result.done(column, "; ".join(forms))
        column = "trains"
        settings = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
        trained = _quietly(train, args, ["--experiment", EXPERIMENT, "--fold", "0", *settings])
        result.done(column, f"{EXPERIMENT} at {NETWORK_PIXELS} pixels, 1 epoch")
        column = "submission form"
        submission = _quietly(ensemble, args, [])["submission"]
        checked = _quietly(check, args, [submission])
        result.done(column, result.cells[column])
        column = "metric"
        scored = _quietly(score, args, [submission, str(workspace.data_folder() / phantom.truth)])
        result.done(column, result.cells[column])
        result.figures |= {"samples": counts, "fold_score": trained["scores"]["0"], "rows": checked["rows"]}
        result.figures |= {"score": scored["score"]}
    except CompetitionError as error:
        result.failed(column, error)


def _check_form(args: argparse.Namespace, track: Track, root: Path, draw: Draw) -> str:
    """Draw and prepares data in another of the organiser's forms."""
    folder = Workspace(root, track.name).data_folder()
    draw(folder, 2, 1, PIXELS, 0, lambda: None)
    _quietly(prepare, _inside(args, track, root, phantom=False), ["--data", str(folder), *FOLDS])
    return _form(track, folder)


def _check_real(args: argparse.Namespace, result: Result, folders: Sequence[Path], root: Path) -> None:
    """Prepare real data, each folder in a workspace of its own."""
    column = "real data"
    said = []
    try:
        for number, folder in enumerate(folders):
            inside = _inside(args, result.track, root / f"real{number}", phantom=False)
            figures = _quietly(prepare, inside, ["--data", str(folder), *FOLDS])
            counts = figures["samples"]
            said.append(
                f"{counts['train']} + {counts['test']} samples of {figures['groups']} people "
                f"({_form(result.track, folder)})"
            )
            result.figures.setdefault("real", []).append(counts | {"groups": figures["groups"]})
        result.done(column, f"{result.cells[column]}: {'; '.join(said)}")
    except CompetitionError as error:
        result.failed(column, error)


def _quietly(stage: Any, args: argparse.Namespace, options: list[str]) -> dict[str, Any]:
    """Run a stage without what it says."""
    with redirect_stdout(io.StringIO()):
        return call_stage(stage, args, options)


def _form(track: Track, root: Path) -> str:
    """Return the kinds of files of a data folder's training samples: "PNG pairs", "DCM + MAT", "8 JPG + table"."""
    listing: Listing = track.list_samples(root)
    samples = [sample for sample in listing.samples if sample.split == "train"]
    images = {_kind(root, path) for sample in samples for path in sample.images if path is not None}
    labels = {_kind(root, sample.label) for sample in samples if sample.label is not None} or {"table"}
    views = f"{len(track.views)} " if len(track.views) > 1 else ""
    together = {sample.images[0] for sample in samples} == {sample.label for sample in samples}
    first = views + "/".join(sorted(images))
    if together:
        return first
    return f"{first} pairs" if images == labels else f"{first} + {'/'.join(sorted(labels))}"


def _kind(root: Path, path: str) -> str:
    """Return the ending of a file in capitals, also where the path names a part of it ("train.tfrecord#3")."""
    return split_part(root / path)[0].suffix.removeprefix(".").upper()


def _show(results: Sequence[Result], markdown: bool) -> None:
    rows = [[result.cells[column] for column in COLUMNS] for result in results]
    if not markdown:
        table(f"tracks ({DONE.strip()} done just now; the rest is declared)", COLUMNS, rows)
        return
    say(f"| {' | '.join(COLUMNS)} |")
    say("|---" * len(COLUMNS) + "|")
    for name, *cells in rows:
        say(f"| `{name}` | {' | '.join(cells)} |")
