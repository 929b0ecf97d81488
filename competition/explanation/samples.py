"""The samples that are to be explained: prepared ones by name, and image files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from competition.data.cache import cache_sample
from competition.data.manifest import Entry, Manifest, entries_by_name
from competition.errors import CompetitionError
from competition.file_listing import stem
from competition.text import nearest_hint, shortened
from competition.tracks.track import Sample, Track
from competition.workspace import Workspace


@dataclass(frozen=True)
class FoundSample:
    """A sample, and the workspace whose cache holds its images."""

    entry: Entry
    images: Workspace


def find_samples(
    track: Track, workspace: Workspace, manifest: Manifest, words: Sequence[str], new: Workspace
) -> list[FoundSample]:
    """Return the samples that words name: prepared ones, else image files, which are read as the track reads images.

    Args:
        track: The competition.
        workspace: Of the prepared samples.
        manifest: Likewise.
        words: Names of samples with or without ending, or paths of files.
        new: The workspace whose cache takes what is read from files.

    Raises:
        CompetitionError: A word is neither, a file can't be read, two have the same key, or a sample of the track has
            several views, which no single file can give.
    """
    known = entries_by_name(manifest.entries)
    found: dict[str, FoundSample] = {}
    for word in words:
        if word in known:
            sample = FoundSample(known[word], workspace)
        else:
            sample = FoundSample(_read_file(track, manifest, word, new), new)
        key = sample.entry.sample
        if key in found:
            raise CompetitionError(
                f"two of the samples have the name {key!r}", word, "Explain them one after the other"
            )
        found[key] = sample
    return list(found.values())


def _read_file(track: Track, manifest: Manifest, word: str, new: Workspace) -> Entry:
    path = Path(word).expanduser()
    try:
        exists = path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        exists = False
    if not exists:
        hint = nearest_hint(word, [entry.name for entry in manifest.entries][:1000])
        raise CompetitionError(f"neither a prepared sample nor a file: {shortened(word)!r}{_few(hint)}")
    if len(track.views) > 1:
        raise CompetitionError(
            f"a sample of track {track.name} has {len(track.views)} images, so a single file can't be explained",
            path,
            "Name a prepared sample",
        )
    key = stem(path.name)
    sample = Sample(key, path.name, "test", key, (path.name,))
    entry, _ = cache_sample(new, track, path.resolve().parent, sample)
    return entry


def _few(hint: str) -> str:
    """Return a hint of near names, and none that lists all samples."""
    return hint if hint.endswith("?") else ""
