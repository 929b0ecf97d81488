"""A track: classes, groups, mirror pairs, metric, submission form, and how its samples are listed and read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import stem
from competition.masks.objects import Objects
from competition.metrics.counts import CountMetric
from competition.metrics.masks import MaskMetric
from competition.metrics.metric import Metric, as_count_metric
from competition.metrics.tables import TableMetric, Targets
from competition.submission.form import Form
from competition.text import nearest_hint

Task = Literal["segmentation", "classification"]
Split = Literal["train", "test"]
WARNING = "warning: "


@dataclass(frozen=True)
class Sample:
    """One thing that gets one prediction: an image, or a patient with several views."""

    key: str  # unique and safe as a file name (an image's stem, a patient's index)
    name: str  # what the submission calls it (an image's base name, a patient's index)
    split: Split
    group: str  # what is never split between folds (a person)
    images: tuple[str | None, ...]  # of each of ``Track.views`` the path below the data root; None where it is missing
    # path below the data root, with "{class}" where each class has files of its own, and "*" or "?" where several are
    # joined (``file_listing.class_files``); None for test samples and tables
    label: str | None = None
    targets: tuple[int, ...] | None = None  # 0/1 per class for classification; None otherwise
    stratum: str = ""  # the kind of picture, which folds can balance and a score can be split by; empty if unknown
    side: str = ""  # of a paired organ, "right" or "left"; empty if unknown or meaningless


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a sample, with the file and the reason."""

    key: str  # of the sample
    split: Split
    path: str  # the file
    reason: str  # what is wrong with it
    masked: bool = False  # only a view is missing and the (test) sample stays; otherwise the sample can't be used
    note: bool = False  # for information only: nothing that is read is wrong, and the sample stays
    kind: str = ""  # what problems have in common that are shown in one line; if empty, the reason itself
    repair: str = ""  # what the user can do about all of this kind; if empty, the file has to be fixed


@dataclass(frozen=True)
class Listing:
    """What was found under a data root."""

    samples: list[Sample]  # in submission order for the test split
    problems: list[Problem] = field(default_factory=list)
    # sentences for the user although nothing is wrong, for example what was left out on demand
    remarks: list[str] = field(default_factory=list)
    # group -> what stratified folds balance beside the stratum, such as a person's sex; not stored
    kinds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mirror:
    """The effect of a horizontal flip on a sample besides moving its pixels."""

    classes: tuple[int, ...]  # for each class, the index of the class it becomes (left and right change places)
    views: tuple[int, ...] = (0,)  # for each view, the index of the view whose place it takes
    flipped_views: tuple[bool, ...] = (True,)  # whether the pixels of a view are mirrored at all


@dataclass(frozen=True)
class Track:
    """A competition, as data."""

    name: str  # "hand_bone"; also the folder name everywhere
    task: Task  # segmentation (a mask per class) or classification (a probability per class)
    classes: tuple[str, ...]  # in the organiser's order
    metric: Metric  # everything is scored and ranked by it: a count or mask metric for masks, a table metric for tables
    form: Form  # of the submission: what its files look like, and all that can be done with them
    list_samples: Callable[[Path], Listing]  # data root -> listing of both splits
    list_test: Callable[[Path], Listing]  # folder of a late test set -> listing of test samples
    # path -> (H, W) or (H, W, 3) uint8, cleaned the same way for training and inference
    read_image: Callable[[Path], NDArray[np.uint8]]
    # (path, size_hw) -> label planes (H, W, ceil(C/8)) uint8; None for classification
    read_label: Callable[[Path, tuple[int, int]], NDArray[np.uint8]] | None
    layout: str  # what the data folder looks like, for messages
    # (path, size_hw) -> the objects of a label, which may overlap; None where they are the components of its masks
    read_objects: Callable[[Path, tuple[int, int]], Objects] | None = None
    views: tuple[str, ...] = ("image",)  # names of the images that make up one sample
    channels: Literal[1, 3] = 1  # 1 (grey) or 3 (RGB) of every image as read
    colour: Literal["red", "green", "blue"] | None = None  # the channel of colour images that is their grey
    size_hw: tuple[int, int] | None = None  # rows and columns if the organiser fixes them; None if sizes differ
    mirror: Mirror | None = None  # the effect of a horizontal flip; None if a flip is never allowed
    # of a classification: classes are independent (multilabel), exclude each other (multiclass), or are grades that
    # exclude each other, in their order (ordinal)
    targets: Targets = "multilabel"
    exclusive: bool = False  # of a segmentation: a pixel belongs to one class at most
    visible: tuple[tuple[bool, ...], ...] | None = None  # of several views, (views, classes): which class is seen where
    # of a track narrowed to some of its classes, the bit of each in the cached label planes; None: class c is bit c
    bits: tuple[int, ...] | None = None
    # share of each stratum among the organiser's test images, if it differs from that of training; the shares sum to 1
    test_mix: Mapping[str, float] | None = None
    # path -> distance of pixel centres between rows and columns in mm, if image files have it
    read_spacing: Callable[[Path], tuple[float, float] | None] | None = None
    # image file -> the parts of it that are samples, such as slices: "volume.nii.gz#017"; None: a file is one image
    list_parts: Callable[[Path], list[str]] | None = None
    label_key: Callable[[str], str] = stem  # image or label file name -> what the two have in common
    # folder -> ``label_key`` of an image -> the labels below the folder that may belong to it; None if the
    # ``label_key`` of a label file is that of its image
    find_labels: Callable[[Path], dict[str, list[Path]]] | None = None
    shared_labels: tuple[str, ...] = ()  # files below the data root without which no label can be read
    # (label path, size_hw) -> remarks on the label as templates with {count}, {labelled} and {names}, which prepare
    # fills in for the samples that share one; ``WARNING`` at its beginning makes it a warning
    inspect_label: Callable[[Path, tuple[int, int]], Sequence[str]] | None = None
    # (data root, sample) -> properties of a sample's files apart from what the picture shows, such as its size: if they
    # predict the targets, a network may learn them instead
    read_traits: Callable[[Path, Sample], tuple[float, ...]] | None = None
    # name -> classes that are alike, each class in exactly one; member weights can be chosen for each group on its own
    class_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    upright: bool = False  # whether classes differ by their order from the top: no image may be turned or mirrored
    public_data: str = ""  # name and licence of public data in the organiser's form; empty if none is known
    declaration: Path | None = None  # the YAML or Python file of a track, which --track takes in place of a name
    reading: str = ""  # how a declared track reads images and labels, as text: if it changes, samples are read again
    data_form: str = ""  # all that a declaration contains about the data: if it changes, prepare has to run again

    def __post_init__(self) -> None:
        """Reject with a CompetitionError a class of a table that is called as the column of the samples' keys."""
        if self.task == "classification" and "sample" in self.classes:
            what = "no class can be called 'sample', because tables of predictions keep the samples in a column of it"
            raise CompetitionError(what, f"track {self.name}", "Give the class another name")

    @property
    def one_of_classes(self) -> bool:
        """Return whether a sample of a classification has exactly one of the classes."""
        return self.targets != "multilabel"

    @property
    def compares_objects(self) -> bool:
        """Return whether single objects are submitted, or scored."""
        return self.form.of_objects or (isinstance(self.metric, MaskMetric) and self.metric.of_objects)


def metric_of_masks(track: Track) -> CountMetric | MaskMetric:
    """Return the metric of a segmentation.

    Raises:
        TypeError: The track's metric scores tables.
    """
    if isinstance(track.metric, TableMetric):
        raise TypeError(f"track {track.name} is scored by {track.metric.label}, which has no masks")
    return track.metric


def count_metric(track: Track) -> CountMetric:
    """Return the count metric of a segmentation, or the one that proposes decisions for its mask metric.

    Raises:
        TypeError: The track's metric scores tables.
    """
    return as_count_metric(metric_of_masks(track))


def fold_metric(track: Track) -> CountMetric | TableMetric:
    """Return what folds, and members before post-processing, are scored by."""
    return track.metric if isinstance(track.metric, TableMetric) else count_metric(track)


def not_mirrored(track: Track, setting: str) -> CompetitionError:
    """Return the error of a setting that mirrors the images of a track which does not allow it."""
    repair = "Leave it out"
    if track.declaration is not None:
        repair = f"Leave it out or, if a mirrored image is as plausible, write flip: true in {track.declaration}"
    what = f"{setting} mirrors the images, which track {track.name} does not allow"
    return CompetitionError(what, None, repair)


def narrow(track: Track, names: Sequence[str] | None) -> Track:
    """Return a track of some of its classes only, in its own order; ``bits`` are theirs in the cached label planes.

    ``names`` may be in any order; None, or all in the track's order, gives the track itself.

    Raises:
        CompetitionError: A class is unknown or named twice, is mirrored into one that is left out, or the track is no
            segmentation.
    """
    if names is None or tuple(names) == track.classes:
        return track
    if track.task != "segmentation":
        raise CompetitionError(f"data.classes leaves out masks, and track {track.name} has none")
    for name in names:
        if name not in track.classes:
            raise CompetitionError(f"data.classes: unknown class {name!r}{nearest_hint(name, track.classes)}")
    bits = tuple(index for index, name in enumerate(track.classes) if name in names)
    if len(bits) != len(names):
        raise CompetitionError(f"data.classes names a class twice: {', '.join(names)}")
    mirror = track.mirror
    if mirror is not None:
        mirrored = [mirror.classes[index] for index in bits]
        if set(mirrored) != set(bits):
            lost = track.classes[min(set(mirrored) - set(bits))]
            raise CompetitionError(f"data.classes lacks {lost!r}, which one of its classes becomes when mirrored")
        mirror = replace(mirror, classes=tuple(bits.index(index) for index in mirrored))
    kept_classes = tuple(track.classes[index] for index in bits)
    kept = {group: tuple(name for name in classes if name in names) for group, classes in track.class_groups.items()}
    return replace(
        track,
        classes=kept_classes,
        mirror=mirror,
        bits=bits,
        metric=track.metric if isinstance(track.metric, TableMetric) else track.metric.for_classes(kept_classes),
        class_groups={group: classes for group, classes in kept.items() if classes},
    )
