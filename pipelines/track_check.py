"""The check of a track on very small synthetic data, and on real data: prepare, train, ensemble, check, score."""

import argparse
import io
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from competition.console import say
from competition.errors import CompetitionError
from competition.file_listing import split_part
from competition.phantoms import PHANTOMS
from competition.text import counted
from competition.tracks.track import Track
from competition.workspace import Workspace
from pipelines.context import call_stage

DONE = "✓ "
"""Prefix of a cell that was just tested; the other cells are declared."""

COLUMNS = ("track", "reads the original form", "phantom", "real data", "trains", "submission form", "metric")

# Enough for two folds with sick and healthy patients in each; every other track needs fewer.
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
    """The result of checking a track: its cells of the table by column, its figures, and messages of what failed."""

    track: Track
    cells: dict[str, str]
    figures: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def done(self, column: str, text: str) -> None:
        """Mark a column as just tested."""
        self.cells[column] = DONE + text

    def failed(self, column: str, error: CompetitionError) -> None:
        """Mark a column as failed."""
        self.cells[column] = f"FAILED: {error}"
        self.failures.append(f"{self.track.name}, {column}: {error}")


def declared(track: Track) -> dict[str, str]:
    """Return the cells of a track that follow from its declaration."""
    phantom = PHANTOMS.get(track.name)
    return {
        "track": track.name,
        "reads the original form": " ".join(track.layout.split()),
        "phantom": "none" if phantom is None else f"{phantom.people} + {phantom.test_people} people",
        "real data": track.public_data or "none known",
        "trains": "not tested",
        "submission form": track.form.describe(track.classes),
        "metric": f"{track.metric.title}, tuned {track.metric.tuned}",
    }


def check_track(args: argparse.Namespace, result: Result, real: Sequence[Path]) -> None:
    """Check one track on synthetic data, where there is any, and on folders of real data."""
    start = time.perf_counter()
    name = result.track.name
    with tempfile.TemporaryDirectory(prefix="tracks_") as folder:
        root = Path(folder)
        if name in PHANTOMS:
            _check_phantom(args, result, root)
        else:
            result.cells["trains"] = "not tested: there is no synthetic data"
        if real:
            _check_real(args, result, real, root)
    result.figures["seconds"] = round(time.perf_counter() - start, 1)
    say(f"{name}: {'FAILED' if result.failures else 'done'} in {result.figures['seconds']:.0f} s")


def _call_on(args: argparse.Namespace, track: Track, root: Path, stage: str, options: list[str]) -> dict[str, Any]:
    """Run a stage silently in a workspace of its own; the one named phantom is for synthetic data."""
    name, phantom = args.track or track.name, root.name == "phantom"
    with redirect_stdout(io.StringIO()):
        return call_stage(stage, args, options, track=name, workspace=str(root), phantom=phantom)


def _check_phantom(args: argparse.Namespace, result: Result, root: Path) -> None:
    """Go from raw files to a score on synthetic data; stop at the first step that fails."""
    track, phantom = result.track, PHANTOMS[result.track.name]
    workspace = Workspace(root / "phantom", f"phantom_{track.name}")

    def call(stage: str, *options: str) -> dict[str, Any]:
        return _call_on(args, track, workspace.root, stage, [*options])

    column = "phantom"
    try:
        counts = call("prepare", *DRAWN, *FOLDS)["samples"]
        result.done(column, f"{counts['train']} + {counts['test']} samples drawn")
        column = "reads the original form"
        forms = [_form(track, workspace.data_folder())]
        for number, draw in enumerate(phantom.other_forms):
            folder = Workspace(root / f"form{number}", track.name).data_folder()
            draw(folder, 2, 1, PIXELS, 0, lambda: None)
            _call_on(args, track, root / f"form{number}", "prepare", ["--data", str(folder), *FOLDS])
            forms.append(_form(track, folder))
        result.done(column, "; ".join(forms))
        column = "trains"
        settings = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
        trained = call("train", "--experiment", EXPERIMENT, "--fold", "0", *settings)
        result.done(column, f"{EXPERIMENT} at {NETWORK_PIXELS} pixels, 1 epoch")
        column = "submission form"
        submission = call("ensemble")["submission"]
        checked = call("check", submission)
        result.done(column, result.cells[column])
        column = "metric"
        scored = call("score", submission, str(workspace.data_folder() / phantom.truth))
        result.done(column, result.cells[column])
        result.figures |= {"samples": counts, "fold_score": trained["scores"]["0"], "rows": checked["rows"]}
        result.figures |= {"score": scored["score"]}
    except CompetitionError as error:
        result.failed(column, error)


def _check_real(args: argparse.Namespace, result: Result, folders: Sequence[Path], root: Path) -> None:
    """Prepare real data, each folder in a workspace of its own."""
    found = []
    try:
        for number, folder in enumerate(folders):
            options = ["--data", str(folder), *FOLDS]
            figures = _call_on(args, result.track, root / f"real{number}", "prepare", options)
            counts = figures["samples"]
            groups = counted(figures["groups"], "group")
            found.append(f"{counts['train']} + {counts['test']} samples of {groups} ({_form(result.track, folder)})")
            result.figures.setdefault("real", []).append(counts | {"groups": figures["groups"]})
        result.done("real data", f"{result.cells['real data']}: {'; '.join(found)}")
    except CompetitionError as error:
        result.failed("real data", error)


def _form(track: Track, root: Path) -> str:
    """Return the kinds of files of a data folder's training samples: "PNG pairs", "DCM + MAT", "8 JPG + table"."""
    samples = [sample for sample in track.list_samples(root).samples if sample.split == "train"]
    images = {_kind(root, path) for sample in samples for path in sample.images if path is not None}
    labels = {_kind(root, sample.label) for sample in samples if sample.label is not None} or {"table"}
    first = (f"{len(track.views)} " if len(track.views) > 1 else "") + "/".join(sorted(images))
    if {sample.images[0] for sample in samples} == {sample.label for sample in samples}:
        return first
    return f"{first} pairs" if images == labels else f"{first} + {'/'.join(sorted(labels))}"


def _kind(root: Path, path: str) -> str:
    """Return the ending of a file in capitals, also where the path names a part of it ("train.tfrecord#3")."""
    return split_part(root / path)[0].suffix.removeprefix(".").upper()
