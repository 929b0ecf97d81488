"""Images of a folder track in any format: ``images:`` in its YAML, and which samples a file holds."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from competition.errors import CompetitionError
from competition.file_listing import split_part
from competition.formats import nifti
from competition.formats.array_images import is_array, read_image_array
from competition.formats.dicom import Window, is_dicom, read_dicom_grey, read_spacing_mm
from competition.formats.pictures import UnknownFormatError, read_grey, read_rgb, stretch
from competition.settings import Section

READABLE = "PNG, JPEG, TIFF, BMP, GIF, WebP, PPM, DICOM, NIfTI (.nii, .nii.gz), .npy and .npz"
"""Formats of images, for messages."""


class ImageReading(Section):
    """How DICOM, NIfTI and arrays become pictures."""

    window: Window = "min-max"
    """The values that become 0 to 255: the image's own minimum and maximum (of a volume, those of all slices); "voi",
    the window that a DICOM or NIfTI file names; or [lowest, highest], Hounsfield units for CT. Pictures such as PNG,
    and arrays of uint8, stay as they are."""
    slices: Literal[0, 1, 2] | None = None
    """The axis of a NIfTI volume whose slices are the samples; 2 in most files. Left out: a file is one image."""

    @field_validator("window")
    @classmethod
    def _ascending(cls, window: Window) -> Window:
        if not isinstance(window, str) and window[0] >= window[1]:
            raise ValueError(f"must be [lowest, highest], not [{window[0]:g}, {window[1]:g}]")
        return window


PLAIN = ImageReading()


def list_parts(image: Path, reading: ImageReading) -> list[str]:
    """Return the parts of a file that are samples: the numbers of its slices, or "" for the file as a whole.

    Raises:
        CompetitionError: Slices are declared, and the file is no readable volume.
    """
    if reading.slices is None or not nifti.is_nifti(image):
        return [""]
    return nifti.slice_numbers(nifti.count_slices(image, reading.slices))


def join_part(path: str, part: str) -> str:
    """Return the path of a part of a file, "volume.nii.gz#017"; ``file_listing.split_part`` is the inverse."""
    return f"{path}#{part}" if part else path


def part_key(key: str, part: str) -> str:
    """Return the key of a part of the file of a key: "patient001_frame01_017" of slice 017 of patient001_frame01."""
    return f"{key}_{part}" if part else key


def read_image(path: Path, reading: ImageReading, channels: Literal[1, 3]) -> NDArray[np.uint8]:
    """Read an image, or a slice "volume.nii.gz#017", by the format of its file.

    Returns:
        (H, W) uint8 for one channel, else (H, W, 3).

    Raises:
        CompetitionError: It is missing, damaged, or of no format that is read.
    """
    file, part = split_part(path)
    if nifti.is_nifti(file):
        return _with_channels(_read_nifti(file, part, reading), channels)
    if is_array(file):
        return _with_channels(_read_array(file, reading), channels)
    if is_dicom(file):
        return _with_channels(read_dicom_grey(file, reading.window), channels)
    try:
        return read_grey(file) if channels == 1 else read_rgb(file)
    except UnknownFormatError as error:
        what = f"image can't be read (its first bytes are those of none of {READABLE}, or damaged)"
        raise CompetitionError(what, path) from error


def _read_nifti(file: Path, part: str, reading: ImageReading) -> NDArray[np.uint8]:
    values = nifti.read_values(file, reading.slices, part)
    volume = nifti.read_volume(file)
    if reading.window == "voi" and volume.window is None:
        repair = "Write images: {window: min-max} in the track's YAML, or the lowest and highest value, [-160, 240]"
        raise CompetitionError("NIfTI names no window (cal_min and cal_max)", file, repair)
    named = {"min-max": volume.between, "voi": volume.window}
    return stretch(values, named[reading.window] if isinstance(reading.window, str) else reading.window)


def _read_array(file: Path, reading: ImageReading) -> NDArray[np.uint8]:
    values = read_image_array(file)
    if values.dtype == np.uint8:
        return values
    if reading.window == "voi":
        raise CompetitionError("an array names no window", file, "Write images: {window: min-max} or [lowest, highest]")
    return stretch(values, None if isinstance(reading.window, str) else reading.window)


def _with_channels(image: NDArray[np.uint8], channels: Literal[1, 3]) -> NDArray[np.uint8]:
    """Return an image (H, W) or (H, W, 3) with the channels of the track; colour becomes luminance (ITU-R 601)."""
    if channels == 3:
        return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return image if image.ndim == 2 else np.round(image @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def read_spacing(path: Path, reading: ImageReading) -> tuple[float, float] | None:
    """Return the distance of pixel centres in mm between rows and columns, which DICOM and NIfTI files may have."""
    file, _ = split_part(path)
    if nifti.is_nifti(file):
        return nifti.read_spacing_mm(file, reading.slices)
    return read_spacing_mm(file) if is_dicom(file) else None
