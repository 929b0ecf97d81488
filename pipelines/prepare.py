"""prepare: read raw data; write the manifest, the cache, the folds and a contact sheet."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from competition.console import say, shout
from competition.data.checks.duplicates import same_labels, same_pixels
from competition.data.checks.shortcuts import find_shortcut
from competition.data.folds import FOLDS
from competition.data.manifest import (
    Entry,
    Manifest,
    check_namesake,
    remember_decoded,
    reusable_entries,
    write_manifest,
)
from competition.data.preparation.corrections import Corrections, read_corrections, record_corrections, with_corrections
from competition.data.preparation.raw_data import Drawing, find_data
from competition.data.preparation.read_samples import cache_all
from competition.data.preparation.sample_problems import settle_problems
from competition.data.preparation.settled_folds import settle_folds
from competition.data.sources import content_of, describe_source, find_data_files
from competition.drawing.contact_sheet import draw_contact_sheet
from competition.ensembling.segmentation.true_objects import find_true_objects, read_drawn_labels
from competition.errors import CompetitionError
from competition.machine import cores
from competition.text import counted
from competition.tracks.track import Listing, Problem, Track
from competition.workspace import Workspace
from pipelines.context import open_track, workspace_root
from pipelines.options import add_fill_bad, folder_or_address
from pipelines.reports.data_remarks import say_remarks, shout_warnings
from pipelines.reports.preparation_report import report_plan, report_preparation

HELP = "Read raw data once: check every file, cache images and labels, make folds, draw a contact sheet."
EXAMPLE = "./run.sh prepare --track hand_bone --data ~/hand_bone"
FIGURES = {
    "dataset": "Text: the data set, phantom_<track> for synthetic data.",
    "samples": "Object: train, test and read (whole numbers of samples; read from raw files now, not cached before).",
    "groups": "Whole number: groups of the training samples.",
    "classes": "List of text: the classes in the order of the planes or columns.",
    "folds": "Object: count, hash and path of the fold file; null in a plan where folds depend on the masks.",
    "problems": "List of objects: what is wrong with samples (key, split, path, reason, repair ...).",
    "manifest": "Only without --plan: path of the manifest.",
    "contact_sheet": "Only without --plan: path of the contact sheet.",
    "remarks": "List of text: what was noticed and changes nothing.",
    "warnings": "Only without --plan: list of text: what is probably a mistake in the data.",
    "corrected_labels": "Only without --plan: whole number: labels that --corrections changed; 0 without it.",
    "shortcut_auroc": "Only without --plan: AUROC of the first class from traits of the files; null if not measured.",
    "plan": "Only with --plan: split -> list of its first samples (image, mask or classes, key, group, stratum, fold).",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    help_text = "folder of the raw data, or s3://, gs://, https://....zip (default: data/<track>, else synthetic data)"
    parser.add_argument("--data", type=folder_or_address, metavar="DIR", help=help_text)
    parser.add_argument("--folds", type=int, metavar="K", help=f"make K folds (default: {FOLDS})")
    help_text = "balance strata over the folds (StratifiedGroupKFold); findings of patients always are balanced"
    parser.add_argument("--stratified", action="store_true", help=help_text)
    parser.add_argument("--refold", action="store_true", help="make new folds; runs trained on the old become invalid")
    parser.add_argument("--skip-bad", action="store_true", help="leave out invalid training samples")
    add_fill_bad(parser)
    parser.add_argument("--corrections", type=Path, metavar="DIR", help="use the corrected labels of ./run.sh review")
    parser.add_argument("--plan", action="store_true", help="print how samples are named, grouped and split; read none")
    parser.add_argument("--people", type=int, metavar="N", help="synthetic data: number of training persons")
    parser.add_argument("--test-people", type=int, metavar="N", help="synthetic data: number of test persons")
    parser.add_argument("--size", type=int, metavar="PX", help="synthetic data: side of an image in pixels")
    parser.add_argument("--seed", type=int, default=0, help="synthetic data: draw other persons")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Prepare; see HELP.

    Returns:
        ``FIGURES``.
    """
    track = open_track(args)
    drawing = Drawing(args.people, args.test_people, args.size, args.seed)
    count = FOLDS if args.folds is None else args.folds
    workspace, root = find_data(track, workspace_root(args), args.data, args.phantom, drawing, count)
    check_namesake(workspace, track)
    # Described before they are read, so that a table that changes meanwhile is seen to have changed.
    table_files, pictures = find_data_files(root, workspace.written_folders())
    tables = tuple(describe_source(root, table) for table in table_files)
    listing = track.list_samples(root)
    say(f"{counted(len(listing.samples), 'sample')} listed below {root}")
    if args.plan:
        return report_plan(args, track, workspace, root, listing)
    entries, problems, made, corrections = _read(args, track, workspace, root, listing)
    remarks = say_remarks(track, listing, entries)
    entries = settle_problems(problems, entries, args.skip_bad, args.fill_bad)
    warnings = shout_warnings(track, workspace, listing, entries)
    training = [entry for entry in entries if entry.split == "train"]
    folds = settle_folds(track, workspace, training, listing.kinds, args.folds, args.stratified, args.refold)
    # Only now, because earlier errors leave the old manifest valid.
    write_manifest(workspace, track, Manifest(root, tuple(entries), tables, _unused(pictures, entries)))
    corrected = record_corrections(track, workspace, root, listing.samples, entries, corrections)
    shortcut_auroc, alarm = find_shortcut(training, folds)
    if alarm:
        shout(alarm)
    if made or not workspace.contact_sheet_file().exists():
        _draw_sheet(track, workspace, entries)
    figures = report_preparation(workspace, track, entries, folds, problems, made)
    figures |= {"remarks": remarks, "warnings": warnings}
    return figures | {"shortcut_auroc": shortcut_auroc, "corrected_labels": corrected}


def _read(
    args: argparse.Namespace, track: Track, workspace: Workspace, root: Path, listing: Listing
) -> tuple[list[Entry], list[Problem], int, Corrections]:
    """Cache what is new; return all samples, their problems, how many were read, and their corrections."""
    problems = list(listing.problems)
    old = reusable_entries(workspace, track)
    corrections = read_corrections(track, args.corrections, listing.samples)
    reading, samples = with_corrections(track, root, listing.samples, corrections)
    entries, found, made = cache_all(reading, workspace, root, samples, problems, old, args.fill_bad, cores())
    # Before problems stop the stage: what is cached is not read again once they are repaired.
    remember_decoded(workspace, track, entries)
    problems += found + same_pixels(entries, track.views) + same_labels(entries)
    return entries, problems, made, corrections


def _unused(pictures: Sequence[str], entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return the pictures that no sample was read from."""
    used = {content_of(source)[1] for entry in entries for source in entry.sources}
    return tuple(picture for picture in pictures if picture not in used)


def _draw_sheet(track: Track, workspace: Workspace, entries: Sequence[Entry]) -> None:
    """Draw the contact sheet; warn where that fails, because all else is prepared by then.

    True objects are found by the manifest and the record of corrections, so both must have been written.
    """
    try:
        objects = find_true_objects(track, workspace)
        drawn_labels = partial(read_drawn_labels, track, workspace, objects=objects)
        draw_contact_sheet(workspace.contact_sheet_file(), workspace, track, entries, drawn_labels)
    except CompetitionError as error:
        shout(f"warning: no contact sheet was written: {error}")
