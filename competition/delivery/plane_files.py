"""The "planes" submission: for each image a .npy of 0 and 1, (rows, columns, classes + 1) uint8, and a zip of them all.

The zip is what is handed in. Its bytes depend on nothing but the masks and their order: no times, no owners. The last
plane is the background, the complement of the others.
"""

import os
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.imaging.planes import pack_masks, unpack_class
from competition.tracks.track import stem
from competition.workspace import whole_file, whole_folder

# The earliest time a zip can hold; without it the same masks would give another file, and another hash, every time.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def plane_file_name(image_name: str) -> str:
    """What an image's file is called in the submission: "7.dcm" becomes "7.npy"."""
    return f"{stem(image_name)}.npy"


def with_background(planes: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    """Label planes (H, W, P) as they are handed in: (H, W, classes + 1) uint8, the background last."""
    array = np.empty((*planes.shape[:2], classes + 1), dtype=np.uint8)
    for index in range(classes):
        array[..., index] = unpack_class(planes, index)
    array[..., classes] = ~planes.any(axis=2)
    return array


def packed(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The label planes of what was handed in, without the background."""
    return pack_masks(np.moveaxis(array[..., :-1], -1, 0) > 0)


def write_plane_files(path: Path, folder: Path, images: Iterable[tuple[str, NDArray[np.uint8]]]) -> None:
    """Writes the arrays and the zip, one image at a time: memory does not grow with the number of images.

    Args:
        path: The zip; an old one is replaced only when the new one is whole.
        folder: For the single files; replaced in the same way.
        images: Image name and its array (H, W, classes + 1) uint8, in the organiser's order.

    Raises:
        CompetitionError: The disk is full or a folder can't be written.
    """
    with whole_folder(folder, "*.npy") as files, whole_file(path) as part:
        with zipfile.ZipFile(part, "w") as archive:
            for image_name, array in images:
                name = plane_file_name(image_name)
                np.save(files / name, array, allow_pickle=False)
                _add(archive, name, files / name)
        with part.open("rb") as file:
            os.fsync(file.fileno())  # renamed before its bytes are on disk, a power cut would leave an empty file


def _add(archive: zipfile.ZipFile, name: str, file: Path) -> None:
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED  # a mask of 3268x3268x7 shrinks from 75 MB to some 100 KB
    entry.create_system, entry.external_attr = 3, 0o644 << 16
    with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
        while block := source.read(1 << 20):
            target.write(block)


def list_plane_files(path: Path) -> list[str]:
    """Names of the files in a submission, a zip or the folder of its files, in the order of the zip or by name.

    Raises:
        CompetitionError: It is missing, or a file that is no zip.
    """
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        return [file.relative_to(path).as_posix() for file in found]
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if not name.endswith("/")]
    except FileNotFoundError as error:
        raise CompetitionError("no such file or folder", path) from error
    except (OSError, zipfile.BadZipFile) as error:
        raise CompetitionError(f"this is no zip of .npy files, or it was cut ({error})", path) from error


def read_plane_file(path: Path, name: str) -> NDArray[Any]:
    """Reads one array of a submission without judging it.

    Raises:
        CompetitionError: It is damaged or no .npy file of numbers.
    """
    try:
        if path.is_dir():
            with (path / name).open("rb") as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
            file.read()  # only at its end does zipfile compare the checksum
            return array
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())[:200]
        raise CompetitionError(f"{name} can't be read as a .npy of numbers ({reason})", path) from error


def plane_fault(array: NDArray[Any], classes: int, size_hw: tuple[int, int] | None = None) -> str | None:
    """What is wrong with one array that was handed in, the first thing of all.

    Args:
        array: As read.
        classes: Number of classes; there is one plane more.
        size_hw: Rows and columns of the image where they are known.

    Returns:
        The rest of a sentence that begins with the file's name; None where the array is as it should be.
    """
    shape = "x".join(map(str, array.shape)) or "a single number"
    if array.ndim != 3 or array.shape[2] != classes + 1:
        return f"is {shape}, not rows x columns x {classes + 1}"
    if size_hw is not None and array.shape[:2] != size_hw:
        return f"is {shape}, its image has {size_hw[0]} rows and {size_hw[1]} columns"
    if array.dtype != np.uint8:
        return f"is {array.dtype}, not uint8"
    if (largest := int(array.max(initial=0))) > 1:
        return f"holds values other than 0 and 1, up to {largest}"
    wrong = int(np.count_nonzero(array[..., :-1].any(axis=-1) == array[..., -1].astype(np.bool_)))
    return f"has {wrong} pixels where the last plane is not the complement of the others" if wrong else None
