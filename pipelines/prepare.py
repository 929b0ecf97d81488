"""prepare: raw data -> manifest, cache, folds and a contact sheet."""

import argparse
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from competition.console import progress, say, shout, table
from competition.data.cache import cache_sample, describe_sources, fingerprint, is_cached, problem_of
from competition.data.checks.duplicates import same_labels, same_pixels
from competition.data.checks.plausibility import full_masks, implausible_classes, large_classes
from competition.data.checks.shortcuts import find_shortcut
from competition.data.folds import FOLDS, Folds, fold_table
from competition.data.manifest import (
    Entry,
    Manifest,
    check_namesake,
    remember_decoded,
    reusable_entries,
    write_manifest,
)
from competition.data.sample_problems import cut_labels, narrow_ranges, settle_problems, torn_labels, turned_labels
from competition.data.sources import content_of, describe_source, find_data_files
from competition.errors import CompetitionError
from competition.reporting.contact_sheet import draw_contact_sheet
from competition.text import size_text
from competition.tracks.track import Problem, Sample, Track
from competition.workspace import Workspace
from pipelines.context import open_track
from pipelines.machine import cores
from pipelines.prepared_folds import settle_folds
from pipelines.raw_data import find_data
from pipelines.typed_options import add_fill_bad

HELP = "Reads raw data once: checks every file, caches images and labels, makes the folds, draws a contact sheet."
EXAMPLE = "./run.sh prepare --track hand_bone --data ~/hand_bone"

# Each holds a decoded image and its labels in memory.
MOST_THREADS = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the raw data (default: data/<track>, else drawn data)"
    )
    parser.add_argument("--folds", type=int, metavar="K", help=f"number of folds to make (default: {FOLDS})")
    parser.add_argument(
        "--stratified",
        action="store_true",
        help="balance strata over the folds (StratifiedGroupKFold); findings of patients always are",
    )
    parser.add_argument(
        "--refold", action="store_true", help="make other folds of your own; what was trained becomes useless"
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave out training samples that can't be used")
    add_fill_bad(parser)
    parser.add_argument("--people", type=int, metavar="N", help="drawn data: number of training people")
    parser.add_argument("--test-people", type=int, metavar="N", help="drawn data: number of test people")
    parser.add_argument("--size", type=int, metavar="PX", help="drawn data: side of an image")
    parser.add_argument("--seed", type=int, default=0, help="drawn data: another seed draws other people")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Prepares a data set; see HELP.

    Returns:
        Counts of samples, groups, classes and problems, and the paths that were made.
    """
    track = open_track(args)
    workspace, root = find_data(args, track)
    check_namesake(workspace, track)
    table_files, pictures = find_data_files(root, workspace.written_folders())
    tables = tuple(describe_source(root, table) for table in table_files)
    listing = track.list_samples(root)
    say(f"{len(listing.samples)} samples listed below {root}")
    problems = list(listing.problems)
    old = reusable_entries(workspace, track)
    entries, read_problems, made = _cache_all(track, workspace, root, listing.samples, problems, old, args.fill_bad)
    remember_decoded(workspace, track, entries)
    problems += read_problems + same_pixels(entries, track.views) + same_labels(entries)
    remarks = [*listing.remarks, *cut_labels(entries), *turned_labels(entries), *full_masks(entries, track.classes)]
    remarks += [*large_classes(entries, track.classes), *narrow_ranges(entries)]
    for remark in remarks:
        say(remark)
    entries = settle_problems(problems, entries, args.skip_bad, args.fill_bad)
    labels = {sample.key: sample.label for sample in listing.samples if sample.label is not None}
    warnings = [*implausible_classes(entries, track.classes, labels), *torn_labels(entries)]
    for warning in warnings:
        shout(warning)
    training = [entry for entry in entries if entry.split == "train"]
    folds = settle_folds(track, workspace, training, listing.kinds, args)
    # Last: until here the data of before is used.
    used = {content_of(source)[1] for entry in entries for source in entry.sources}
    unused = tuple(picture for picture in pictures if picture not in used)
    write_manifest(workspace, track, Manifest(root, tuple(entries), tables, unused))
    shortcut_auroc, alarm = find_shortcut(training, folds)
    if alarm:
        shout(alarm)
    sheet = workspace.contact_sheet_file()
    if made or not sheet.exists():
        try:
            draw_contact_sheet(sheet, workspace, track, entries)
        except CompetitionError as error:  # everything else is prepared
            shout(f"warning: no contact sheet was written: {error}")
    figures = _report(workspace, track, entries, folds, problems, made)
    return figures | {"remarks": remarks, "warnings": warnings, "shortcut_auroc": shortcut_auroc}


def _cache_all(
    track: Track,
    workspace: Workspace,
    root: Path,
    samples: Sequence[Sample],
    problems: Sequence[Problem],
    old: dict[str, Entry],
    fill_bad: bool,
) -> tuple[list[Entry], list[Problem], int]:
    """Caches what is new or changed; returns all rows, what could not be read, and how many samples were read.

    Samples are read in threads, because decoding, hashing and compressing release Python's global lock: 40 drawn
    patients of eight stills took 3.1 s instead of 4.8 s on two cores.
    """
    hopeless = {problem.key for problem in problems if problem.split == "train" and not problem.note}
    wanted = [sample for sample in samples if sample.split != "train" or sample.key not in hopeless]
    entries: list[Entry] = []
    found: list[Problem] = []
    made = 0

    def read(sample: Sample) -> tuple[Entry | None, list[Problem], bool]:
        known = old.get(sample.key)
        if known and _is_unchanged(track, workspace, root, sample, known):
            sources = describe_sources(track, root, sample, known.sources)
            return replace(known, stratum=sample.stratum, side=sample.side, sources=sources), [], False
        try:
            return *cache_sample(workspace, track, root, sample, fill=fill_bad), True
        except CompetitionError as error:
            return None, [problem_of(root, sample, error)], True

    with ThreadPoolExecutor(min(cores(), MOST_THREADS)) as pool, progress("reading", len(wanted)) as ticker:
        for sample, (entry, masked, is_new) in zip(wanted, pool.map(read, wanted), strict=True):
            if entry is not None:
                entries.append(entry)
            found += masked
            made += is_new
            ticker.advance(sample.key)
    return entries, found, made


def _is_unchanged(track: Track, workspace: Workspace, root: Path, sample: Sample, known: Entry) -> bool:
    same = known.fingerprint == fingerprint(track, root, sample, known.sources)
    return same and is_cached(workspace, track, known)


def _report(
    workspace: Workspace, track: Track, entries: Sequence[Entry], folds: Folds, problems: Sequence[Problem], made: int
) -> dict[str, Any]:
    training = [entry for entry in entries if entry.split == "train"]
    test = [entry for entry in entries if entry.split == "test"]
    groups = {entry.group for entry in training}
    columns = ["fold", "samples", "groups", "rarest class"]
    table(
        f"{workspace.dataset}: held out by each fold (no group is in two)",
        columns,
        fold_table(folds, training, track.classes),
    )
    sizes = Counter((entry.height, entry.width) for entry in entries)
    size = size_text(sizes.most_common(1)[0][0])
    counts = f"{len(training)} training samples of {len(groups)} groups, {len(test)} test samples"
    say(f"{counts}, mostly {size} (rows x columns)")
    say(f"{made} samples read, {len(entries) - made} unchanged; contact sheet: {workspace.contact_sheet_file()}")
    return {
        "dataset": workspace.dataset,
        "samples": {"train": len(training), "test": len(test), "read": made},
        "groups": len(groups),
        "classes": list(track.classes),
        "folds": {"count": folds.count, "hash": folds.hash(), "path": str(folds.path)},
        "problems": [vars(problem) for problem in problems],
        "manifest": str(workspace.manifest_file()),
        "contact_sheet": str(workspace.contact_sheet_file()),
    }
