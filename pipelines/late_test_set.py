"""The test samples a submission is made of: those that were prepared, or a test set that came later (--test)."""

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path

from competition.console import progress, say, shout
from competition.data.cache import cache_sample
from competition.data.manifest import Entry, read_manifest
from competition.errors import CompetitionError
from competition.tracks.track import Problem, Sample, Track
from competition.workspace import Workspace
from pipelines.unreadable import FILL_BAD, shout_unreadable


def find_test_samples(args: argparse.Namespace, track: Track, workspace: Workspace) -> tuple[Workspace, list[Entry]]:
    """The prepared test samples, or those of --test, which are read into a cache of their own."""
    if args.test is None:
        entries = read_manifest(workspace, track).of("test")
        if not entries:
            raise CompetitionError(
                f"the prepared data of {workspace.dataset} has no test images",
                workspace.manifest_file(),
                "When the organisers hand them out, run ensemble --test DIR",
            )
        return workspace, entries
    folder = args.test.expanduser().resolve()
    if not folder.is_dir():
        raise CompetitionError("test folder not found", folder)
    listing = track.list_test(folder)
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:10]
    late = replace(workspace, root=workspace.cache_folder() / "late" / digest)
    entries, masked_views = [], 0
    with progress("reading", len(listing.samples)) as ticker:
        for sample in listing.samples:
            entry, problems = _read_late(args, track, late, folder, sample)
            problems += [problem for problem in listing.problems if problem.key == sample.key]
            masked_views += sum(problem.masked for problem in problems)
            entries.append(entry)
            for problem in problems:
                shout(f"{problem.path}: {problem.reason}")
            ticker.advance(sample.key)
    for remark in listing.remarks:
        say(remark)
    shout_unreadable(entries, masked_views)
    say(f"{len(entries)} test samples read from {folder}")
    return late, entries


def _read_late(
    args: argparse.Namespace, track: Track, late: Workspace, folder: Path, sample: Sample
) -> tuple[Entry, list[Problem]]:
    """A sample of a test set that came later, black where nothing of it can be read and --fill-bad allows that."""
    try:
        return cache_sample(late, track, folder, sample, fill=args.fill_bad)
    except CompetitionError as error:
        raise CompetitionError(error.what, error.where, f"Fix the files, or {FILL_BAD}") from error
