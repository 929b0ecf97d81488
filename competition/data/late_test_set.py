"""The test samples a submission is made of: those that were prepared, or a test set that came later (--test)."""

import hashlib
from dataclasses import replace
from pathlib import Path

from competition.console import progress, say, shout
from competition.data.cache import cache_sample
from competition.data.manifest import Entry, read_manifest
from competition.data.sample_problems import FILL_BAD, shout_unreadable
from competition.errors import CompetitionError
from competition.tracks.track import Problem, Sample, Track
from competition.workspace import Workspace


def find_test_samples(
    track: Track, workspace: Workspace, late: Path | None, fill_bad: bool = False
) -> tuple[Workspace, list[Entry]]:
    """Return the prepared test samples, or those of a test set that came later, read into a cache of their own.

    Args:
        track: How samples are listed and read.
        workspace: Of the data set.
        late: The folder of the later test set; None means the prepared one.
        fill_bad: Take later samples of which nothing can be read as black images.

    Returns:
        The workspace whose cache holds the samples, and the samples.

    Raises:
        CompetitionError: There are none, the folder does not exist, or a sample can't be read.
    """
    if late is None:
        entries = read_manifest(workspace, track).of("test")
        if not entries:
            raise CompetitionError(
                f"the prepared data of {workspace.dataset} has no test images",
                workspace.manifest_file(),
                "When the organisers hand them out, run ensemble --test DIR",
            )
        return workspace, entries
    folder = late.expanduser().resolve()
    if not folder.is_dir():
        raise CompetitionError("test folder not found", folder)
    listing = track.list_test(folder)
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:10]
    cache = replace(workspace, root=workspace.cache_folder() / "late" / digest)
    entries, masked_views = [], 0
    with progress("reading", len(listing.samples)) as ticker:
        for sample in listing.samples:
            entry, problems = _read_late(track, cache, folder, sample, fill_bad)
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
    return cache, entries


def _read_late(
    track: Track, cache: Workspace, folder: Path, sample: Sample, fill_bad: bool
) -> tuple[Entry, list[Problem]]:
    """Return a sample of a later test set, black where nothing of it can be read and ``fill_bad`` allows that."""
    try:
        return cache_sample(cache, track, folder, sample, fill=fill_bad)
    except CompetitionError as error:
        raise CompetitionError(error.what, error.where, f"Fix the files, or {FILL_BAD}") from error
