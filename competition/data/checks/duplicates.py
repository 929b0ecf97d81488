"""One image, or one label, in two groups: copies that would leak between folds, or from training into the test."""

from collections.abc import Iterator, Sequence

from competition.data.manifest import Entry
from competition.tracks.track import Problem


def same_pixels(entries: Sequence[Entry], views: Sequence[str]) -> list[Problem]:
    """Find training samples with an image of another group: it would be learned from and scored on.

    Views are compared one by one, each with every view of every other group: a single view in the wrong folder is
    enough to recognise a patient.

    Args:
        entries: All samples of both splits.
        views: The track's, for the message.

    Returns:
        One problem per training sample, about its first such image. A pair of a training and a test sample is a problem
        of the training sample, because that one can be left out.
    """
    owner: dict[str, tuple[Entry, str]] = {}
    problems: dict[str, Problem] = {}
    # Training samples first, so that a test image is compared with the training sample that has it.
    for entry in sorted(entries, key=lambda entry: entry.split == "test"):
        for view, pixels in _pictures(entry, views):
            other, place = owner.setdefault(pixels, (entry, view))
            if other.split == "test" or (other.split, other.group) == (entry.split, entry.group):
                continue  # two test samples teach nothing, and one group may have an image twice
            if entry.split == "train":
                reason = f"{view}same pixels as {place}{other.name} of group {other.group}: it would leak between folds"
                problems.setdefault(entry.sample, Problem(entry.sample, "train", entry.name, reason))
            else:
                reason = f"{place}same pixels as {view}{entry.name} of the test set, which a network would memorise"
                problems.setdefault(other.sample, Problem(other.sample, "train", other.name, reason))
    return list(problems.values())


def _pictures(entry: Entry, views: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the images of a sample: the view in a message ("" where there is only one), and the hash."""
    for view, pixels in zip(views, entry.view_pixels, strict=True):
        if pixels:
            yield f"{view} " if len(views) > 1 else "", pixels


def same_labels(entries: Sequence[Entry]) -> list[Problem]:
    """Note labels that occur in two groups: nearly always copies, but a few pixels can agree by chance."""
    first: dict[str, Entry] = {}
    problems = []
    for entry in entries:
        if entry.labels and any(entry.targets):
            other = first.setdefault(entry.labels, entry)
            if other.group != entry.group:
                reason = f"the same label as {other.name} of group {other.group}: is one of the two a copy?"
                problems.append(Problem(entry.sample, entry.split, entry.name, reason, note=True))
    return problems
