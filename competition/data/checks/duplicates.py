"""One picture, or one label, in two people: copies that would leak between folds, or from training into the test."""

from collections.abc import Iterator, Sequence

from competition.data.manifest import Entry
from competition.tracks.track import Problem


def same_pixels(entries: Sequence[Entry], views: Sequence[str]) -> list[Problem]:
    """Training samples with a picture of somebody else's: it would be learned from and scored on.

    Views are compared one by one, each with every view of every other group: a single still in the wrong folder is
    enough to know a patient by.

    Args:
        entries: All samples of both splits.
        views: The track's, for the message.

    Returns:
        One problem per training sample, about its first such picture. A pair of a training and a test sample is a
        problem of the training sample, because that one can be left out.
    """
    owner: dict[str, tuple[Entry, str]] = {}
    problems: dict[str, Problem] = {}
    # Training samples first: what a test picture then meets is the training sample that has it.
    for entry in sorted(entries, key=lambda entry: entry.split == "test"):
        for view, pixels in _pictures(entry, views):
            other, place = owner.setdefault(pixels, (entry, view))
            if other.split == "test" or (other.split, other.group) == (entry.split, entry.group):
                continue  # nothing is learned from two test samples, and one person may be pictured twice
            if entry.split == "train":
                reason = f"{view}same pixels as {place}{other.name} of group {other.group}: it would leak between folds"
                problems.setdefault(entry.sample, Problem(entry.sample, "train", entry.name, reason))
            else:
                reason = f"{place}same pixels as {view}{entry.name} of the test set, which a network would memorise"
                problems.setdefault(other.sample, Problem(other.sample, "train", other.name, reason))
    return list(problems.values())


def _pictures(entry: Entry, views: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return a sample's pictures: what the view is called in a message ("" where there is one only), and its hash."""
    for view, pixels in zip(views, entry.view_pixels, strict=True):
        if pixels:
            yield f"{view} " if len(views) > 1 else "", pixels


def same_labels(entries: Sequence[Entry]) -> list[Problem]:
    """Return one label in two people is nearly always a copy; a few pixels can agree by chance, so it is only noted."""
    first: dict[str, Entry] = {}
    problems = []
    for entry in entries:
        if entry.labels and any(entry.targets):
            other = first.setdefault(entry.labels, entry)
            if other.group != entry.group:
                reason = f"the same label as {other.name} of group {other.group}: is one of the two a copy?"
                problems.append(Problem(entry.sample, entry.split, entry.name, reason, note=True))
    return problems
