"""DICOM images of one frame in grey: pixel values, spacing and patient; compressed files included."""

import math
import re
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from competition.errors import CompetitionError
from competition.formats.decoding_process import decode_elsewhere
from competition.formats.pictures import UnknownFormatError, stretch
from competition.formats.source_files import damage_named, require_file, require_finite, require_size

Window = Literal["min-max", "voi"] | tuple[float, float]
"""The values that are stretched to 0..255; see ``read_dicom_grey``."""

ENDINGS = (".dcm", ".dicom", ".ima")
_REPAIR = "Copy the file again"
_SHORT = re.compile(r"less than expected \((\d+) vs (\d+) bytes\)")
"""pydicom's message for truncated pixels that are not compressed; compressed ones have no known length."""
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
_DEFLATED = "1.2.840.10008.1.2.1.99"
_MAX_INFLATED = 1 << 28
"""Bytes of a deflated file, which is inflated whole before its header can be read; radiographs have 50 MB at most."""


@dataclass(frozen=True)
class Dicom:
    """The content of one DICOM file."""

    # (H, W) float32: rescale slope and intercept (or the modality look-up table) applied, bright is dense also for
    # MONOCHROME1, and padding is as dark as the darkest pixel. Not stretched and not windowed: Hounsfield units, or the
    # detector's values
    pixels: NDArray[np.float32]
    # distance of pixel centres between rows and between columns; None where the file gives none
    spacing_mm: tuple[float, float] | None
    patient_id: str  # as in the file, without blanks around it; empty where there is none
    window: tuple[float, float] | None = None  # lowest and highest value of the file's first VOI window, in ``pixels``
    # of an image that was mirrored, the sum of its minimum and maximum: a value v of the file is mirror - v in pixels
    mirror: float | None = None


def read_dicom(path: Path) -> Dicom:
    """Read a single-frame grey DICOM with any ending.

    Compressed pixel data (JPEG Lossless, JPEG-LS, JPEG 2000, RLE) is decoded by GDCM in a process of its own. In
    MONOCHROME1 the smallest value is white: such images are mirrored between their own minimum and maximum, because
    films store 12 bits in 16 and a mirror at 65535 would brighten the whole image. The presentation LUT shape INVERSE
    means the same, so that a file with both is mirrored once. PixelPaddingValue (to PixelPaddingRangeLimit) marks what
    is no part of the image: it has no share in minimum and maximum. VOI windows are a viewer's choice of contrast and
    are not applied, but ``read_dicom_grey`` can. Grey stored in three equal channels is grey. A file without preamble
    and prefix is read if a data set with an image begins at its first byte.

    Raises:
        CompetitionError: The file is missing, truncated, no DICOM, without pixel data, in colour, of several frames,
            too large, or a value is not a number.
    """
    dataset = _load(path)
    stored = _decode(dataset, path)
    padding = _padding(dataset, stored, path)
    pixels = _rescale(dataset, stored, path)
    require_finite(pixels, "DICOM", path)
    valid = pixels[~padding] if padding.any() and not padding.all() else pixels
    inverse = _text(dataset, "PresentationLUTShape", path) == "INVERSE"
    darkest, mirror = valid.min(), None
    if inverse or _text(dataset, "PhotometricInterpretation", path) == "MONOCHROME1":
        pixels, mirror = darkest + valid.max() - pixels, float(darkest + valid.max())
    pixels[padding] = darkest
    window = _window(dataset, path)
    if window is not None:
        window = _mirrored(window, mirror)
    return Dicom(pixels, _spacing(dataset, path), _text(dataset, "PatientID", path), window, mirror)


def _rescale(dataset: Dataset, stored: NDArray[np.generic], path: Path) -> NDArray[np.float32]:
    """Return stored values in physical units: by the modality look-up table, else by slope and intercept."""
    if "ModalityLUTSequence" in dataset:
        with damage_named("DICOM's modality LUT can't be applied", path):
            return np.asarray(apply_modality_lut(stored, dataset)).astype(np.float32)
    slope = next(iter(_numbers(dataset, "RescaleSlope", path)), 1.0)
    intercept = next(iter(_numbers(dataset, "RescaleIntercept", path)), 0.0)
    if slope == 0:
        raise CompetitionError("DICOM has a rescale slope of 0, which would erase the image", path)
    with np.errstate(all="ignore"):  # an overflow is rejected as not finite
        return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _padding(dataset: Dataset, stored: NDArray[np.generic], path: Path) -> NDArray[np.bool_]:
    """Return where stored values are padding; the value may be written unsigned although pixels are signed.

    A value that has more bits than the pixels marks none of them.
    """
    value, limit = (_numbers(dataset, f"PixelPadding{name}", path) for name in ("Value", "RangeLimit"))
    if not value or stored.dtype.kind not in "iu":
        return np.zeros(stored.shape, np.bool_)
    written, bits = np.array([int(value[0]), int((limit or value)[0])]), 8 * stored.dtype.itemsize
    if written.min() < -(1 << bits - 1) or written.max() >= 1 << bits:
        return np.zeros(stored.shape, np.bool_)
    ends = written.astype(stored.dtype)
    return np.asarray((stored >= ends.min()) & (stored <= ends.max()))


def read_dicom_grey(path: Path, window: Window = "min-max") -> NDArray[np.uint8]:
    """Read a DICOM as (H, W) uint8.

    Args:
        path: The file.
        window: What is stretched to 0..255: the image's own minimum and maximum ("min-max"), the file's first VOI
            window ("voi"), or a lowest and highest value in the file's units. Values outside become 0 or 255.

    Raises:
        CompetitionError: As ``read_dicom``, or the file has no VOI window.
    """
    dicom = read_dicom(path)
    if window == "min-max":
        return stretch(dicom.pixels)
    between = dicom.window if window == "voi" else _mirrored(window, dicom.mirror)
    if between is None:
        repair = "Write images: {window: min-max} in the track's YAML, or the lowest and highest value, [-160, 240]"
        raise CompetitionError("DICOM has no VOI window (WindowCenter and WindowWidth)", path, repair)
    return stretch(dicom.pixels, between)


def _mirrored(window: tuple[float, float], mirror: float | None) -> tuple[float, float]:
    """Return a window in the values of an image that may have been mirrored."""
    return window if mirror is None else (mirror - window[1], mirror - window[0])


def _window(dataset: Dataset, path: Path) -> tuple[float, float] | None:
    """Return the first VOI window by its function (DICOM PS3.3 C.11.2.1.2 and 3), if there is one and it is valid.

    Of SIGMOID this is the tangent at the centre, which is the line of LINEAR_EXACT.
    """
    centres, widths = _numbers(dataset, "WindowCenter", path), _numbers(dataset, "WindowWidth", path)
    if not centres or not widths:
        return None
    centre, width = centres[0], widths[0]
    if _text(dataset, "VOILUTFunction", path) in ("LINEAR_EXACT", "SIGMOID"):
        return (centre - width / 2, centre + width / 2) if width > 0 else None
    return (centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2) if width >= 1 else None


def read_patient_id(path: Path) -> str:
    """Read only the header's PatientID, without blanks around it; empty where there is none."""
    return _text(_load(path, header_only=True), "PatientID", path)


def read_spacing_mm(path: Path) -> tuple[float, float] | None:
    """Read only the header's distance of pixel centres between rows and between columns."""
    return _spacing(_load(path, header_only=True), path)


def is_dicom(path: Path) -> bool:
    """Return whether a file has an ending of DICOM files, or their prefix at byte 128."""
    if path.suffix.lower() in ENDINGS:
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _load(path: Path, header_only: bool = False) -> Dataset:
    require_file(path)
    with damage_named("DICOM can't be read", path), warnings.catch_warnings():
        # pydicom's warnings here (a truncated file, a malformed value) concern no pixel or are rejected below.
        warnings.simplefilter("ignore", UserWarning)
        _require_bounded(path)
        try:
            return pydicom.dcmread(path, stop_before_pixels=header_only)
        except InvalidDicomError as error:
            return _load_without_prefix(path, header_only, error)


def _load_without_prefix(path: Path, header_only: bool, cause: InvalidDicomError) -> Dataset:
    """Read a file that lacks "DICM" at byte 128 if its content is a data set with an image."""
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=header_only, force=True)
        is_picture = all(name in dataset for name in ("Rows", "Columns", "PhotometricInterpretation"))
        if is_picture and "TransferSyntaxUID" not in dataset.file_meta:
            implicit, little = dataset.original_encoding
            explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    except Exception:  # as above; here it only shows that this is no data set
        is_picture = False
    if not is_picture:
        raise UnknownFormatError("file is no DICOM, or truncated within its header", path, _REPAIR) from cause
    return dataset


def _require_bounded(path: Path) -> None:
    """Reject a deflated file that would fill the memory; pydicom inflates it whole."""
    with path.open("rb") as file:
        if _DEFLATED.encode() not in file.read(4096):
            return
    meta = pydicom.filereader.read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") != _DEFLATED:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size = 0
    with path.open("rb") as file:
        file.seek(144 + int(meta.get("FileMetaInformationGroupLength", 0)))
        while not inflater.eof and (block := inflater.unconsumed_tail or file.read(1 << 16)):
            size += len(inflater.decompress(block, 1 << 20))
            if size > _MAX_INFLATED:
                reason = f"deflated DICOM holds more than {_MAX_INFLATED >> 20} MB"
                raise CompetitionError(reason, path, "Save it without compression")


def _decode(dataset: Dataset, path: Path) -> NDArray[np.generic]:
    """Return the stored values (H, W), before any rescaling."""
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise CompetitionError("DICOM has no pixel data, or is truncated", path, _REPAIR)
    frames = next(iter(_numbers(dataset, "NumberOfFrames", path)), 1.0)
    if frames not in (0, 1):
        raise CompetitionError(f"DICOM has {frames:g} frames, one is expected", path)
    rows, columns, samples = (
        int(next(iter(_numbers(dataset, name, path)), 0)) for name in ("Rows", "Columns", "SamplesPerPixel")
    )
    require_size(rows, columns, path)
    photometric = _text(dataset, "PhotometricInterpretation", path)
    if photometric not in ("MONOCHROME1", "MONOCHROME2", *_COLOURS):
        raise CompetitionError(f"DICOM is {photometric or 'of unknown colour'}, grey is expected", path)
    if (samples or 1) != (3 if photometric in _COLOURS else 1):
        raise CompetitionError(f"DICOM is {photometric} but has {samples} samples per pixel", path)
    pixels = _pixel_array(dataset, path, rows * columns * (samples or 1) * 4)
    if photometric in _COLOURS and pixels.ndim == 3:
        if not (pixels == pixels[..., :1]).all():
            raise CompetitionError(f"DICOM is {photometric} and its channels differ, grey is expected", path)
        pixels = pixels[..., 0]
    if pixels.shape != (rows, columns):
        found = "x".join(map(str, pixels.shape))
        raise CompetitionError(f"DICOM's pixel data is {found}, its header says {rows}x{columns}", path)
    return pixels


def _pixel_array(dataset: Dataset, path: Path, size: int) -> NDArray[np.generic]:
    with damage_named("DICOM's pixel data can't be decoded", path):
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            return decode_elsewhere("competition.formats.dicom:decode_compressed", path, [], size)
        try:
            return np.asarray(dataset.pixel_array)
        except Exception as error:  # pydicom's own checks raise many kinds of errors
            if short := _SHORT.search(str(error)):
                reason = f"DICOM is truncated: {short[1]} of {short[2]} bytes of its pixel data are there"
                raise CompetitionError(reason, path, _REPAIR) from error
            raise


def decode_compressed(path: Path) -> NDArray[np.generic]:
    """Decode the stored values of a compressed file; called in the decoding process."""
    with damage_named("DICOM's pixel data can't be decoded", path, let=MemoryError):
        return np.asarray(_load(path).pixel_array)


def _numbers(dataset: Dataset, name: str, path: Path) -> tuple[float, ...]:
    """Return an attribute's values; none where it is absent or empty."""
    with damage_named(f"DICOM's {name} is no number", path):
        value = dataset.get(name)  # pydicom decodes a value only here
        parts = value if isinstance(value, MultiValue) else [] if value is None or value == "" else [value]
        numbers = tuple(float(part) for part in parts)
    if not all(math.isfinite(number) for number in numbers):
        raise CompetitionError(f"DICOM's {name} is no finite number", path)
    return numbers


def _text(dataset: Dataset, name: str, path: Path) -> str:
    """Return an attribute's text without blanks around it; "" where it is absent or empty."""
    with damage_named(f"DICOM's {name} can't be read", path):
        return str(dataset.get(name) or "").strip()


def _spacing(dataset: Dataset, path: Path) -> tuple[float, float] | None:
    """Return the pixel spacing; of radiographs without it that of the detector, which enlarges a little."""
    spacing = _numbers(dataset, "PixelSpacing", path) or _numbers(dataset, "ImagerPixelSpacing", path)
    return (spacing[0], spacing[1]) if len(spacing) == 2 and min(spacing) > 0 else None
