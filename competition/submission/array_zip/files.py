"""Files of a zip of arrays: for each image a .npy of 0 and 1, (rows, columns, classes + 1) uint8.

The bytes of the zip depend on nothing but the masks and their order: no times, no owners. The last plane is the
background, the complement of the others.
"""

import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import find_all_files, without_picture_ending
from competition.files import whole_file, whole_folder
from competition.formats.numpy_files import LARGEST_ARRAY, StoredArray, read_npy
from competition.formats.source_files import damage_named
from competition.masks.bit_planes import pack_masks, unpack_class
from competition.text import few, size_text

# The earliest time a zip can hold; with the time of writing, equal masks would give files of different hashes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def plane_file_name(image_name: str) -> str:
    """Return the name of an image's file in the submission: "7.dcm" becomes "7.npy", a key stays whole."""
    return f"{without_picture_ending(image_name)}.npy"


def with_background(planes: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    """Return label planes (H, W, P) as they are submitted: (H, W, classes + 1) uint8, the background last."""
    array = np.empty((*planes.shape[:2], classes + 1), dtype=np.uint8)
    for index in range(classes):
        array[..., index] = unpack_class(planes, index)
    array[..., classes] = ~planes.any(axis=2)
    return array


def packed(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the label planes of a submitted array, without the background."""
    return pack_masks(np.moveaxis(array[..., :-1], -1, 0) > 0)


def write_plane_files(path: Path, images: Iterable[tuple[str, NDArray[np.uint8]]], folder: Path | None = None) -> None:
    """Write the zip, one image at a time: memory does not grow with the number of images.

    Args:
        path: The zip; an old one is replaced only when the new one is whole.
        images: Image name and its array (H, W, classes + 1) uint8, in the organiser's order.
        folder: For the single files, replaced in the same way; None for the zip alone.

    Raises:
        CompetitionError: The disk is full or a folder can't be written.
    """
    with whole_folder(folder, "*.npy") if folder else nullcontext() as files, whole_file(path) as part:
        with zipfile.ZipFile(part, "w") as archive:
            for image_name, array in images:
                name = plane_file_name(image_name)
                if files is not None:
                    np.save(files / name, array, allow_pickle=False)
                with archive.open(archive_member(name), "w", force_zip64=True) as target:
                    np.save(target, array, allow_pickle=False)
        with part.open("rb") as file:
            os.fsync(file.fileno())  # renamed before its bytes are on disk, a power cut would leave an empty file


def archive_member(name: str, compression: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    """Return the entry of a file without time and owner; compressed, 3268x3268x7 shrinks from 75 MB to some 100 KB."""
    member = zipfile.ZipInfo(name, _NO_TIME)
    member.compress_type = compression
    member.create_system, member.external_attr = 3, 0o644 << 16
    return member


@dataclass(frozen=True)
class PlaneFiles:
    """An open submission: a zip, of which the table of contents is read once, or the folder of its files."""

    path: Path  # the zip or folder
    names: list[str]  # of the files, in the order of the zip or by name; a zip may hold a name twice
    archive: zipfile.ZipFile | None  # the zip; None for a folder

    def unique_names(self) -> list[str]:
        """Return the names of the files, or raise CompetitionError if one appears twice."""
        if twice := [name for name, count in Counter(self.names).items() if count > 1]:
            raise CompetitionError(f"{len(twice)} files appear twice ({few(twice)})", self.path)
        return self.names

    def read(self, name: str, classes: int, size_hw: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Read one array, whose header is checked before its values are read.

        Args:
            name: Of the file.
            classes: Number of classes; there is one plane more.
            size_hw: Rows and columns of the image, if known.

        Returns:
            (rows, columns, classes + 1) uint8 of 0 and 1, the last plane the complement of the others.

        Raises:
            CompetitionError: The file is damaged, no .npy of numbers, or its form or values are wrong.
        """

        def judge(stored: StoredArray) -> None:
            if fault := _form_fault(stored, classes, size_hw):
                raise CompetitionError(f"{name} {fault}", self.path)

        with damage_named(f"{name} can't be read as a .npy of numbers", self.path):
            if self.archive is None:
                with (self.path / name).open("rb") as file:
                    array = read_npy(file, (self.path / name).stat().st_size, judge)
            else:
                with self.archive.open(name) as member:
                    array = read_npy(member, self.archive.getinfo(name).file_size, judge)
        if fault := _value_fault(array):
            raise CompetitionError(f"{name} {fault}", self.path)
        return array


@contextmanager
def open_plane_files(path: Path) -> Iterator[PlaneFiles]:
    """Open a zip of .npy files, or the folder of them.

    Raises:
        CompetitionError: It is missing, or a file that is no zip.
    """
    if path.is_dir():
        found = [file.relative_to(path).as_posix() for file in find_all_files(path) if file.is_file()]
        yield PlaneFiles(path, found, None)
        return
    if not path.exists():
        raise CompetitionError("no such file or folder", path)
    with damage_named("this is not a zip of .npy files, or it is incomplete", path):
        archive = zipfile.ZipFile(path)
    with archive:
        yield PlaneFiles(path, [name for name in archive.namelist() if not name.endswith("/")], archive)


def _form_fault(stored: StoredArray, classes: int, size_hw: tuple[int, int] | None) -> str | None:
    """Return what is wrong with the shape or type of an array, the rest of a sentence; None for nothing."""
    shape = size_text(stored.shape) or "a single number"
    if len(stored.shape) != 3 or stored.shape[2] != classes + 1:
        return f"is {shape}, not rows x columns x {classes + 1}"
    if size_hw is not None and stored.shape[:2] != size_hw:
        return f"is {shape}, its image has {size_hw[0]} rows and {size_hw[1]} columns"
    if stored.dtype != np.uint8:
        return f"is {stored.dtype}, not uint8"
    if size_hw is None and stored.nbytes > LARGEST_ARRAY:
        needed = f"{stored.nbytes / 1e9:.1f} GB"
        return f"is {shape}, which takes {needed}, and the size of its image is not known: give --size ROWSxCOLUMNS"
    return None


def _value_fault(array: NDArray[np.uint8]) -> str | None:
    """Return what is wrong with the values of an array (rows, columns, classes + 1), as ``_form_fault``."""
    if (largest := int(array.max(initial=0))) > 1:
        return f"holds values other than 0 and 1, up to {largest}"
    wrong = int(np.count_nonzero(array[..., :-1].any(axis=-1) == array[..., -1].astype(np.bool_)))
    return f"has {wrong} pixels where the last plane is not the complement of the others" if wrong else None
