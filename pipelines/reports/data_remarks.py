"""What prepare notices in data that it has read: remarks, which change nothing, and warnings of probable mistakes."""

from collections.abc import Sequence

from competition.console import say, shout
from competition.data.checks.orientation import wrong_orientation
from competition.data.checks.plausibility import implausible_classes, questionable_masks
from competition.data.manifest import Entry
from competition.data.preparation.sample_problems import sample_remarks
from competition.tracks.track import WARNING, Listing, Track
from competition.workspace import Workspace


def say_remarks(track: Track, listing: Listing, entries: Sequence[Entry]) -> list[str]:
    """Print the remarks on the listing, the samples and their masks; return them."""
    remarks = [remark for remark in listing.remarks if not remark.startswith(WARNING)]
    remarks += [*sample_remarks(entries), *questionable_masks(entries, track.classes)]
    for remark in remarks:
        say(remark)
    return remarks


def shout_warnings(track: Track, workspace: Workspace, listing: Listing, entries: Sequence[Entry]) -> list[str]:
    """Print the warnings of the listing, the samples, their classes and their orientation; return them."""
    labels = {sample.key: sample.label for sample in listing.samples if sample.label is not None}
    warnings = [remark.removeprefix(WARNING) for remark in listing.remarks if remark.startswith(WARNING)]
    warnings += [*implausible_classes(entries, track.classes, labels), *sample_remarks(entries, WARNING)]
    warnings += wrong_orientation(track, workspace, entries)
    for warning in warnings:
        shout(warning)
    return warnings
