"""Corrected labels of ``./run.sh review``: they override the organiser's, and the raw data stays as it is."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import say, shout
from competition.data.cache import read_cached_planes
from competition.data.manifest import Entry
from competition.data.preparation.corrected_files import Targets, read_drawn_images, read_targets
from competition.errors import CompetitionError
from competition.files import write_csv, write_text
from competition.formats.drawn_objects import DrawnImage, DrawnObject
from competition.masks.bit_planes import class_areas, intersections, set_class, unpack_class
from competition.masks.outlines import fill_objects, outline_mask
from competition.text import counted, size_text
from competition.tracks.track import Sample, Track
from competition.workspace import Workspace

COLUMNS = ("sample", "name", "class", "before", "after", "dice")
"""Of the record; before and after are pixels, or targets of a table, which have no Dice."""


@dataclass(frozen=True)
class Corrections:
    """What was corrected.

    Attributes:
        folder: Where it was read; None where no corrections were given.
        masks: Sample -> what was drawn on its image.
        targets: Sample -> its corrected targets.
        digests: Sample -> hash of its correction.
    """

    folder: Path | None = None
    masks: Mapping[str, DrawnImage] = field(default_factory=dict)
    targets: Mapping[str, Targets] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CorrectedSample(Sample):
    """A sample whose label was corrected; the hash of the correction is part of its fingerprint."""

    correction: str = ""


def read_corrections(track: Track, folder: Path | None, samples: Sequence[Sample]) -> Corrections:
    """Read a folder of corrected files: labelme or COCO for masks, review.csv for tables; None gives no corrections.

    Raises:
        CompetitionError: The folder holds none of them, or one is invalid or of no training sample.
    """
    if folder is None:
        return Corrections()
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise CompetitionError("folder of corrections not found", folder, "Give the folder of ./run.sh review --out")
    if track.task == "segmentation":
        images = read_drawn_images(folder, track.classes)
        found = Corrections(folder, masks=images, digests={key: _digest(image) for key, image in images.items()})
    else:
        targets = read_targets(folder, track.classes)
        found = Corrections(folder, targets=targets, digests={key: str(value) for key, value in targets.items()})
    split_of = {sample.key: sample.split for sample in samples}
    for key in found.digests:
        if split_of.get(key) != "train":
            why = "is a test sample, whose label is not used" if key in split_of else "is not in the data"
            raise CompetitionError(f"the corrected sample {key!r} {why}", folder, "Remove it from the corrections")
    _check_first_class(track, samples, found.targets, folder)
    for key, corrected in found.targets.items():
        if track.one_of_classes and sum(corrected) != 1:
            what = f"sample {key!r} is corrected to {sum(corrected)} classes, and it has exactly one of them"
            raise CompetitionError(what, folder, "Correct that row")
    return found


def _check_first_class(track: Track, samples: Sequence[Sample], corrected: Mapping[str, Targets], folder: Path) -> None:
    """Reject targets whose first class is not whether any other is positive, where that holds for all samples."""
    given = [sample.targets for sample in samples if sample.targets]
    if len(track.classes) > 1 and all(targets[0] == max(targets[1:]) for targets in given):
        for key, targets in corrected.items():
            if targets[0] != max(targets[1:]):
                what = f"{track.classes[0]} of sample {key!r} is {targets[0]}, but another class is {max(targets[1:])}"
                raise CompetitionError(f"{what}; in all other samples the two agree", folder, "Correct that row")


def _digest(image: DrawnImage) -> str:
    digest = hashlib.sha256(repr(image.size_hw).encode())
    for drawn in image.objects:
        digest.update(drawn.label.encode() + b"joined" * (drawn.joined and len(drawn.rings) > 1))
        for array in (*drawn.rings, drawn.mask):
            digest.update(b"-" if array is None else repr(array.shape).encode() + array.tobytes())
    return digest.hexdigest()[:16]


def with_corrections(
    track: Track, root: Path, samples: Sequence[Sample], corrections: Corrections
) -> tuple[Track, list[Sample]]:
    """Return the track and its samples so that reading a sample gives its corrected label.

    The raw label files are still read and remain its sources: a class that was not touched keeps its exact pixels.
    """
    if corrections.folder is None:
        return track, list(samples)
    corrected = [_corrected_sample(sample, corrections) for sample in samples]
    read_label = track.read_label
    if read_label is None:
        return track, corrected
    drawn = {root / str(sample.label): corrections.masks.get(sample.key) for sample in samples if sample.label}

    def read_corrected(path: Path, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
        planes, image = read_label(path, size_hw), drawn.get(path)
        return planes if image is None else correct_planes(planes, image, track.classes)

    return replace(track, read_label=read_corrected), corrected


def _corrected_sample(sample: Sample, corrections: Corrections) -> Sample:
    if sample.key not in corrections.digests:
        return sample
    values = {each.name: getattr(sample, each.name) for each in fields(Sample)}
    values["targets"] = corrections.targets.get(sample.key, sample.targets)
    return CorrectedSample(**values, correction=corrections.digests[sample.key])


def correct_planes(planes: NDArray[np.uint8], image: DrawnImage, classes: Sequence[str]) -> NDArray[np.uint8]:
    """Return label planes (H, W, P) in which each class is what was drawn; classes that were not touched stay.

    An outline has fewer points than its mask has pixels at the edge, so a class whose outlines are still those of its
    mask keeps that mask.

    Raises:
        CompetitionError: The image was drawn on at another size.
    """
    size_hw = (planes.shape[0], planes.shape[1])
    if image.size_hw != size_hw:
        what = f"the correction is of {size_text(image.size_hw)}, the image has {size_text(size_hw)} (rows x columns)"
        raise CompetitionError(what, None, "Correct the image that ./run.sh review wrote, at its own size")
    corrected = planes.copy()
    for index, name in enumerate(classes):
        objects = [drawn for drawn in image.objects if drawn.label == name]
        before = unpack_class(planes, index)
        if not _is_untouched(objects, before):
            set_class(corrected, index, fill_objects(objects, size_hw))
    return corrected


def draw_objects(name: str, mask: NDArray[np.bool_]) -> list[DrawnObject]:
    """Return a mask as objects to correct, one for each component."""
    return [DrawnObject(name, tuple(np.round(ring, 2) for ring in rings)) for rings in outline_mask(mask)]


def _is_untouched(objects: Sequence[DrawnObject], mask: NDArray[np.bool_]) -> bool:
    """Return whether objects are those that ``review`` writes for a mask, in any order."""
    if any(drawn.mask is not None for drawn in objects):
        return bool((fill_objects(objects, (mask.shape[0], mask.shape[1])) == mask).all())
    now = sorted(repr([np.round(ring, 2).tolist() for ring in drawn.rings]) for drawn in objects)
    then = sorted(repr([ring.tolist() for ring in drawn.rings]) for drawn in draw_objects("", mask))
    return now == then


def record_corrections(
    track: Track,
    workspace: Workspace,
    root: Path,
    samples: Sequence[Sample],
    entries: Sequence[Entry],
    corrections: Corrections,
) -> int:
    """Write which labels the corrections changed into corrections.csv of the cache; return how many.

    Without corrections a record of earlier ones is removed, with a warning: the organiser's labels count again.
    """
    path = workspace.corrections_file()
    if corrections.folder is None:
        if path.exists():
            path.unlink()
            shout("the corrections of the last preparation no longer count: add --corrections DIR to keep them")
        return 0
    by_key = {entry.sample: entry for entry in entries}
    rows = []
    for sample in samples:
        if sample.key in corrections.digests and sample.key in by_key:
            changed = _changed_masks if track.task == "segmentation" else _changed_targets
            rows += changed(track, workspace, root, sample, by_key[sample.key])
    if rows:
        write_csv(path, rows)
    else:
        write_text(path, ",".join(COLUMNS) + "\n")
    touched, labels = len({row["sample"] for row in rows}), counted(len(rows), "label")
    read = f"{counted(len(corrections.digests), 'sample')} read from {corrections.folder}"
    say(f"corrections: {read}, {touched} with {labels} changed: {path}")
    if rows:
        say("train runs again that learned from the earlier labels, or restore these: prepare without --corrections")
    return len(rows)


def _changed_masks(
    track: Track, workspace: Workspace, root: Path, sample: Sample, entry: Entry
) -> list[dict[str, object]]:
    assert track.read_label is not None
    before = track.read_label(root / str(sample.label), (entry.height, entry.width))
    after, classes = read_cached_planes(workspace, sample.key), len(track.classes)
    areas = class_areas(before, classes), class_areas(after, classes)
    rows: list[dict[str, object]] = []
    for name, old, new, both in zip(track.classes, *areas, intersections(before, after, classes), strict=True):
        if 2 * both != old + new:
            values = (sample.key, sample.name, name, int(old), int(new), round(2 * int(both) / int(old + new), 4))
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def _changed_targets(
    track: Track, workspace: Workspace, root: Path, sample: Sample, entry: Entry
) -> list[dict[str, object]]:
    before = zip(track.classes, sample.targets or (), entry.targets, strict=True)
    return [
        dict(zip(COLUMNS, (sample.key, sample.name, name, int(old), int(new), ""), strict=True))
        for name, old, new in before
        if old != new
    ]
