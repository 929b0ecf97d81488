"""A track: classes, groups, mirror pairs, metric, submission form, and how its samples are listed and read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import stem
from competition.metrics.counts import CountMetric
from competition.metrics.metric import Metric
from competition.submission.form import Form
from competition.text import nearest_hint

Task = Literal["segmentation", "classification"]
Split = Literal["train", "test"]
WARNING = "warning: "


@dataclass(frozen=True)
class Sample:
    """One thing that gets one prediction: an image, or a patient with several views.

    Attributes:
        key: Unique and safe as a file name (an image's stem, a patient's index).
        name: What the submission calls it (an image's base name, a patient's index).
        split: "train" or "test".
        group: What is never split between folds (a person).
        images: Path of each view below the data root, in the order of ``Track.views``; None where the view is missing.
        label: Path of the label file below the data root; None for test samples and classification. It
            contains "{class}" where each class has a file of its own.
        targets: 0/1 per class for classification; None otherwise.
        stratum: The kind of picture, which folds can balance and a score can be split by; empty if unknown.
        side: Of a paired organ, "right" or "left"; empty if unknown or meaningless.
    """

    key: str
    name: str
    split: Split
    group: str
    images: tuple[str | None, ...]
    label: str | None = None
    targets: tuple[int, ...] | None = None
    stratum: str = ""
    side: str = ""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a sample, with the file and the reason.

    Attributes:
        key: Of the sample.
        split: "train" or "test".
        path: The file.
        reason: What is wrong with it.
        masked: Only a view is missing and the (test) sample stays; otherwise the sample can't be used.
        note: For information only: nothing that is read is wrong, and the sample stays.
        kind: What problems have in common that are shown in one line; if empty, the reason itself.
        repair: What the user can do about all of this kind; if empty, the file has to be fixed.
    """

    key: str
    split: Split
    path: str
    reason: str
    masked: bool = False
    note: bool = False
    kind: str = ""
    repair: str = ""


@dataclass(frozen=True)
class Listing:
    """What was found under a data root.

    Attributes:
        samples: In submission order for the test split.
        problems: What is wrong.
        remarks: Sentences for the user although nothing is wrong, for example what was left out on demand.
        kinds: Group -> what stratified folds balance beside the stratum, such as a person's sex. Not stored.
    """

    samples: list[Sample]
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    kinds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mirror:
    """The effect of a horizontal flip on a sample besides moving its pixels.

    Attributes:
        classes: For each class, the index of the class it becomes (left and right change places).
        views: For each view, the index of the view whose place it takes.
        flipped_views: Whether the pixels of a view are mirrored at all.
    """

    classes: tuple[int, ...]
    views: tuple[int, ...] = (0,)
    flipped_views: tuple[bool, ...] = (True,)


@dataclass(frozen=True)
class Track:
    """A competition, as data.

    Attributes:
        name: "hand_bone"; also the folder name everywhere.
        task: Segmentation (a mask per class) or classification (a probability per class).
        classes: In the organiser's order.
        metric: Everything is scored and ranked by it: a count metric for masks, a table metric for tables.
        form: Of the submission: what its files look like, and all that can be done with them.
        views: Names of the images that make up one sample.
        channels: 1 (grey) or 3 (RGB) of every image as read.
        size_hw: Rows and columns if the organiser fixes them; None if sizes differ from image to image.
        mirror: The effect of a horizontal flip; None if a flip is never allowed.
        visible: For multi-view tracks, (views, classes): which class can be seen in which view.
        list_samples: Data root -> listing of both splits.
        list_test: Folder of a late test set -> listing of test samples.
        read_image: Path -> (H, W) or (H, W, 3) uint8, cleaned the same way for training and inference.
        read_label: (path, size_hw) -> label planes (H, W, ceil(C/8)) uint8; None for classification.
        layout: What the data folder looks like, for messages.
        bits: Of a track narrowed to some of its classes, the bit of each in the cached label planes; None where class c
            is bit c.
        test_mix: Share of each stratum among the organiser's test images, if it differs from that of training; the
            shares sum to 1. None if unknown.
        read_spacing: Path -> distance of pixel centres between rows and columns in mm, if image files have it.
        label_key: Image or label file name -> what the two have in common, by default the stem.
        find_labels: Folder -> ``label_key`` of an image -> the labels below the folder that may belong to it; None if
            the ``label_key`` of a label file is that of its image.
        inspect_label: (label path, size_hw) -> remarks on the label as templates with {count}, {labelled} and {names},
            which prepare fills in for the samples that share one; ``WARNING`` at its beginning makes it a warning.
        read_traits: (data root, sample) -> properties of a sample's files apart from what the picture shows, such as
            its size: if they predict the targets, a network may learn them instead.
        public_data: Name and licence of public data in the organiser's form; empty if none is known.
        class_groups: Name -> classes that are alike, each class in exactly one; member weights can be chosen for each
            group on its own.
        upright: Whether classes differ by their order from the top, so that no image may be turned or mirrored.
        declaration: The YAML file of a declared track, which --track takes in place of a name.
        reading: How images and labels of a declared track are read, as text: if it changes, samples are read again.
        data_form: All that a declaration contains about the data, as text: if it changes, prepare has to run again.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    metric: Metric
    form: Form
    list_samples: Callable[[Path], Listing]
    list_test: Callable[[Path], Listing]
    read_image: Callable[[Path], NDArray[np.uint8]]
    read_label: Callable[[Path, tuple[int, int]], NDArray[np.uint8]] | None
    layout: str
    views: tuple[str, ...] = ("image",)
    channels: int = 1
    size_hw: tuple[int, int] | None = None
    mirror: Mirror | None = None
    visible: tuple[tuple[bool, ...], ...] | None = None
    bits: tuple[int, ...] | None = None
    test_mix: Mapping[str, float] | None = None
    read_spacing: Callable[[Path], tuple[float, float] | None] | None = None
    label_key: Callable[[str], str] = stem
    find_labels: Callable[[Path], dict[str, list[Path]]] | None = None
    inspect_label: Callable[[Path, tuple[int, int]], Sequence[str]] | None = None
    read_traits: Callable[[Path, Sample], tuple[float, ...]] | None = None
    class_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    upright: bool = False
    public_data: str = ""
    declaration: Path | None = None
    reading: str = ""
    data_form: str = ""


def count_metric(track: Track) -> CountMetric:
    """Return the metric of a segmentation, or raise TypeError if the track's metric scores tables."""
    if not isinstance(track.metric, CountMetric):
        raise TypeError(f"track {track.name} is scored by {track.metric.label}, which has no masks")
    return track.metric


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
    kept = {group: tuple(name for name in classes if name in names) for group, classes in track.class_groups.items()}
    return replace(
        track,
        classes=tuple(track.classes[index] for index in bits),
        mirror=mirror,
        bits=bits,
        class_groups={group: classes for group, classes in kept.items() if classes},
    )
