"""The true objects of training images, read again from the labels, because the cache holds masks alone."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from competition.data.cache import read_label_planes
from competition.data.manifest import read_manifest
from competition.errors import CompetitionError
from competition.formats.csv_files import read_columns
from competition.masks.objects import Objects, components, planes_of, separated_planes
from competition.tracks.track import Track
from competition.workspace import Workspace

Planes = NDArray[np.uint8]
"""Label planes (H, W, ceil(C / 8))."""

TrueObjects = Callable[[str, Planes], Objects]
"""Key of a sample and the label planes of its cache -> its objects."""


def find_true_objects(track: Track, workspace: Workspace) -> TrueObjects | None:
    """Return ``open_true_objects`` where the track compares objects, else None."""
    return open_true_objects(track, workspace) if track.compares_objects else None


def read_drawn_labels(track: Track, workspace: Workspace, sample: str, objects: TrueObjects | None) -> Planes:
    """Return the label planes of a training sample as they are outlined: with a gap where two objects touch.

    ``objects`` is the result of ``find_true_objects``; errors are those of its functions.
    """
    planes = read_label_planes(workspace, track, sample)
    return planes if objects is None else separated_planes(objects(sample, planes), len(track.classes))


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
