"""The cache: each sample decoded once, its images and label planes stored compressed."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.checksums import check_seal, stored_checksum
from competition.data.checks.plausibility import NARROW, is_narrow
from competition.data.manifest import CACHE_VERSION, Entry
from competition.data.sources import content_of, describe_source
from competition.errors import CompetitionError
from competition.file_listing import label_files, split_part
from competition.formats.pictures import exif_orientation
from competition.formats.source_files import first_line
from competition.masks.bit_planes import class_areas, select_classes
from competition.masks.components import median_areas
from competition.masks.stored_arrays import read_array, write_array
from competition.names import LONGEST_KEY, file_fault, label_fault
from competition.tracks.track import Problem, Sample, Split, Track
from competition.workspace import Workspace

PREPARE_AGAIN = "Run ./run.sh prepare, which reads that sample again"


def describe_sources(track: Track, root: Path, sample: Sample, known: Sequence[str] = ()) -> tuple[str, ...]:
    """Describe the raw files of a sample, images first; see ``sources.describe_source``."""
    labels = [] if sample.label is None else label_files(root / sample.label, track.classes)
    labels += [root / shared for shared in track.shared_labels if labels]
    paths = [*(root / image for image in sample.images if image is not None), *labels]
    files = dict.fromkeys(split_part(path)[0].relative_to(root).as_posix() for path in paths)
    return tuple(describe_source(root, file, known) for file in files)


def fingerprint(track: Track, root: Path, sample: Sample, known: Sequence[str] = ()) -> str:
    """Return a hash that changes with the content of a sample's source files, its targets, or how it is read.

    Its stratum and side are not in the cached files and do not count. ``known`` describes its sources when it was read.
    """
    parts: list[object] = [CACHE_VERSION, track.reading, replace(sample, stratum="", side="")]
    parts += [content_of(source) for source in describe_sources(track, root, sample, known)]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def is_cached(workspace: Workspace, track: Track, entry: Entry) -> bool:
    """Return whether all files of a sample are in the cache, undamaged."""
    with suppress(CompetitionError):
        for file in _cached_files(workspace, track, entry.sample, entry.split):
            check_seal(file, PREPARE_AGAIN)
        return True
    return False


def _cached_files(workspace: Workspace, track: Track, key: str, split: Split) -> list[Path]:
    files = [workspace.image_file(key, view) for view in track.views]
    return [*files, workspace.label_file(key)] if track.task == "segmentation" and split == "train" else files


def _checksums(workspace: Workspace, files: Sequence[Path]) -> tuple[str, ...]:
    """Return "SHA-256 path" of each file, the path below the cache folder."""
    folder = workspace.cache_folder()
    return tuple(f"{stored_checksum(file, PREPARE_AGAIN)} {file.relative_to(folder).as_posix()}" for file in files)


def cache_sample(
    workspace: Workspace, track: Track, root: Path, sample: Sample, fill: bool = False
) -> tuple[Entry, list[Problem]]:
    """Decode one sample into the cache.

    A view of a test sample that can't be read is masked (black, ``present`` false) and reported; in training data it is
    an error.

    Args:
        workspace: Workspace of the cache.
        track: How to read.
        root: Folder of the raw data.
        sample: What to read.
        fill: Whether a test sample of which nothing can be read is black instead of an error.

    Returns:
        Its row of the manifest, and the views that were masked.

    Raises:
        CompetitionError: It can't be read.
    """
    _check_names(root, sample)
    sources = describe_sources(track, root, sample)  # first, so that a change during reading is noticed
    images, errors = _read_views(track, root, sample)
    readable = [image for image in images if image is not None]
    if not readable:
        if not fill or sample.split == "train":
            if errors and len(sample.images) == 1:
                raise errors[0]
            why = f" ({errors[0].what})" if errors else ""
            where = root / next(filter(None, sample.images), sample.key)
            raise CompetitionError(f"no image of it can be read{why}", where)
        readable = [np.zeros((*(track.size_hw or (256, 256)), *((3,) if track.channels == 3 else ())), np.uint8)]
    size_hw = (readable[0].shape[0], readable[0].shape[1])
    targets, labels, remarks = sample.targets or (), "", list[str]()
    areas: tuple[int, ...] = ()
    object_areas: tuple[float, ...] = ()
    if sample.label is not None and track.read_label is not None:
        planes = _read_label(track, root, sample, size_hw)
        areas = tuple(class_areas(planes, len(track.classes)).tolist())
        targets = tuple(int(area > 0) for area in areas)
        object_areas = tuple(median_areas(planes, len(track.classes)).tolist())
        write_array(workspace.label_file(sample.key), planes)
        labels = _pixel_hash([planes])
        if track.inspect_label is not None:
            with _reading(root / sample.label):
                remarks += track.inspect_label(root / sample.label, size_hw)
    files = zip(sample.images, images, strict=True)
    if any(path and image is not None and is_narrow(root / path, image) for path, image in files):
        remarks.append(NARROW)
    for view, image in zip(track.views, images, strict=True):
        write_array(workspace.image_file(sample.key, view), np.zeros_like(readable[0]) if image is None else image)
    entry = Entry(
        sample=sample.key,
        name=sample.name,
        split=sample.split,
        group=sample.group,
        stratum=sample.stratum,
        present=tuple(image is not None for image in images),
        height=size_hw[0],
        width=size_hw[1],
        mean=tuple(0.0 if image is None else float(image.mean()) for image in images),
        std=tuple(1.0 if image is None else float(image.std()) for image in images),
        targets=targets,
        pixels=_pixel_hash(readable),
        labels=labels,
        fingerprint=fingerprint(track, root, sample),
        side=sample.side,
        spacing_mm=_spacing(track, root, sample) if images[0] is not None else None,
        view_pixels=tuple("" if image is None else _pixel_hash([image]) for image in images),
        traits=_traits(track, root, sample),
        areas=areas,
        object_areas=object_areas,
        sources=sources,
        cached=_checksums(workspace, _cached_files(workspace, track, sample.key, sample.split)),
        remarks=tuple(remarks),
    )
    return entry, [problem_of(root, sample, error, masked=True) for error in errors]


def _check_names(root: Path, sample: Sample) -> None:
    """Reject a sample whose key is no file name, or whose name or group would spoil tables and fold files."""
    name_fault = file_fault(sample.key, LONGEST_KEY) or file_fault(sample.name, LONGEST_KEY)
    for what, fault in (("name", name_fault), ("group", label_fault(sample.group))):
        if fault:
            where = root / next(filter(None, sample.images), sample.key)
            raise CompetitionError(f"its {what} {fault}", where, "Rename the file")


def problem_of(root: Path, sample: Sample, error: CompetitionError, masked: bool = False) -> Problem:
    """Return why a sample, or a view of it, could not be read, with the file below the root that is at fault."""
    reason = f"{error.what} ({error.repair[0].lower()}{error.repair[1:]})" if error.repair else error.what
    path = error.where.removeprefix(f"{root}/") or sample.images[0] or sample.key
    remark = "; the view is masked" if masked and len(sample.images) > 1 else ""
    return Problem(sample.key, sample.split, path, reason + remark, masked)


def _read_views(
    track: Track, root: Path, sample: Sample
) -> tuple[list[NDArray[np.uint8] | None], list[CompetitionError]]:
    """Return the views, and the errors of a test sample's views that can't be read."""
    images, errors = list[NDArray[np.uint8] | None](), []
    for path in sample.images:
        try:
            with _reading(root / (path or "")):
                images.append(None if path is None else track.read_image(root / path))
        except CompetitionError as error:
            if sample.split == "train":
                raise
            images.append(None)
            errors.append(error)
    return images, errors


def _read_label(track: Track, root: Path, sample: Sample, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the label planes; name an EXIF orientation if only that gives label and image different sizes."""
    read, label = track.read_label, root / str(sample.label)
    assert read is not None
    try:
        with _reading(label):
            return read(label, size_hw)
    except CompetitionError as error:
        files = [root / path for path in sample.images if path is not None] + label_files(label, track.classes)
        tags = {file: exif_orientation(file) for file in files}
        turned = [file for file, orientation in tags.items() if orientation > 4]
        if not turned or not _fits(track, label, size_hw[::-1]):
            raise
        tagged = f"{turned[0].name} was turned by its EXIF orientation {tags[turned[0]]}"
        repair = "Save image and label turned alike and without the tag"
        raise CompetitionError(f"{error.what}: {tagged}", error.where, repair) from error


def _fits(track: Track, label: Path, size_hw: tuple[int, int]) -> bool:
    with suppress(Exception):  # the error for the right size is the one that is shown
        return track.read_label is not None and track.read_label(label, size_hw) is not None
    return False


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn every exception of a reader into a sentence about its file, so that the listing goes on."""
    try:
        yield
    except CompetitionError:
        raise
    except MemoryError as error:
        raise CompetitionError("file does not fit into memory", path, "Use a machine with more memory") from error
    except Exception as error:  # a reader, or a library below it, did not expect this content
        raise CompetitionError(f"file can't be read ({type(error).__name__}: {first_line(error)})", path) from error


def _spacing(track: Track, root: Path, sample: Sample) -> tuple[float, float] | None:
    first = sample.images[0]
    if track.read_spacing is None or first is None:
        return None
    with _reading(root / first):
        return track.read_spacing(root / first)


def _traits(track: Track, root: Path, sample: Sample) -> tuple[float, ...]:
    if track.read_traits is None or sample.split == "test":
        return ()
    with _reading(root / next(filter(None, sample.images), sample.key)):
        return track.read_traits(root, sample)


def _pixel_hash(images: list[NDArray[np.uint8]]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()[:16]


def read_cached_image(workspace: Workspace, key: str, view: str) -> NDArray[np.uint8]:
    """Return one view of a sample: (H, W) or (H, W, 3) uint8."""
    return read_array(workspace.image_file(key, view), PREPARE_AGAIN)


def read_label_planes(workspace: Workspace, track: Track, key: str) -> NDArray[np.uint8]:
    """Return the label planes of a training sample with the classes of a track, which may be narrowed to some."""
    planes = read_cached_planes(workspace, key)
    return planes if track.bits is None else select_classes(planes, track.bits)


def read_cached_planes(workspace: Workspace, key: str) -> NDArray[np.uint8]:
    """Return the label planes of a training sample: (H, W, ceil(C/8)) uint8."""
    return read_array(workspace.label_file(key), PREPARE_AGAIN)
