"""DICOM images of one frame in grey: pixel values, spacing and patient; compressed files included."""

import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue

from competition.errors import CompetitionError
from competition.imaging.readers import stretch

_MEND = "Copy the file again"
_SHORT = re.compile(r"less than expected \((\d+) vs (\d+) bytes\)")
"""What pydicom says of pixels that are not compressed and not all there; compressed ones tell no length."""


@dataclass(frozen=True)
class Dicom:
    """What one DICOM file holds.

    Attributes:
        pixels: (H, W) float32: rescale slope and intercept applied, and bright is dense also where the file is
            MONOCHROME1. Not stretched: Hounsfield units, or the detector's values.
        spacing_mm: Distance of pixel centres between rows and between columns; None where the file gives none.
        patient_id: As in the file, without blanks around it; empty where there is none.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None
    patient_id: str


def read_dicom(path: Path) -> Dicom:
    """Reads a single-frame grey DICOM.

    Compressed pixel data (JPEG Lossless, JPEG-LS, JPEG 2000, RLE) is decoded by GDCM. MONOCHROME1 means that the
    smallest value is white: such pictures are mirrored between their own minimum and maximum, because films store 12
    bits in 16 and a mirror at 65535 would lift the whole picture.

    Args:
        path: The file, with any ending.

    Returns:
        Pixels, spacing and patient.

    Raises:
        CompetitionError: The file is missing, truncated, no DICOM, without pixel data, in colour, of several frames,
            or a value is not a number.
    """
    dataset = _load(path)
    stored = _decode(dataset, path)
    slope = next(iter(_numbers(dataset, "RescaleSlope", path)), 1.0)
    intercept = next(iter(_numbers(dataset, "RescaleIntercept", path)), 0.0)
    if slope == 0:
        raise CompetitionError("DICOM has a rescale slope of 0, which would wipe out the picture", path)
    pixels = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    if not np.isfinite(pixels).all():
        raise CompetitionError("DICOM holds pixel values that are no finite number", path)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        pixels = pixels.min() + pixels.max() - pixels
    return Dicom(pixels, _spacing(dataset, path), _patient(dataset))


def read_dicom_grey(path: Path) -> NDArray[np.uint8]:
    """Reads a DICOM as a picture: its own minimum and maximum stretched to 0..255.

    Returns:
        (H, W) uint8; all zero where the picture is constant.

    Raises:
        CompetitionError: As ``read_dicom``.
    """
    return stretch(read_dicom(path).pixels.astype(np.float64))


def read_patient_id(path: Path) -> str:
    """Reads only the header's PatientID, without blanks around it; empty where there is none.

    Raises:
        CompetitionError: The file is missing or no DICOM.
    """
    return _patient(_load(path, header_only=True))


def read_spacing_mm(path: Path) -> tuple[float, float] | None:
    """Reads only the header's distance of pixel centres between rows and between columns; errors as above."""
    return _spacing(_load(path, header_only=True), path)


def _load(path: Path, header_only: bool = False) -> Dataset:
    try:
        with warnings.catch_warnings():
            # What pydicom warns of here (a cut file, a value of the wrong form) is either no defect of the picture
            # or is refused below with a sentence.
            warnings.simplefilter("ignore", UserWarning)
            return pydicom.dcmread(path, stop_before_pixels=header_only)
    except FileNotFoundError as error:
        raise CompetitionError("image not found", path) from error
    except InvalidDicomError as error:
        raise CompetitionError("file is no DICOM, or was cut within its header", path, _MEND) from error
    except Exception as error:  # a damaged header makes pydicom raise almost anything, struct.error included
        raise CompetitionError(f"DICOM can't be read ({_first_line(error)})", path) from error


def _decode(dataset: Dataset, path: Path) -> NDArray[np.generic]:
    """The stored values (H, W), before any rescaling."""
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise CompetitionError("DICOM has no pixel data, or was cut before its end", path, _MEND)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise CompetitionError(f"DICOM has {frames} frames, one is expected", path)
    photometric = dataset.get("PhotometricInterpretation", "")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise CompetitionError(f"DICOM is {photometric or 'of unknown colour'}, grey is expected", path)
    try:
        return np.asarray(dataset.pixel_array)
    except Exception as error:  # decoders of four libraries, each with its own kinds of errors
        if short := _SHORT.search(str(error)):
            reason = f"DICOM was cut: {short[1]} of {short[2]} bytes of its pixel data are there"
            raise CompetitionError(reason, path, _MEND) from error
        raise CompetitionError(f"DICOM's pixel data can't be decoded ({_first_line(error)})", path) from error


def _numbers(dataset: Dataset, name: str, path: Path) -> tuple[float, ...]:
    """An attribute's values; none where it is absent or empty."""
    try:
        value = dataset.get(name)  # pydicom turns text into numbers only here
        if value is None or value == "":
            return ()
        numbers = tuple(float(part) for part in (value if isinstance(value, MultiValue) else [value]))
    except (TypeError, ValueError) as error:
        raise CompetitionError(f"DICOM's {name} is no number ({_first_line(error)})", path) from error
    if not all(math.isfinite(number) for number in numbers):
        raise CompetitionError(f"DICOM's {name} is no finite number", path)
    return numbers


def _spacing(dataset: Dataset, path: Path) -> tuple[float, float] | None:
    """Pixel spacing; of radiographs without it, that of the detector, where everything is a little enlarged."""
    spacing = _numbers(dataset, "PixelSpacing", path) or _numbers(dataset, "ImagerPixelSpacing", path)
    return (spacing[0], spacing[1]) if len(spacing) == 2 and min(spacing) > 0 else None


def _patient(dataset: Dataset) -> str:
    return str(dataset.get("PatientID") or "").strip()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
