"""The true objects of training images, read again from the labels, because the cache holds masks alone."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from competition.data.cache import read_label_planes
from competition.data.manifest import read_manifest
from competition.errors import CompetitionError
from competition.formats.csv_files import read_columns
from competition.masks.objects import Objects, components, planes_of, separated_planes
from competition.metrics.masks import MaskMetric
from competition.tracks.track import Track
from competition.workspace import Workspace

TrueObjects = Callable[[str, NDArray[np.uint8]], Objects]
"""Key of a sample and the label planes of its cache -> its objects."""


def compares_objects(track: Track) -> bool:
    """Return whether single objects are submitted, or scored."""
    return track.form.of_objects or (isinstance(track.metric, MaskMetric) and track.metric.of_objects)


def open_drawn_labels(track: Track, workspace: Workspace) -> Callable[[str], NDArray[np.uint8]]:
    """Return how to read the label planes (H, W, P) of a training sample as they are outlined.

    Where objects are compared, those that touch have a gap between them. Errors as ``open_true_objects``.
    """
    if not compares_objects(track):
        return lambda sample: read_label_planes(workspace, track, sample)
    objects = open_true_objects(track, workspace)

    def read(sample: str) -> NDArray[np.uint8]:
        return separated_planes(objects(sample, read_label_planes(workspace, track, sample)), len(track.classes))

    return read


def open_true_objects(track: Track, workspace: Workspace) -> TrueObjects:
    """Return how to read the objects of training samples.

    Without objects in the track's labels these are the connected components of the cached masks, and so they are of a
    label that a correction replaced.

    Raises:
        CompetitionError: The data changed since it was prepared. Of the returned function: a label can't be read, or
            its objects do not make up the cached masks.
    """
    classes, read = len(track.classes), track.read_objects
    if read is None:
        return lambda sample, planes: components(planes, classes)
    root, record = read_manifest(workspace, track).data_root, workspace.corrections_file()
    corrected = {cells[0] for _, cells in read_columns(record, ["sample"])} if record.exists() else set[str]()
    label_of = {sample.key: str(sample.label) for sample in track.list_samples(root).samples}

    def read_sample(sample: str, planes: NDArray[np.uint8]) -> Objects:
        if sample in corrected:
            return components(planes, classes)
        label = root / label_of[sample]
        found = read(label, (planes.shape[0], planes.shape[1]))
        if not np.array_equal(planes_of(found, classes), planes):
            what = "the objects of this label do not make up its prepared masks"
            raise CompetitionError(what, label, "Run ./run.sh prepare again")
        return found

    return read_sample
