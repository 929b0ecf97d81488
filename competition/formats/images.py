"""Any image, by the format of its file: pictures, DICOM, NIfTI and its slices "volume.nii.gz#017", NumPy arrays."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import split_part
from competition.formats import array_images, dicom, nifti, pictures
from competition.formats.array_images import is_array, read_image_array
from competition.formats.dicom import Window, is_dicom, read_dicom_grey, read_spacing_mm
from competition.formats.pictures import UnknownFormatError, read_grey, read_rgb, stretch

READABLE = "PNG, JPEG, TIFF, BMP, GIF, WebP, PPM, DICOM, NIfTI (.nii, .nii.gz), .npy or .npz"
"""Formats of images, for messages."""

ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm"),
    *(*dicom.ENDINGS, *nifti.ENDINGS, *array_images.ENDINGS),
)


Channels = Literal[1, 3, "red", "green", "blue"]
"""Of an image as it is read: grey, RGB, or one channel of colour as grey. Vessels are darkest in green; eosin, which
colours the tissue around nuclei pink, vanishes in red."""


def has_image_ending(path: Path) -> bool:
    """Return whether a file is named as an image; DICOM files may have any name."""
    return path.name.lower().endswith(ENDINGS)


def read_image(
    path: Path, channels: Channels, window: Window = "min-max", slices: Literal[0, 1, 2] | None = None
) -> NDArray[np.uint8]:
    """Read an image, or a slice "volume.nii.gz#017", by the format of its file.

    Args:
        path: The file, or a part of it.
        channels: 3 for RGB; else the result is grey, of colour images the luminance (1) or one channel.
        window: What becomes 0 to 255 in DICOM, NIfTI and arrays: "min-max", the window that the file names ("voi"), or
            lowest and highest value.
        slices: The axis of a NIfTI volume that a part is a slice of.

    Returns:
        (H, W, 3) uint8 for 3 channels, else (H, W).

    Raises:
        CompetitionError: It is missing, damaged, or of no format that is read.
    """
    file, part = split_part(path)
    if nifti.is_nifti(file):
        return _with_channels(_read_nifti(file, part, window, slices), channels)
    if is_array(file):
        return _with_channels(_read_array(file, window), channels)
    if is_dicom(file):
        return _with_channels(read_dicom_grey(file, window), channels)
    try:
        return read_grey(file) if channels == 1 else _with_channels(read_rgb(file), channels)
    except UnknownFormatError as error:
        what = "this is no image that can be read, or it is damaged in its first bytes"
        raise CompetitionError(what, path, f"Give {READABLE} files") from error


def is_stretched(path: Path) -> bool:
    """Return whether ``read_image`` stretches the grey of a file; False where it is no image."""
    file, _ = split_part(path)
    if is_array(file):
        return array_images.is_wide_array(file)
    return nifti.is_nifti(file) or is_dicom(file) or pictures.has_wide_grey(file)


def has_colour(path: Path) -> bool:
    """Return whether the channels of an image differ, so that grey loses something; False where it is no image."""
    file, _ = split_part(path)
    if is_array(file):
        return array_images.is_colour_array(file)
    return not is_dicom(file) and pictures.has_colour(file)  # DICOM is read in grey only


def _read_nifti(file: Path, part: str, window: Window, slices: Literal[0, 1, 2] | None) -> NDArray[np.uint8]:
    values = nifti.read_values(file, slices, part)
    volume = nifti.read_volume(file)
    if window == "voi" and volume.window is None:
        repair = "Write images: {window: min-max} in the track's YAML, or the lowest and highest value, [-160, 240]"
        raise CompetitionError("NIfTI names no window (cal_min and cal_max)", file, repair)
    named = {"min-max": volume.between, "voi": volume.window}
    return stretch(values, named[window] if isinstance(window, str) else window)


def _read_array(file: Path, window: Window) -> NDArray[np.uint8]:
    values = read_image_array(file)
    if values.dtype == np.uint8:
        return values
    if window == "voi":
        raise CompetitionError("an array names no window", file, "Write images: {window: min-max} or [lowest, highest]")
    return stretch(values, None if isinstance(window, str) else window)


def _with_channels(image: NDArray[np.uint8], channels: Channels) -> NDArray[np.uint8]:
    """Return an image (H, W) or (H, W, 3) as ``read_image`` does; luminance is that of ITU-R 601."""
    if channels == 3:
        return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    if isinstance(channels, str):
        return image if image.ndim == 2 else image[..., ("red", "green", "blue").index(channels)]
    return image if image.ndim == 2 else np.round(image @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def read_spacing(path: Path, slices: Literal[0, 1, 2] | None = None) -> tuple[float, float] | None:
    """Return the distance of pixel centres in mm between rows and columns, which DICOM and NIfTI files may have."""
    file, _ = split_part(path)
    if nifti.is_nifti(file):
        return nifti.read_spacing_mm(file, slices)
    return read_spacing_mm(file) if is_dicom(file) else None
