"""The plan of prepare: what the listing says about samples, and their folds, before any pixel is read."""

from collections.abc import Sequence
from pathlib import Path

from competition.data.folds import Folds
from competition.data.manifest import Entry
from competition.data.preparation.settled_folds import choose_folds
from competition.file_listing import label_files, split_part
from competition.text import counted, shortened_middle
from competition.tracks.track import Listing, Sample, Track
from competition.workspace import Workspace

FIRST = 5
"""Samples of each split that are shown."""
COLUMNS = ("image", "mask", "key", "group", "stratum", "fold")
"""Of ``plan_rows``; samples of a table of labels have classes in place of a mask."""
WIDTH = 60
"""Characters of a path that are shown."""


def usable_training(listing: Listing) -> list[Sample]:
    """Return the training samples without a problem."""
    bad = {problem.key for problem in listing.problems if problem.split == "train" and not problem.note}
    return [sample for sample in listing.samples if sample.split == "train" and sample.key not in bad]


def planned_folds(
    track: Track,
    workspace: Workspace,
    listing: Listing,
    count: int | None = None,
    stratified: bool = False,
    refold: bool = False,
) -> Folds | None:
    """Return the folds that ``prepare`` would use if every listed sample without a problem could be read.

    None where they depend on what masks hold: with ``stratified``, if a stratum is unknown. Arguments and errors are
    those of ``settled_folds.settle_folds``.
    """
    training = usable_training(listing)
    if stratified and track.task == "segmentation" and not all(sample.stratum for sample in training):
        return None
    unread = [_unread(sample) for sample in training]
    return choose_folds(track, workspace, unread, listing.kinds, count, stratified, refold)[0]


def plan_columns(track: Track) -> tuple[str, ...]:
    """Return what the rows of a plan hold."""
    return COLUMNS if track.task == "segmentation" else tuple(name.replace("mask", "classes") for name in COLUMNS)


def plan_rows(track: Track, root: Path, samples: Sequence[Sample], folds: Folds | None) -> list[list[str]]:
    """Return the first samples as rows of ``plan_columns``; "-" is what is unknown or there is not."""
    fold_of = {} if folds is None else folds.fold_of
    return [
        [
            ", ".join(shortened_middle(image or "missing", WIDTH) for image in sample.images),
            _mask(track, root, sample),
            sample.key,
            sample.group,
            sample.stratum or "-",
            str(fold_of.get(sample.group, "-")) if sample.split == "train" else "-",
        ]
        for sample in samples[:FIRST]
    ]


def _mask(track: Track, root: Path, sample: Sample) -> str:
    """Return a sample's classes, or its label with the number of its files where it is not one."""
    if sample.targets is not None:
        positive = [name for name, target in zip(track.classes, sample.targets, strict=True) if target]
        return shortened_middle(", ".join(positive), WIDTH) or "none"
    if sample.label is None:
        return "-"
    text = shortened_middle(sample.label, WIDTH)
    files = label_files(root / sample.label, track.classes)
    there = sum(split_part(file)[0].exists() for file in files)
    return text if there == 1 == len(files) else f"{text} ({counted(there, 'file')})"


def _unread(sample: Sample) -> Entry:
    """Return the manifest's row of a sample as far as its listing says."""
    return Entry(
        sample=sample.key,
        name=sample.name,
        split=sample.split,
        group=sample.group,
        stratum=sample.stratum,
        targets=sample.targets or (),
        present=(True,),
        height=0,
        width=0,
        mean=(),
        std=(),
        pixels="",
        labels="",
        fingerprint="",
    )
