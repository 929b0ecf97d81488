"""Cardiac data as TFRecords: each record holds one slice with its label and their size.

Files lie under the data root or one folder below; what begins with ``train`` is for training, with ``test`` or ``val``
for the test. Features of a record, as in the lab's public conversions: ``height`` and ``width``; ``img_raw`` or
``image_raw``, the pixels' bytes row by row as uint8, int16 or int64; ``label_raw``, uint8; and in some files ``name``,
which holds the patient.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import find_files
from competition.formats.pictures import stretch
from competition.formats.tfrecords import Example, parse_example, read_record, read_records
from competition.text import same_spelling
from competition.tracks.cardiac import PATIENT, disease, padded, slice_name
from competition.tracks.listing import unknown_patients
from competition.tracks.track import Listing, Problem, Sample, Split

IMAGE = ("image_raw", "img_raw")
LABEL = ("label_raw",)
# By bytes per pixel, little-endian. Four bytes could be whole numbers or floats, so they are refused.
_PIXEL_TYPES = {1: "u1", 2: "<i2", 8: "<i8"}


def record_files(root: Path) -> list[Path]:
    """Return all TFRecord files under a folder and one folder below, sorted."""
    return sorted(path for pattern in ("*.tfrecord*", "*/*.tfrecord*") for path in find_files(root, pattern))


def list_records(root: Path) -> Listing:
    """List the slices of both splits, training first, in the order of the records.

    Raises:
        CompetitionError: A file is damaged, a record lacks a feature, or a file name indicates no split.
    """
    samples, problems, seen = list[Sample](), list[Problem](), dict[str, str]()
    splits = {file: _split(file, root) for file in record_files(root)}
    for file, split in sorted(splits.items(), key=lambda item: item[1] == "test"):
        for sample in _samples(root, file, split):
            path = str(sample.images[0])
            if (other := seen.setdefault(sample.key, path)) == path:
                samples.append(sample)
            else:
                reason = f"two records share the name {sample.key} (the other is {other})"
                problems.append(Problem(sample.key, split, path, reason))
    if not any(sample.split == "train" for sample in samples):
        raise CompetitionError("no training image found: no record in a file whose name begins with train", root)
    unnamed = [sample.group == sample.key for sample in samples if sample.split == "train"]
    repair = "Add a feature 'name' (SC-HF-I-02-IM-0001-0060) to the records"
    return Listing(samples, problems, unknown_patients(sum(unnamed), len(unnamed), repair))


def list_test_records(folder: Path) -> Listing:
    """List a late test set: every record below ``folder``.

    Raises:
        CompetitionError: As ``list_records``, or there is no record, or two of one name.
    """
    samples = [sample for file in record_files(folder) for sample in _samples(folder, file, "test")]
    first: dict[str, str] = {}
    for sample in samples:
        path = str(sample.images[0])
        if first.setdefault(sample.key, path) != path:
            raise CompetitionError(f"two records share the name {sample.key} (the other is {first[sample.key]})", path)
    if not samples:
        raise CompetitionError("no test image found", folder)
    return Listing(samples)


def find_records(folder: Path) -> dict[str, list[Path]]:
    """Find the records below a folder: slice key -> paths."""
    found: dict[str, list[Path]] = {}
    for file in record_files(folder):
        for sample in _samples(folder, file, "test"):
            found.setdefault(sample.key, []).append(folder / str(sample.images[0]))
    return found


def read_record_image(file: Path, number: int) -> NDArray[np.uint8]:
    """Read a slice: bytes as they are, wider pixels stretched from their own minimum and maximum, as from DICOM.

    Returns:
        (H, W) uint8.

    Raises:
        CompetitionError: The record is damaged, or a feature is missing or has the wrong size.
    """
    pixels = _pixels(file, number, IMAGE)
    return pixels.astype(np.uint8) if pixels.itemsize == 1 else stretch(pixels)


def read_record_label(file: Path, number: int) -> NDArray[np.integer]:
    """Read a label's stored values, (H, W); errors as ``read_record_image``."""
    return _pixels(file, number, LABEL)


def _split(file: Path, root: Path) -> Split:
    part = file.relative_to(root).parts[0].lower()
    if part.startswith("train"):
        return "train"
    if part.startswith(("test", "val")):
        return "test"
    raise CompetitionError("the name is neither of training nor of test records", file, "Begin it with train or test")


def _samples(root: Path, file: Path, split: Split) -> Iterator[Sample]:
    for number, record in enumerate(read_records(file)):
        where = f"{file}, record {number}"
        example = parse_example(record, where)
        for names in (IMAGE, LABEL) if split == "train" else (IMAGE,):
            _feature(example, names, where)
        key = _key(example, where) or f"{file.name.partition('.')[0]}-{number:04d}"
        patient = PATIENT.search(key)
        group = padded(patient[0]) if patient else key
        path = f"{file.relative_to(root).as_posix()}#{number}"
        label = path if split == "train" else None
        yield Sample(key, slice_name(key), split, group, (path,), label, stratum=disease(group))


def _key(example: Example, where: str) -> str:
    """Return the slice's own name without folder and picture ending; "" if the record has none."""
    values = example.get("name") or [b""]
    name = values[0].decode(errors="replace") if isinstance(values[0], bytes) else ""
    key = same_spelling(PurePosixPath(name).name.removesuffix(".png"))
    # It becomes the name of files.
    if key in (".", "..") or len(key.encode()) > 200 or not key.isprintable() or "\\" in key:
        raise CompetitionError(f"record's name {key[:40]!r} can't be a file name", where)
    return key


def _pixels(file: Path, number: int, names: Sequence[str]) -> NDArray[np.integer]:
    where = f"{file}, record {number}"
    example = parse_example(read_record(file, number), where)
    raw = _feature(example, names, where)
    height, width = (_feature(example, (name,), where) for name in ("height", "width"))
    if not (isinstance(raw, bytes) and isinstance(height, int) and isinstance(width, int)):
        raise CompetitionError(f"{names[0]} must be bytes, height and width whole numbers", where)
    pixels = height * width
    size, rest = divmod(len(raw), pixels) if height > 0 and width > 0 else (0, 0)
    if rest or size not in _PIXEL_TYPES:
        what = f"{len(raw)} bytes don't make {height}x{width} (rows x columns) pixels of 1, 2 or 8 bytes"
        raise CompetitionError(what, where)
    return np.frombuffer(raw, _PIXEL_TYPES[size]).reshape(height, width)


def _feature(example: Example, names: Sequence[str], where: str) -> bytes | int:
    """Return the single value of the feature with one of the names."""
    values = next((example[name] for name in names if name in example), None)
    if values is None:
        there = ", ".join(sorted(example)) or "none"
        raise CompetitionError(f"record has no feature {' or '.join(names)} (features: {there})", where)
    if len(values) != 1:
        raise CompetitionError(f"feature {names[0]} has {len(values)} values, not one", where)
    return values[0]
