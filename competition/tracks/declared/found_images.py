"""The images of a declared track: found by patterns or by the index, without those that are excluded or are masks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from competition.errors import CompetitionError
from competition.file_listing import find_files, join_part, stem
from competition.text import counted
from competition.tracks.declared.declaration import FolderTrack
from competition.tracks.declared.image_sources import ImageReading, list_parts
from competition.tracks.declared.index_table import IndexRow, IndexTable, read_index, rows_of_images
from competition.tracks.declared.mask_paths import MaskFiles
from competition.tracks.declared.places import PathFaultError, Places
from competition.tracks.declared.templates import key_of_part
from competition.tracks.track import Problem, Split


class DeclaredImages(Protocol):
    """What a declaration says about where images are."""

    @property
    def patterns(self) -> dict[Split, str]:
        """Return the patterns of the images of each split that has one."""

    @property
    def places(self) -> Places:
        """Return what the path of an image says."""

    @property
    def exclude(self) -> tuple[str, ...]:
        """Return the patterns of images that are left out."""

    @property
    def index(self) -> IndexTable | None:
        """Return the CSV with a row per image."""

    @property
    def images(self) -> ImageReading:
        """Return how DICOM, NIfTI and arrays become pictures."""


@dataclass(frozen=True)
class FoundImage:
    """An image file, or a part of one.

    Attributes:
        split: Of the image.
        file: Its file.
        relative: The path of the file below the data folder.
        fields: What the path says; None if there is a ``fault``.
        fault: Why the path says nothing.
        row: Of the index.
        part: The number of a slice of a volume, "" for the file as a whole.
    """

    split: Split
    file: Path
    relative: str
    fields: Mapping[str, str] | None
    fault: PathFaultError | None = None
    row: IndexRow | None = None
    part: str = ""

    @property
    def path(self) -> str:
        """Return the path of the image below the data folder: of a slice "volume.nii.gz#017"."""
        return join_part(self.relative, self.part)


@dataclass(frozen=True)
class FoundImages:
    """The images, those that are excluded, what is wrong with the index, and remarks."""

    images: list[FoundImage]
    excluded: list[FoundImage]
    problems: list[Problem]
    remarks: list[str]


def key_of(image: FoundImage, declaration: DeclaredImages) -> str:
    """Return the key of an image, from the index or from its path; raise PathFaultError if it has none."""
    if image.fields is None:
        raise image.fault or PathFaultError("path does not match")
    of_row = image.row is not None and "key" in image.row.cells
    key = image.row.cells["key"] if image.row is not None and of_row else declaration.places.key_of(image.fields)
    return key_of_part(key, image.part)


def with_parts(found: FoundImages, declaration: DeclaredImages) -> FoundImages:
    """Return the slices in place of each volume, with a problem for each that can't be read."""
    images, problems = list[FoundImage](), [*found.problems]
    for image in found.images:
        try:
            images += [replace(image, part=part) for part in list_parts(image.file, declaration.images)]
        except CompetitionError as error:
            key = stem(image.file.name)
            problems.append(Problem(key, image.split, image.relative, error.what, repair=error.repair or ""))
    return replace(found, images=images, problems=problems)


def find_images(root: Path, declaration: DeclaredImages) -> FoundImages:
    """Find the images of both splits, sorted by path or in the order of the index.

    Raises:
        CompetitionError: The index can't be read.
    """
    every = {split: find_files(root, pattern) for split, pattern in declaration.patterns.items()}
    problems: list[Problem] = []
    if declaration.index is None:
        found = [_found(root, split, file, declaration) for split, files in every.items() for file in files]
    else:
        found, problems = _indexed(root, every, declaration.index, declaration)
    excluded = {pattern: set(find_files(root, pattern)) for pattern in declaration.exclude}
    out = {file for files in excluded.values() for file in files}
    left_out = [image for image in found if image.file in out]
    remarks = list(_excluded_remarks(excluded, left_out))
    problems = [problem for problem in problems if root / problem.path not in out]
    return FoundImages([image for image in found if image.file not in out], left_out, problems, remarks)


def _found(
    root: Path, split: Split, file: Path, declaration: DeclaredImages, row: IndexRow | None = None
) -> FoundImage:
    relative = file.relative_to(root).as_posix()
    try:
        return FoundImage(split, file, relative, declaration.places.fields_of(relative), row=row)
    except PathFaultError as fault:
        return FoundImage(split, file, relative, None, fault, row)


def _indexed(
    root: Path, every: Mapping[Split, Sequence[Path]], form: IndexTable, declaration: DeclaredImages
) -> tuple[list[FoundImage], list[Problem]]:
    split_of = {file: split for split, files in every.items() for file in files}
    joined, problems = rows_of_images(root, read_index(root / form.csv, form), form, split_of if every else None)
    found = [
        _found(root, row.split() or split_of.get(file, "train"), file, declaration, row) for file, row in joined.items()
    ]
    return sorted(found, key=lambda image: image.split == "test"), problems


def _excluded_remarks(excluded: Mapping[str, set[Path]], left_out: Sequence[FoundImage]) -> Iterator[str]:
    if left_out:
        test = sum(image.split == "test" for image in left_out)
        of_test = f", {test} of them of the test set" if test else ""
        yield f"exclude: {counted(len(left_out), 'image')} left out{of_test}, for example {left_out[0].relative}"
    used = {image.file for image in left_out}
    for pattern, files in excluded.items():
        if not files & used:
            yield f"exclude: {pattern} fits no image"


def without_masks(found: FoundImages, masks: MaskFiles, declaration: FolderTrack) -> FoundImages:
    """Leave out the masks that the patterns of images fit too, with remarks.

    Raises:
        CompetitionError: An image would be its own mask.
    """
    images = {image.file: image for image in found.images if image.file in masks.fields_of}
    owner: dict[Path, FoundImage] = {}
    for image in [*found.images, *found.excluded] if images else ():
        for file in (file for files in masks.files_of(image.fields or {}) for file in files):
            if file == image.file:
                if file.suffix.lower() == ".npz":  # which may hold the image and its label
                    continue
                what = f"masks: {declaration.mask_template} makes {image.relative} its own mask"
                raise CompetitionError(what, image.file, "Write masks: and train: so that no file fits both")
            owner.setdefault(file, image)
    if not any(file in owner for file in images):
        return found
    # What is named as a mask is, beside other masks, and has none of its own, is a mask without image.
    kept = [
        image
        for image in found.images
        if image.file not in owner and (image.file not in images or any(masks.files_of(image.fields or {})))
    ]
    remarks = [*found.remarks]
    for split, pattern in declaration.patterns.items():
        taken = [image for image in images.values() if image.split == split and image.file in owner]
        if taken:
            first = f"{taken[0].relative} is the mask of {owner[taken[0].file].relative}"
            remarks.append(f"{split}: {pattern} fits {counted(len(taken), 'mask')} too, which are no images ({first})")
    return FoundImages(kept, found.excluded, found.problems, remarks)
