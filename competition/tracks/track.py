"""What a track is: classes, groups, mirror pairs, metric, submission form, and how its samples are listed and read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import stem
from competition.metrics.counts import CountMetric
from competition.metrics.metric import Metric
from competition.submission.form import Form

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
        group: What may never stand on both sides of a fold (a person).
        images: Path of each view below the data root, in the order of ``Track.views``; None where the view is missing.
        label: Path of the label file below the data root; None for test samples and classification. "{class}" in it
            stands for one file per class.
        targets: 0/1 per class for classification; None otherwise.
        stratum: The kind of picture, which folds can balance and a score can be split by; empty where it is not known.
        side: Of a paired organ, "right" or "left"; empty where it is not known or means nothing.
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
        note: Only worth knowing: nothing that is read is wrong, and the sample stays.
        kind: What problems have in common that are shown in one line; the reason itself where it is empty.
        repair: What the user can do about all of this kind; empty where the file has to be fixed.
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
        remarks: Sentences the user should read although nothing is wrong, for example what was left out on demand.
        kinds: Group -> what stratified folds balance beside the stratum, such as a person's sex. Stored nowhere.
    """

    samples: list[Sample]
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    kinds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mirror:
    """What a horizontal flip does to a sample besides moving its pixels.

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
        metric: What ``score`` reports and everything is ranked by: a count metric for masks, a table metric for tables.
        form: Of the submission: what its files look like, and all that can be done with them.
        views: Names of the images that make up one sample.
        channels: 1 (grey) or 3 (RGB) of every image as read.
        size_hw: Rows and columns where the organiser fixes them; None where sizes differ from image to image.
        mirror: What a horizontal flip does; None where a flip is never allowed.
        visible: For multi-view tracks, (views, classes): which class can be seen in which view.
        list_samples: Data root -> listing of both splits.
        list_test: Folder of a test set that came later -> listing of test samples.
        read_image: Path -> (H, W) or (H, W, 3) uint8, cleaned the same way for training and inference.
        read_label: (path, size_hw) -> label planes (H, W, ceil(C/8)) uint8; None for classification.
        layout: What the data folder looks like, for messages.
        bits: Of a track narrowed to some of its classes, the bit of each in the cached label planes; None where class c
            is bit c.
        test_mix: Share of each stratum among the organiser's test images, where it differs from that of training; the
            shares sum to 1. None where nothing is known about it.
        read_spacing: Path -> distance of pixel centres between rows and columns in mm, where image files tell it.
        label_key: Image or label file name -> what the two have in common; the stem unless the track says otherwise.
        find_labels: Folder -> ``label_key`` of an image -> the labels below the folder that may be its; None where
            the files' own ``label_key`` tells.
        inspect_label: (label path, size_hw) -> remarks on the label as templates with {count}, {labelled} and {names},
            which prepare fills in for the samples that share one; ``WARNING`` at its beginning makes it a warning.
        read_traits: (data root, sample) -> numbers that a sample's files give away beside what the picture shows, for
            example its size: if they alone tell the targets, a network may learn them. None where nobody asks.
        public_data: Where anybody may fetch real data of the organiser's, with its licence; empty where none is known.
        class_groups: Name -> classes that are alike, each class in exactly one; member weights can be chosen for each
            group on its own. Empty where a track has none.
        upright: Whether classes are told by their order from the top, so that nothing may be predicted from an image
            that was turned or mirrored.
        declaration: The YAML file that declares it, which --track takes in place of a name; None of built-in tracks.
        reading: How a declaration has images and labels read, as text: where it changes, samples are read again.
        data_form: All that a declaration says about the data, as text: where it changes, prepare has to run again.
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


def check_names(images: Sequence[Path], folder: Path) -> None:
    """Reject a test folder without images or with two images of one name, which a submission could not tell apart.

    Raises:
        CompetitionError: With the folder or the two images.
    """
    if not images:
        raise CompetitionError("no test image found", folder)
    names = NamesInUse("test images")
    for image in images:
        if clash := names.clash(image.name, str(image)):
            raise CompetitionError(clash, image)


class NamesInUse:
    """The keys of images so far, which have to differ in more than capital letters: some disks don't tell these."""

    def __init__(self, things: str) -> None:
        """Start with none; ``things`` is what they are called in messages ("X-rays")."""
        self._things = things
        self._first: dict[str, tuple[str, str]] = {}

    def clash(self, name: str, path: str) -> str:
        """Take the name of a file; return what is wrong if one before it has the same without ending, else ""."""
        key = stem(name)
        other, where = self._first.setdefault(key.casefold(), (key, path))
        if where == path:
            return ""
        if other == key:
            return f"two {self._things} share the name {key} (the other is {where})"
        return f"the names of two {self._things} differ in capital letters only (the other is {where})"


def count_metric(track: Track) -> CountMetric:
    """Return the metric of a segmentation.

    Raises:
        TypeError: The track's metric scores tables.
    """
    if not isinstance(track.metric, CountMetric):
        raise TypeError(f"track {track.name} is scored by {track.metric.label}, which knows no masks")
    return track.metric
