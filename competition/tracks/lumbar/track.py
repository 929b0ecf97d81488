"""Lumbar: six vertebrae on lateral radiographs, DICOM images with MATLAB labels; group = hash of the PatientID.

On disk: ``train/img/*.dcm``, ``train/label/NNN.mat`` and ``test/img/*.dcm``; PNG images and PNG labels (values 1 to 6)
are read too. An image belongs to the label of the same *number*, the last one in its name: "7.dcm" and "007.mat" belong
together, in whatever order they are sorted.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import find_files, stem
from competition.formats.dicom import read_dicom_grey, read_patient_id, read_spacing_mm
from competition.formats.pictures import read_grey
from competition.metrics.counts import DICE
from competition.submission.array_zip.form import ArrayZipForm
from competition.text import same_spelling
from competition.tracks.listing import check_names, find_late_images, skipped_pictures, unknown_patients
from competition.tracks.lumbar.labels import VERTEBRAE, inspect_label, read_vertebrae
from competition.tracks.track import Listing, Mirror, Problem, Sample, Split, Track

_IMAGES = (".dcm", ".png")
_LABELS = (".mat", ".png")
_NAME_PATIENTS = (
    "Where a person has several images, write a PatientID into the DICOM files, or give these images the same fold in "
    "folds/lumbar.csv before training"
)


def number_of(name: str) -> str:
    """Return the last number in a file name without leading zeros ("IMG_007.dcm": "7"), "" if there is none."""
    numbers = re.findall(r"\d+", Path(name).stem)
    return str(int(numbers[-1])) if numbers else ""


def list_spines(root: Path) -> Listing:
    """List the images of both splits, each training image with the label of its number.

    A file without a number, and a number that has not exactly one image and one label, are problems.

    Raises:
        CompetitionError: There is no training image, or two test images have one name.
    """
    images, labels = _files(root, "train/img", _IMAGES), _files(root, "train/label", _LABELS)
    if not images:
        raise CompetitionError("no training image found", root / "train" / "img")
    pairs, problems = _pair(root, images, labels)
    groups, remarks = _groups([image for image, _ in pairs])
    samples = [_sample(root, "train", image, groups[image], label) for image, label in pairs]
    if test := _files(root, "test/img", _IMAGES):
        check_names(test, root / "test" / "img")
    samples += [_sample(root, "test", image, image.name) for image in test]
    listed: dict[Split, list[Path]] = {"train": images, "test": test}
    for split, files in listed.items():
        patterns = [f"{split}/img/*{ending}" for ending in _IMAGES]
        problems += skipped_pictures(root, split, patterns, {stem(image.name) for image in files})
    return Listing(samples, problems, remarks)


def list_test_spines(folder: Path) -> Listing:
    """List a late test set: every image below ``folder``; CompetitionError if there is none, or two of one name."""
    images, remarks = find_late_images(folder, [f"**/*{ending}" for ending in _IMAGES])
    return Listing([_sample(folder, "test", image, image.name) for image in images], remarks=remarks)


def _files(root: Path, folder: str, endings: Sequence[str]) -> list[Path]:
    """Return the files of a folder below the root with one of the endings, by name."""
    return sorted(path for ending in endings for path in find_files(root, f"{folder}/*{ending}"))


def _pair(root: Path, images: Sequence[Path], labels: Sequence[Path]) -> tuple[list[tuple[Path, Path]], list[Problem]]:
    """Join images and labels by the number in their names."""
    images_of, labels_of = _by_number(images), _by_number(labels)
    totals = f" ({len(images)} images and {len(labels)} labels in all)" if len(images) != len(labels) else ""
    pairs, problems = [], []
    for number in sorted({*images_of, *labels_of}, key=lambda text: int(text or -1)):
        found, belonging = images_of.get(number, []), labels_of.get(number, [])
        if number and len(found) == len(belonging) == 1:
            pairs.append((found[0], belonging[0]))
            continue
        have = f"number {number} has {len(found)} images and {len(belonging)} labels, one of each is needed{totals}"
        reason = have if number else "the name has no number, by which images and labels are paired"
        for path in (*found, *belonging):
            problems.append(Problem(_key("train", path), "train", path.relative_to(root).as_posix(), reason))
    return pairs, problems


def _by_number(files: Sequence[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(number_of(path.name), []).append(path)
    return found


def _key(split: Split, path: Path) -> str:
    # Training and test images may bear the same names.
    return f"{split}_{stem(path.name)}"


def _sample(root: Path, split: Split, image: Path, group: str, label: Path | None = None) -> Sample:
    return Sample(
        key=_key(split, image),
        name=same_spelling(image.name),
        split=split,
        group=group,
        images=(image.relative_to(root).as_posix(),),
        label=None if label is None else label.relative_to(root).as_posix(),
    )


def _groups(images: Sequence[Path]) -> tuple[dict[Path, str], list[str]]:
    """Return image -> its patient's pseudonym, or its file name if it names no patient, and remarks.

    An ID in more than half of the files is a placeholder ("anonymous"), and as one group it could not be split into
    folds.
    """
    patients = {image: _patient(image) for image in images}
    (commonest, count), *_ = Counter(patients.values()).most_common(1) or [("", 0)]
    remarks = []
    if commonest and count > 2 and 2 * count > len(images):
        remarks.append(f"one PatientID is in {count} of {len(images)} files, so it does not identify a patient")
        patients = {image: "" if patient == commonest else patient for image, patient in patients.items()}
    remarks += unknown_patients(list(patients.values()).count(""), len(images), _NAME_PATIENTS)
    return {image: _pseudonym(patient) if patient else image.name for image, patient in patients.items()}, remarks


def _pseudonym(patient: str) -> str:
    """Return a hash of a PatientID, because fold files are committed.

    A list of all IDs can be hashed too, so this hides an ID and does not make the data anonymous.
    """
    return f"patient-{hashlib.sha256(patient.encode()).hexdigest()[:10]}"


def _patient(image: Path) -> str | None:
    """Return the PatientID; "" if there is none, None if the header can't be read, so that prepare rejects the file."""
    if image.suffix.lower() == ".png":
        return ""
    try:
        return read_patient_id(image)
    except CompetitionError:
        return None


def read_spine(path: Path) -> NDArray[np.uint8]:
    """Read a radiograph, DICOM or PNG, as (H, W) uint8 from its own minimum to its own maximum.

    Raises:
        CompetitionError: The file is missing, damaged, or no single grey image.
    """
    return read_grey(path) if path.suffix.lower() == ".png" else read_dicom_grey(path)


def read_spacing(path: Path) -> tuple[float, float] | None:
    """Return the distance of pixel centres between rows and columns in mm; PNG files have none."""
    return None if path.suffix.lower() == ".png" else read_spacing_mm(path)


LUMBAR = Track(
    name="lumbar",
    task="segmentation",
    classes=VERTEBRAE,
    metric=DICE,
    form=ArrayZipForm(),
    list_samples=list_spines,
    list_test=list_test_spines,
    read_image=read_spine,
    read_label=read_vertebrae,
    layout="DIR/train/img/*.dcm, DIR/train/label/NNN.mat and DIR/test/img/*.dcm",
    # All are seen from one side; a mirrored spine is as plausible to learn from, and the order from the top stays.
    mirror=Mirror(classes=tuple(range(len(VERTEBRAE)))),
    read_spacing=read_spacing,
    label_key=number_of,
    inspect_label=inspect_label,
    upright=True,
)
