"""Any readable image for any track: by the track's own reader, else by the general reader of the file's format."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import shout
from competition.errors import CompetitionError
from competition.file_listing import find_all_files
from competition.formats.dicom import ENDINGS, is_dicom, read_dicom_grey, read_spacing_mm
from competition.formats.numpy_files import open_arrays
from competition.formats.pictures import UnknownFormatError, has_colour, read_grey, read_rgb, stretch
from competition.formats.source_files import require_file, require_size
from competition.tracks.track import Track

PICTURE_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm"),
    *(*ENDINGS, ".npy"),
)

READABLE = "PNG, JPEG, TIFF, BMP, GIF, WebP, PPM, DICOM or .npy"
"""Formats of images, for messages."""

DICOM_INDEX = "DICOMDIR"
"""The table of contents of a DICOM disc, a DICOM file without an image."""


def find_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the readable images below a folder, sorted, and all other files but litter.

    Readable is what has an ending of ``PICTURE_ENDINGS``, and a DICOM file of any name.
    """
    images: list[Path] = []
    others: list[Path] = []
    for path in find_all_files(folder):
        dicom = path.is_file() and path.name != DICOM_INDEX and is_dicom(path)
        (images if dicom or path.suffix.lower() in PICTURE_ENDINGS else others).append(path)
    return images, others


def image_name(path: Path) -> str:
    """Return what the results of an image are called: its name without the ending of an image.

    DICOM files are often named by numbers with dots, which are no ending.
    """
    return path.stem if path.suffix.lower() in PICTURE_ENDINGS else path.name


def for_any_image(track: Track) -> Track:
    """Return a track that reads any image, and the spacing of any DICOM file; see ``read_any``."""
    return replace(track, read_image=lambda path: read_any(track, path), read_spacing=_spacing_reader(track))


def read_any(track: Track, path: Path) -> NDArray[np.uint8]:
    """Read an image with the track's reader, or where that fails by its format, brought to the track's channels.

    A colour picture is grey for a grey track, with a warning if its channels differ.

    Returns:
        (H, W) uint8 for a track of one channel, else (H, W, 3).

    Raises:
        CompetitionError: The file is missing, damaged or no image, named with the reason.
    """
    require_file(path)
    image = _read_as_track(track, path)
    if image is None:
        image = _read_by_format(path, track.channels)
    require_size(image.shape[0], image.shape[1], path)
    if track.channels == 1 and not is_dicom(path) and has_colour(path):
        shout(f"warning: {path} is in colour and was turned to grey, because track {track.name} is grey")
    return image


def _read_as_track(track: Track, path: Path) -> NDArray[np.uint8] | None:
    """Return what the track's reader gives, None where it fails or gives something else than an image of the track."""
    try:
        image = track.read_image(path)
    except MemoryError:
        raise
    except Exception:  # it may be made for one format only; the reader of the format names what is wrong
        return None
    wanted = image.ndim == 2 if track.channels == 1 else image.ndim == 3 and image.shape[2] == 3
    return image if wanted and image.dtype == np.uint8 else None


def _read_by_format(path: Path, channels: int) -> NDArray[np.uint8]:
    if not is_dicom(path) and path.suffix.lower() != ".npy":
        try:
            return read_grey(path) if channels == 1 else read_rgb(path)
        except UnknownFormatError as error:
            what = "this is no image that can be read, or it is damaged in its first bytes"
            raise CompetitionError(what, path, f"Give {READABLE} files") from error
    grey = read_dicom_grey(path) if is_dicom(path) else _read_array(path)
    return grey if channels == 1 else np.repeat(grey[..., None], 3, axis=2)


def _read_array(path: Path) -> NDArray[np.uint8]:
    """Read a .npy of (H, W) uint8, or uint16 that is stretched from its own minimum to its maximum."""
    arrays = open_arrays(path)
    stored = arrays.get("")
    if stored is None or len(stored.shape) != 2 or stored.dtype not in (np.uint8, np.uint16):
        found = "a zip of arrays" if stored is None else f"{stored.dtype} of shape {stored.shape}"
        what = f"an image as .npy is uint8 or uint16 (rows, columns), not {found}"
        raise CompetitionError(what, path, "Save it as such an array, or as PNG")
    require_size(stored.shape[0], stored.shape[1], path)
    values = stored.read()
    return values if stored.dtype == np.uint8 else stretch(values)


def _spacing_reader(track: Track) -> Callable[[Path], tuple[float, float] | None]:
    def read(path: Path) -> tuple[float, float] | None:
        if is_dicom(path):
            return read_spacing_mm(path)
        return None if track.read_spacing is None else track.read_spacing(path)

    return read
