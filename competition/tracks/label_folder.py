"""A folder of labels in a track's own form, joined to the images of a submission."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import shout
from competition.errors import CompetitionError
from competition.file_listing import find_files, label_files, split_part
from competition.formats.pictures import picture_size
from competition.masks.bit_planes import plane_count
from competition.submission.known_images import ReadLabel, ReadObjects
from competition.text import few, near_misses, size_text
from competition.tracks.track import Track

ReadFile = Callable[[Path, tuple[int, int]], NDArray[np.uint8]]


@dataclass(frozen=True)
class LabelFolder:
    """The labels that a submission is scored against (``submission.labels.Labels``).

    A label belongs to an image when the track's ``label_key`` of the two file names is equal: the stem, or a number.
    """

    track: Track  # of the labels (segmentation)
    folder: Path  # searched with all folders below it
    # rows and columns of every image; None: a label image has its own size, a list of points that of ``sizes``, else
    # that of the track
    size_hw: tuple[int, int] | None = None
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # image name -> rows and columns, if known

    def join(self, names: Sequence[str]) -> ReadLabel:
        """Find the label of each image of a submission.

        Raises:
            CompetitionError: An image has no label or two. Of the returned function: a label can't be read or has
                another size, or its size is unknown.
        """
        if self.track.read_label is None:
            file = self.track.form.ending.removeprefix(".").upper()
            what = f"track {self.track.name} has no label files: give the truth as a {file}"
            raise CompetitionError(what, self.folder)
        labels, unused = _labels_of(self.track, self.folder, names)
        _warn_of_unused(self.folder, labels, unused)
        return partial(self._read, self.track.read_label, labels)

    def join_objects(self, names: Sequence[str]) -> ReadObjects | None:
        """Return how to read the objects of each image; None where the track has none beside its masks.

        Raises:
            CompetitionError: An image has no label or two.
        """
        read_objects = self.track.read_objects
        if read_objects is None:
            return None
        labels, _ = _labels_of(self.track, self.folder, names)
        return lambda name, size_hw: read_objects(labels[name], size_hw)

    def _read(
        self, read_label: ReadFile, files: Mapping[str, Path], name: str, size_hw: tuple[int, int] | None
    ) -> NDArray[np.uint8]:
        path, track = files[name], self.track
        own = (
            size_hw
            or self.size_hw
            or picture_size(label_files(split_part(path)[0], track.classes)[0])
            or self.sizes.get(name)
            or track.size_hw
        )
        if own is None:
            raise CompetitionError("the size of this image is unknown", path, "Give --size ROWSxCOLUMNS")
        planes = read_label(path, own)
        if planes.shape != (*own, plane_count(len(track.classes))):
            found, wanted = size_text(planes.shape[:2]), size_text(own)
            raise CompetitionError(f"the label is {found}, not {wanted} (rows x columns)", path)
        return planes


def _labels_of(track: Track, folder: Path, names: Sequence[str]) -> tuple[dict[str, Path], dict[str, list[Path]]]:
    """Return image name -> path of its label, with "{class}" in it where each class has a file of its own.

    Return also the labels of no image by their key.

    Raises:
        CompetitionError: An image has no label or several, or two images would have the same.
    """
    by_key = _files_by_key(track, folder) if track.find_labels is None else track.find_labels(folder)
    key_of = {name: track.label_key(name) for name in names}
    missing = [name for name in names if key_of[name] not in by_key]
    if missing:
        hint = near_misses((key_of[name] for name in missing), by_key.keys() - set(key_of.values()))
        if not by_key:
            hint = f"; the files of this track are {' '.join(track.layout.split())}"
        what = f"{len(missing)} of {len(names)} images have no label, first {few(missing)}{hint}"
        raise CompetitionError(what, folder)
    counts = Counter(key_of.values())
    if twice := [name for name in names if counts[key_of[name]] > 1]:
        raise CompetitionError(f"images {few(twice)} would have the same label", by_key[key_of[twice[0]]][0])
    labels = {}
    for name in names:
        files = by_key[key_of[name]]
        found = files if len(files) == 1 else _joined(folder, files, track.classes)
        if len(found) > 1:
            both = " and ".join(str(path.relative_to(folder)) for path in found[:2])
            what = f"{len(found)} files could be the label of {name!r} ({both})"
            raise CompetitionError(what, folder, "Name the folder of labels alone")
        labels[name] = found[0]
    return labels, {key: files for key, files in by_key.items() if key not in counts}


def _files_by_key(track: Track, folder: Path) -> dict[str, list[Path]]:
    by_key = defaultdict[str, list[Path]](list)
    for path in find_files(folder, "**/*"):
        by_key[track.label_key(path.name)].append(path)
    return by_key


def _warn_of_unused(folder: Path, labels: Mapping[str, Path], unused: Mapping[str, Sequence[Path]]) -> None:
    """Warn of labels without submitted image, because a submission that lacks images must not look complete."""
    suffixes = {split_part(label)[0].suffix for label in labels.values()}
    first = [files[0] for files in unused.values()]
    if others := [file.name for file in first if split_part(file)[0].suffix in suffixes]:
        shout(
            f"{len(others)} of {len(labels) + len(unused)} labels below {folder} belong to no submitted image and are "
            f"not scored, so images that the submission lacks do not lower the score: {few(others)}"
        )


def _joined(folder: Path, files: Sequence[Path], classes: Sequence[str]) -> list[Path]:
    """Join masks/Radius/1.png and masks/Ulna/1.png into masks/{class}/1.png; other files are unchanged."""
    templates = {
        folder.joinpath(*("{class}" if part in classes else part for part in file.relative_to(folder).parts))
        for file in files
    }
    if len(templates) == 1 and set(label_files(min(templates), classes)) == set(files):
        return list(templates)
    return list(files)
