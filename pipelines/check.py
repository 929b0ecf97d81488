"""check: validate a submission file, list all errors, and name what could not be checked.

Without prepared data it checks the form, the classes of every image and their bounds; with prepared data also the set
of images and their order.
"""

import argparse
from pathlib import Path
from typing import Any

from competition.console import say, table
from competition.data.manifest import check_namesake, image_sizes, read_columns
from competition.errors import CompetitionError
from competition.submission.check_result import CheckResult
from competition.submission.known_images import KnownImages
from competition.text import counted
from competition.tracks.track import Track
from competition.workspace import Workspace
from pipelines.context import open_track, open_workspace
from pipelines.options import add_size

HELP = "Validate a submission file"
EXAMPLE = "./run.sh check --track hand_bone submissions/hand_bone/submission.csv"
FIGURES = {
    "ok": "Whether it is valid; an invalid one is an error, which writes no JSON.",
    "errors": "List of text: empty.",
    "warnings": "List of text: what is valid but probably a mistake.",
    "rows": "Whole number: rows below the header, or files.",
    "images": "Whole number: different images, or samples in a table.",
    "positive_share": "Object: class -> share of the images with a mask, or of the rows above 0.5; 0 to 1.",
    "size_bytes": "Size of the file in bytes.",
    "prepared": "Whether the set of images was compared with the prepared one.",
    "not_checked": "List of text: what could not be checked, and what is needed for it.",
}

SHOWN = 20
"""Kinds of errors printed; the others are counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("submission", type=Path, metavar="SUBMISSION", help="validate this CSV or zip (.npy or PNG)")
    add_size(parser, "size of every image (default: that of the prepared images, else the track's own, as 2048x2048)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Check; see HELP.

    Returns:
        ``FIGURES``.

    Raises:
        CompetitionError: The submission is invalid.
    """
    track = open_track(args)
    if not track.form.accepts(args.submission):
        newest = open_workspace(args).latest_submission_file(track.form.ending)
        repair = f"The newest submission is {newest}" if newest.exists() else None
        what = "this is a folder, not a submission file" if args.submission.is_dir() else "no such file"
        raise CompetitionError(what, args.submission, repair)
    workspace, expected = _prepared(args, track)
    sizes = {} if args.size or workspace is None else image_sizes(workspace)
    images = KnownImages(expected, sizes, args.size or track.size_hw)
    result = track.form.check(args.submission, track.classes, images)
    _show(track, result)
    if not result.ok:
        count, first = counted(result.faults, "error"), result.errors[0].removesuffix(".")
        raise CompetitionError(f"invalid submission, {count}: {first}", args.submission)
    figures = ("ok", "errors", "warnings", "rows", "images", "positive_share", "size_bytes")
    found = {name: getattr(result, name) for name in figures}
    return found | {"prepared": expected is not None, "not_checked": result.unchecked}


def _prepared(args: argparse.Namespace, track: Track) -> tuple[Workspace | None, list[str] | None]:
    """Return the workspace of the submission's images, and the test images' names in order; None where unknown."""
    workspace = open_workspace(args)
    if not workspace.manifest_file().exists():
        return None, None
    check_namesake(workspace, track)
    manifest = read_columns(workspace, ["name", "split"])
    expected = [str(name) for name in manifest.loc[manifest["split"] == "test", "name"]]
    if workspace.phantom and not args.phantom:
        found, known = track.form.names(args.submission), {track.form.name_in_file(name) for name in expected}
        if 2 * sum(name in known for name in found) < len(found):
            say("these are not the synthetic images, so image names go unchecked (--phantom compares)")
            return None, None
    return workspace, expected or None


def _show(track: Track, result: CheckResult) -> None:
    if result.images:
        rows = counted(result.rows, track.form.unit.removesuffix("s"))
        images = counted(result.images, track.form.item)
        say(f"{rows}, {images}, {result.size_bytes / 1e6:.1f} MB")
    say(f"checked: {', '.join(result.checked)}")
    if result.ok:
        what = "images with a mask" if track.form.of_masks else "rows above 0.5"
        shares = {name: f"{share:.3f}" for name, share in result.positive_share.items()}
        if len(shares) > 1 and len(set(shares.values())) == 1:
            say(f"share of {what}: {next(iter(shares.values()))} in each of the {len(shares)} classes")
        else:
            table(f"share of {what}", ["class", "share"], shares.items())
    for warning in result.warnings:
        say(f"warning: {warning}")
    errors = result.errors
    for error in errors[:SHOWN] if len(errors) > 1 else []:
        say(f"error: {error}")
    if len(errors) > SHOWN:
        say(f"error: ... and {counted(len(errors) - SHOWN, 'more kind')}")
    if result.unchecked:
        say(f"NOT checked: {'; '.join(result.unchecked)}")
    if result.ok:
        say("submission is valid" + (", as far as it was checked" if result.unchecked else ""))
