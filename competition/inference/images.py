"""Any readable image for any track: by the track's own reader, else by the general reader of the file's format."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import shout
from competition.errors import CompetitionError
from competition.file_listing import find_all_files, split_part, stem
from competition.formats.dicom import is_dicom
from competition.formats.images import has_colour, has_image_ending, read_image, read_spacing
from competition.formats.nifti import is_nifti
from competition.formats.pictures import UnknownFormatError
from competition.formats.source_files import require_file, require_size
from competition.tracks.track import Track

DICOM_INDEX = "DICOMDIR"
"""The table of contents of a DICOM disc, a DICOM file without an image."""


def find_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the readable images below a folder, sorted, and all other files but litter.

    Readable is what has an ending of ``formats.images.ENDINGS``, and a DICOM file of any name.
    """
    images: list[Path] = []
    others: list[Path] = []
    for path in find_all_files(folder):
        dicom = path.is_file() and path.name != DICOM_INDEX and is_dicom(path)
        (images if dicom or has_image_ending(path) else others).append(path)
    return images, others


def image_name(path: Path) -> str:
    """Return what the results of an image are called: its name without the ending of an image.

    DICOM files are often named by numbers with dots, which are no ending.
    """
    return stem(path.name) if has_image_ending(path) else path.name


def for_any_image(track: Track) -> Track:
    """Return a track that reads any image, and the spacing of any DICOM or NIfTI file; see ``read_any``."""
    return replace(track, read_image=lambda path: read_any(track, path), read_spacing=_spacing_reader(track))


def read_any(track: Track, path: Path) -> NDArray[np.uint8]:
    """Read an image with the track's reader; use the general reader only for formats that the track's does not know.

    Any other error of the track's reader is raised: the general reader could choose another window than training did.
    A colour picture is grey for a grey track, with a warning if its channels differ and the track names none of them.

    Returns:
        (H, W) uint8 for a track of one channel, else (H, W, 3).

    Raises:
        CompetitionError: The file is missing, damaged or no image, named with the reason.
    """
    file, _ = split_part(path)
    require_file(file)
    image = _read_as_track(track, path)
    if image is None:
        image = read_image(path, track.colour or track.channels)
    require_size(image.shape[0], image.shape[1], path)
    if track.channels == 1 and track.colour is None and has_colour(path):
        shout(f"warning: {path} is in colour and was turned to grey, because track {track.name} is grey")
    return image


def _read_as_track(track: Track, path: Path) -> NDArray[np.uint8] | None:
    """Return what the track's reader returns; None if it does not know the format or returns no image of the track."""
    try:
        image = track.read_image(path)
    except UnknownFormatError:
        return None
    except (CompetitionError, MemoryError):
        raise
    except Exception as error:  # of a plugin for one format, which may fail in any way on others
        how = f"the reader of track {track.name} fails on it ({type(error).__name__})"
        shout(f"warning: {path} is read by the general reader, because {how}: its grey levels may differ from training")
        return None
    wanted = image.ndim == 2 if track.channels == 1 else image.ndim == 3 and image.shape[2] == 3
    return image if wanted and image.dtype == np.uint8 else None


def _spacing_reader(track: Track) -> Callable[[Path], tuple[float, float] | None]:
    def read(path: Path) -> tuple[float, float] | None:
        in_header = is_dicom(path) or is_nifti(split_part(path)[0])
        if track.read_spacing is None or (in_header and track.list_parts is None):
            return read_spacing(path)
        return track.read_spacing(path)

    return read
