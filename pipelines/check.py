"""Validate a submission file: everything that is wrong with it, and what could not be checked.

Without prepared data it checks the form, the classes of every image and the bounds of the image; with prepared data
also the set of images and their order.
"""

import argparse
from pathlib import Path
from typing import Any

from competition.console import say, table
from competition.data.manifest import check_namesake, image_sizes, read_columns
from competition.errors import CompetitionError
from competition.submission.check_result import CheckResult
from competition.submission.known_images import KnownImages
from competition.tracks.track import Track
from competition.workspace import Workspace
from pipelines.context import open_track, open_workspace
from pipelines.typed_options import parse_size

HELP = "Validate a submission file."
EXAMPLE = "./run.sh check --track hand_bone submissions/hand_bone/submission.csv"

SHOWN = 20
"""Kinds of errors printed; the others are counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this stage takes."""
    parser.add_argument(
        "submission", type=Path, metavar="SUBMISSION", help="the file to check: a CSV, or a zip of .npy"
    )
    parser.add_argument(
        "--size",
        type=parse_size,
        metavar="ROWSxCOLUMNS",
        help="size of every image (default: that of the prepared images, else the track's own, as 2048x2048)",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Check a submission and print what was found.

    Returns:
        ok, errors (one of each kind, with a count), warnings, rows, images, positive_share, size_bytes, prepared
        (whether the image set was compared), not_checked (what could not be checked, and what is needed for it).

    Raises:
        CompetitionError: The submission is invalid.
    """
    track = open_track(args)
    if not track.form.accepts(args.submission):
        raise CompetitionError("no such file", args.submission)
    workspace, expected = _prepared(args, track)
    sizes = {} if args.size or workspace is None else image_sizes(workspace)
    images = KnownImages(expected, sizes, args.size or track.size_hw)
    result = track.form.check(args.submission, track.classes, images)
    _show(result)
    if not result.ok:
        count = f"{result.faults:,} errors" if result.faults > 1 else "1 error"
        raise CompetitionError(
            f"invalid submission ({count}; {result.errors[0].removesuffix('.')})",
            args.submission,
        )
    return {
        "ok": result.ok,
        "errors": result.errors,
        "warnings": result.warnings,
        "rows": result.rows,
        "images": result.images,
        "positive_share": result.positive_share,
        "size_bytes": result.size_bytes,
        "prepared": expected is not None,
        "not_checked": result.unchecked,
    }


def _prepared(args: argparse.Namespace, track: Track) -> tuple[Workspace | None, list[str] | None]:
    """Return the workspace of the submitted images and their names in order; None where there is none."""
    workspace = open_workspace(args)
    if not workspace.manifest_file().exists():
        return None, None
    check_namesake(workspace, track)
    manifest = read_columns(workspace, ["name", "split"])
    expected = [str(name) for name in manifest.loc[manifest["split"] == "test", "name"]]
    if workspace.phantom and not args.phantom and not _is_about(args.submission, track, set(expected)):
        say("these are not the images of the synthetic data (--phantom compares with those)")
        return None, None
    if not expected:
        return workspace, None
    return workspace, expected


def _is_about(submission: Path, track: Track, names: set[str]) -> bool:
    """Return whether at least half of the rows or files belong to these images."""
    found, names = track.form.names(submission), {track.form.name_in_file(name) for name in names}
    return 2 * sum(name in names for name in found) >= len(found)


def _show(result: CheckResult) -> None:
    if result.images:
        say(f"{result.rows} rows, {result.images} images or patients, {result.size_bytes / 1e6:.1f} MB")
    say(f"checked: {', '.join(result.checked)}")
    if result.ok:
        shares = ((name, f"{share:.3f}") for name, share in result.positive_share.items())
        table("share of positives", ["class", "share"], shares)
    for warning in result.warnings:
        say(f"warning: {warning}")
    errors = result.errors
    for error in errors[:SHOWN] if len(errors) > 1 else []:
        say(f"error: {error}")
    if len(errors) > SHOWN:
        say(f"error: ... and {len(errors) - SHOWN} more kinds")
    if result.unchecked:
        say(f"NOT checked: {'; '.join(result.unchecked)}")
    if result.ok:
        say("valid as far as it was checked" if result.unchecked else "submission is valid")
