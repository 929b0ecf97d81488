"""prepare: raw data -> manifest, cache, folds and a contact sheet."""

import argparse
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from competition.console import progress, say, shout, table
from competition.data.cache import cache_sample, fingerprint, is_cached, problem_of
from competition.data.duplicates import same_labels, same_pixels
from competition.data.folds import (
    FOLDS,
    Folds,
    fold_table,
)
from competition.data.manifest import Entry, Manifest, prepared_root, remember_decoded, reusable_entries, write_manifest
from competition.data.shortcuts import find_shortcut
from competition.errors import CompetitionError
from competition.reporting.contact_sheet import draw_contact_sheet
from competition.tracks.phantoms import PHANTOMS
from competition.tracks.track import Problem, Sample, Track
from competition.workspace import PHANTOM, Workspace, whole_folder
from pipelines.context import open_track, workspace_root
from pipelines.settled_folds import settle_folds
from pipelines.unreadable import FILL_BAD, add_fill_bad, shout_unreadable

HELP = "Reads raw data once: checks every file, caches images and labels, makes the folds, draws a contact sheet."
EXAMPLE = "./run.sh prepare --track hand_bone --data ~/hand_bone"

SHOWN_PROBLEMS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the stage's options."""
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the raw data (default: data/<track>, else drawn data)"
    )
    parser.add_argument("--folds", type=int, default=FOLDS, metavar="K", help=f"number of folds (default: {FOLDS})")
    parser.add_argument(
        "--stratified",
        action="store_true",
        help="balance strata over the folds (StratifiedGroupKFold); findings of patients always are",
    )
    parser.add_argument(
        "--refold", action="store_true", help="replace an existing fold file; trained folds become useless"
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
    workspace, root = _find_data(args, track)
    listing = track.list_samples(root)
    say(f"{len(listing.samples)} samples listed below {root}")
    problems = list(listing.problems)
    old = reusable_entries(workspace, track)
    entries, read_problems, made = _cache_all(track, workspace, root, listing.samples, problems, old, args.fill_bad)
    remember_decoded(workspace, track, entries)
    problems += read_problems + same_pixels(entries, track.views) + same_labels(entries)
    remarks = [*listing.remarks, *_cut_labels(entries)]
    for remark in remarks:
        say(remark)
    entries = _settle(problems, entries, args)
    write_manifest(workspace, track, Manifest(root, tuple(entries)))
    training = [entry for entry in entries if entry.split == "train"]
    folds = settle_folds(track, workspace, training, args)
    shortcut_auroc, alarm = find_shortcut(training, folds)
    if alarm:
        shout(alarm)
    sheet = workspace.contact_sheet_file()
    if made or not sheet.exists():
        draw_contact_sheet(sheet, workspace, track, entries)
    figures = _report(workspace, track, entries, folds, problems, made)
    return figures | {"remarks": remarks, "shortcut_auroc": shortcut_auroc}


def _find_data(args: argparse.Namespace, track: Track) -> tuple[Workspace, Path]:
    """Where the raw data is: --data, what was prepared before, data/<track>, else drawn data."""
    root = workspace_root(args)
    real = Workspace(root, track.name)
    if not args.phantom:
        if args.data is not None:
            return real, _existing(args.data.expanduser().resolve())
        if (known := prepared_root(real)) is not None:
            return real, _existing(known)
        if real.data_folder().exists():
            return real, _existing(real.data_folder())
    elif args.data is not None:
        raise CompetitionError("--phantom draws its own data, so --data can't be given with it")
    phantom = Workspace(root, PHANTOM + track.name)
    if not args.phantom:
        shout(
            f"PHANTOM DATA: {real.data_folder()} does not exist, so this works on drawn images (--data DIR gives yours)"
        )
    _draw_phantom(args, track, phantom)
    return phantom, phantom.data_folder()


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise CompetitionError("data folder not found", folder, "Give the folder of the raw data with --data DIR")
    if not any(folder.iterdir()):
        raise CompetitionError("data folder is empty", folder)
    return folder


def _draw_phantom(args: argparse.Namespace, track: Track, workspace: Workspace) -> None:
    if track.name not in PHANTOMS:
        known = ", ".join(PHANTOMS)
        raise CompetitionError(
            f"track {track.name} has no drawn data (only {known})", None, "Give yours with --data DIR"
        )
    phantom = PHANTOMS[track.name]
    people, test_people = args.people or phantom.people, args.test_people or phantom.test_people
    size = args.size or phantom.size
    recipe = f"people {people}, test people {test_people}, size {size}, seed {args.seed}\n"
    folder = workspace.data_folder()
    note = folder / "drawn.txt"
    if note.exists():
        if note.read_text() == recipe or not (args.people or args.test_people or args.size or args.seed):
            return
        say(f"drawing again: {folder} held {note.read_text().strip()}; what was trained on it goes with it")
        for made_of_it in (workspace.cache_folder(), workspace.run_folder("*").parent):
            shutil.rmtree(made_of_it, ignore_errors=True)
        workspace.fold_file().unlink(missing_ok=True)
    with (
        whole_folder(folder) as part,
        progress("drawing", (people + test_people) * phantom.steps_per_person) as ticker,
    ):
        phantom.draw(part, people, test_people, size, args.seed, ticker.advance)
        (part / "drawn.txt").write_text(recipe)


def _cache_all(
    track: Track,
    workspace: Workspace,
    root: Path,
    samples: Sequence[Sample],
    problems: Sequence[Problem],
    old: dict[str, Entry],
    fill_bad: bool,
) -> tuple[list[Entry], list[Problem], int]:
    """Caches what is new or changed; returns all rows, what could not be read, and how many samples were read."""
    hopeless = {problem.key for problem in problems if problem.split == "train" and not problem.note}
    entries: list[Entry] = []
    found: list[Problem] = []
    made = 0
    with progress("reading", len(samples)) as ticker:
        for sample in samples:
            known = old.get(sample.key)
            if sample.split == "train" and sample.key in hopeless:
                pass
            elif known and known.fingerprint == fingerprint(track, root, sample) and is_cached(workspace, track, known):
                entries.append(replace(known, stratum=sample.stratum, side=sample.side))
            else:
                try:
                    entry, masked = cache_sample(workspace, track, root, sample, fill=fill_bad)
                    entries.append(entry)
                    found += masked
                except CompetitionError as error:
                    found.append(problem_of(root, sample, error))
                made += 1
            ticker.advance(sample.key)
    return entries, found, made


def _cut_labels(entries: Sequence[Entry]) -> list[str]:
    """Says how many label pixels were neither background nor the class."""
    counts = [entry.between for entry in entries if entry.between]
    if not counts:
        return []
    return [
        f"labels: {sum(counts)} pixels of {len(counts)} label pictures lie between 0 and the maximum (soft or "
        "compressed edges) and were cut at half of it"
    ]


def _settle(problems: Sequence[Problem], entries: list[Entry], args: argparse.Namespace) -> list[Entry]:
    """Lists what is wrong, and stops unless the user has said how to go on."""
    serious = [problem for problem in problems if not problem.note]
    training = [problem for problem in serious if problem.split == "train"]
    masked = [problem for problem in serious if problem.split == "test" and problem.masked]
    lost = [problem for problem in serious if problem.split == "test" and not problem.masked]
    if problems:
        rows = [[problem.key, problem.split, problem.path, problem.reason] for problem in problems[:SHOWN_PROBLEMS]]
        table(f"{len(problems)} problems", ["sample", "split", "file", "reason"], rows)
        if len(problems) > SHOWN_PROBLEMS:
            say(f"... and {len(problems) - SHOWN_PROBLEMS} more")
    if lost:
        first = lost[0]
        raise CompetitionError(
            f"{_samples(lost)} can't be used, and a missing row voids a submission; the first: {first.reason}",
            first.path,
            ("Mend the files" if args.fill_bad else f"Mend the files, or {FILL_BAD}")
            + (" (and leave out bad training samples with --skip-bad)" if training and not args.skip_bad else ""),
        )
    if training and not args.skip_bad:
        first = training[0]
        raise CompetitionError(
            f"{_samples(training)} can't be used; the first is {first.key}: {first.reason}",
            first.path,
            "Mend the files, or leave those samples out with --skip-bad",
        )
    shout_unreadable(entries, len(masked))
    bad = {problem.key for problem in training}
    if training:
        say(f"--skip-bad: {_samples(training)} left out")
    return [entry for entry in entries if entry.split == "test" or entry.sample not in bad]


def _samples(problems: Sequence[Problem]) -> str:
    """How many samples the problems of one split concern: "1 training sample"."""
    count = len({problem.key for problem in problems})
    kind = "training" if problems[0].split == "train" else "test"
    return f"{count} {kind} sample{'s' if count > 1 else ''}"


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
    sizes = Counter((entry.width, entry.height) for entry in entries)
    width, height = sizes.most_common(1)[0][0]
    counts = f"{len(training)} training samples of {len(groups)} groups, {len(test)} test samples"
    say(f"{counts}, mostly {width}x{height} pixels")
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
