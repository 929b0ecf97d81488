"""Says whether the organiser would take a submission, everything that is wrong with it, and what could not be checked.

Without prepared data it looks at the form, the classes of every image and the bounds of the image; with prepared data
also at the set of images and their order.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from competition.console import say, table
from competition.data.manifest import check_namesake, read_columns
from competition.errors import CompetitionError
from competition.formats.csv_files import read_csv
from competition.submission.array_zip.files import list_plane_files, plane_file_name
from competition.submission.array_zip.validator import check_planes_submission
from competition.submission.submission_files import ID_COLUMN
from competition.submission.validator import CheckResult, check_rle_submission, check_table_submission
from competition.text import size_text
from competition.tracks.track import Track
from competition.workspace import Workspace
from pipelines.context import open_track, open_workspace

HELP = "Would the organiser take this submission?"
EXAMPLE = "./run.sh check --track hand_bone submissions/hand_bone/submission.csv"

SHOWN = 20
"""Kinds of errors printed; the others are counted."""

NEEDS_TEST_IMAGES = "no test images are prepared: run prepare"
NEEDS_SIZE = "no sizes are known: run prepare, or give --size ROWSxCOLUMNS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what only this stage takes."""
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
    """Checks and prints.

    Returns:
        ok, errors (one of each kind, with a count), warnings, rows, images, positive_share, size_bytes, prepared
        (whether the image set was compared), not_checked (what could not be checked, and what is needed for it).

    Raises:
        CompetitionError: The organiser would refuse the file.
    """
    track = open_track(args)
    if not (args.submission.is_file() or (track.submission == "planes" and args.submission.is_dir())):
        raise CompetitionError("no such file", args.submission)
    workspace, expected = _prepared(args, track)
    result, looked, unchecked = _look(args, track, workspace, expected)
    _show(result, looked, unchecked)
    if not result.ok:
        count = f"{result.faults:,} errors" if result.faults > 1 else "1 error"
        raise CompetitionError(
            f"the organiser would refuse this submission ({count}; {result.errors[0].removesuffix('.')})",
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
        "not_checked": unchecked,
    }


def _look(
    args: argparse.Namespace, track: Track, workspace: Workspace | None, expected: list[str] | None
) -> tuple[CheckResult, list[str], list[str]]:
    """What was found, what was looked at, and what could not be checked."""
    images = [] if expected is None else ["image set"]
    order = [] if expected is None else ["image set", "order"]
    no_images = [] if expected is not None else [f"whether images are missing or unknown ({NEEDS_TEST_IMAGES})"]
    if track.submission == "table":
        result = check_table_submission(args.submission, ID_COLUMN, track.classes, expected)
        return result, ["form", "values", *order], no_images
    sizes = {} if args.size or workspace is None else image_sizes(workspace)
    size_hw = args.size or track.size_hw
    bounds = ["bounds"] if sizes else [f"bounds of {size_text(size_hw)}"] if size_hw else []
    if track.submission == "planes":
        result = check_planes_submission(args.submission, track.classes, size_hw, expected, sizes)
        no_sizes = [] if bounds else [f"the sizes of arrays ({NEEDS_SIZE})"]
        return result, ["form", "values", "background", *bounds, *images], [*no_images, *no_sizes]
    result = check_rle_submission(args.submission, track.classes, size_hw, expected, sizes, track.rle_form)
    no_sizes = [] if bounds else [f"whether runs leave their image ({NEEDS_SIZE})"]
    return result, ["form", "classes", "run lengths", *bounds, *order], [*no_images, *no_sizes]


def parse_size(text: str) -> tuple[int, int]:
    """Reads "2048x1536" as rows and columns."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not ROWSxCOLUMNS, for example 2048x2048")
    return int(match[1]), int(match[2])


def image_sizes(*workspaces: Workspace) -> dict[str, tuple[int, int]]:
    """Image name -> rows and columns of what is prepared; a later workspace wins over an earlier one."""
    sizes = {}
    for workspace in workspaces:
        if workspace.manifest_file().exists():
            manifest = read_columns(workspace, ["name", "height", "width", "split"])
            # Test images last: where a training image bears the same name, it is not the one that is handed in.
            ordered = manifest.sort_values("split", ascending=False, kind="stable")
            for name, height, width in ordered[["name", "height", "width"]].dropna().itertuples(index=False):
                sizes[str(name)] = (int(height), int(width))
    return sizes


def _prepared(args: argparse.Namespace, track: Track) -> tuple[Workspace | None, list[str] | None]:
    """The workspace of the images this submission is about, and their names in order; None where there is none."""
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
    """Whether at least half of the rows or files belong to these images."""
    if track.submission == "planes":
        found, names = list_plane_files(submission), {plane_file_name(name) for name in names}
    else:
        found = [fields[0] for _, fields in read_csv(submission)[1]]
    return 2 * sum(name in names for name in found) >= len(found)


def _show(result: CheckResult, looked: Sequence[str], unchecked: Sequence[str]) -> None:
    if result.images:
        say(f"{result.rows} rows, {result.images} images or patients, {result.size_bytes / 1e6:.1f} MB")
    say(f"checked: {', '.join(looked)}")
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
    if unchecked:
        say(f"NOT checked: {'; '.join(unchecked)}")
    if result.ok:
        say("ok as far as it was checked" if unchecked else "ok: no error found")
