"""NIfTI images and volumes (.nii, .nii.gz), and slices of a volume along an axis: "volume.nii.gz#017".

A picture has the second axis of the file as its rows and the first as its columns, as viewers show it; of a slice, the
two axes that are left, the later one as rows. Nothing is turned or mirrored by the affine matrix, so that an image and
its label always match.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.formats.source_files import damage_named, require_file, require_finite, require_size

ENDINGS = (".nii", ".nii.gz")
LARGEST_VOLUME = 1 << 32
"""Bytes of the stored values; a CT of 2,000 slices of 512x512 has 1 GB."""
DEFLATE = 1032
"""Times by which gzip shrinks at most; a header that announces more than that is damaged."""
UNREADABLE = "NIfTI can't be read"

_reading = Lock()


@dataclass(frozen=True)
class Volume:
    """The decoded content of a file.

    Attributes:
        stored: (X, Y) or (X, Y, Z) as stored, before slope and intercept.
        slope: Of the header, 1 where it gives none.
        inter: Intercept of the header.
        between: Lowest and highest value of the whole volume, with slope and intercept.
        window: The header's cal_min and cal_max, None where it gives none.
    """

    stored: NDArray[Any]
    slope: float
    inter: float
    between: tuple[float, float]
    window: tuple[float, float] | None

    @property
    def unscaled(self) -> bool:
        """Return whether values are as stored."""
        return (self.slope, self.inter) == (1, 0)


def is_nifti(path: Path) -> bool:
    """Return whether a file has an ending of NIfTI files."""
    return path.name.lower().endswith(ENDINGS)


def count_slices(path: Path, axis: int) -> int:
    """Return the slices of a volume along an axis, from its header.

    Raises:
        CompetitionError: The file is missing or damaged, or has not three axes.
    """
    shape = _header(path)[0]
    _picture_axes(shape, axis, path)
    return shape[axis]


def slice_numbers(slices: int) -> list[str]:
    """Return the numbers of slices as they are written, "000" to "017", with as many digits as are needed."""
    digits = max(3, len(str(slices - 1)))
    return [f"{number:0{digits}}" for number in range(slices)]


def read_spacing_mm(path: Path, axis: int | None) -> tuple[float, float] | None:
    """Return the distance of pixel centres between rows and columns of a slice, if the header has it."""
    shape, zooms = _header(path)
    _, rows, columns = _picture_axes(shape, axis, path)
    return (zooms[rows], zooms[columns]) if min(zooms[rows], zooms[columns]) > 0 else None


def read_values(path: Path, axis: int | None, number: str) -> NDArray[Any]:
    """Read the values of a picture, (H, W) in the type in which they are stored, float32 if they are scaled.

    Args:
        path: The file, without "#".
        axis: Of the slice; None for a file of two axes.
        number: Of the slice, "" for none.

    Raises:
        CompetitionError: The file is missing or damaged, has other axes or no such slice, or a value is not finite.
    """
    volume = read_volume(path)
    shape = volume.stored.shape
    axis, _, _ = _picture_axes(shape, axis, path)
    number = number or "0"
    if axis is not None and not (number.isdecimal() and len(number) < 10 and int(number) < shape[axis]):
        what = f"NIfTI of {_text(shape)} has {shape[axis]} slices along axis {axis}, and no slice {number}"
        raise CompetitionError(what, path, "Image and label volumes must have the same slices")
    # An index, because take copies a volume in Fortran order first: 50 ms a slice of 256x256x60 instead of 2.
    picture = volume.stored if axis is None else np.moveaxis(volume.stored, axis, 0)[int(number)]
    return picture.T if volume.unscaled else (picture.T * volume.slope + volume.inter).astype(np.float32)


def _picture_axes(shape: tuple[int, ...], axis: int | None, path: Path) -> tuple[int | None, int, int]:
    """Return the axes of slices (None where there are two axes), rows and columns."""
    if axis is None and len(shape) == 3 and shape[2] == 1:
        axis = 2
    if axis is None and len(shape) != 2:
        repair = "Write images: {slices: 2} in the track's YAML, where 2 is the axis whose slices are the samples"
        raise CompetitionError(f"NIfTI is a volume of {_text(shape)}, one picture is expected", path, repair)
    if axis is not None and len(shape) != 3:
        what = f"NIfTI has {len(shape)} axes ({_text(shape)}), a volume to slice has three"
        raise CompetitionError(what, path, "Save each volume as a file of its own")
    columns, rows = [each for each in range(len(shape)) if each != axis]
    return axis, rows, columns


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def read_volume(path: Path) -> Volume:
    """Decode a file, or return it from the last few that were; errors as of ``read_values``."""
    require_file(path)
    status = path.stat()
    with _reading:  # so that the threads that wait for slices of one volume don't decode it again
        return _read_volume(path, (status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=4)  # an image and a label, of two patients: threads read over the border between them
def _read_volume(path: Path, stamp: tuple[int, int]) -> Volume:
    with damage_named(UNREADABLE, path):
        image = _open(path)
        slope, inter = float(image.dataobj.slope), float(image.dataobj.inter)
        stored = np.asarray(image.dataobj.get_unscaled())
        low, high = (float(image.header[key]) for key in ("cal_min", "cal_max"))
    stored = stored.reshape(_shape(path, stored.shape))
    require_finite(np.array([slope, inter]), "NIfTI's scale", path)
    require_finite(stored, "NIfTI", path)
    ends = sorted(float(value) * slope + inter for value in (stored.min(), stored.max()))
    return Volume(stored, slope, inter, (ends[0], ends[1]), (low, high) if high > low else None)


def _header(path: Path) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the lengths of all axes, and the distances of voxels in mm."""
    require_file(path)
    with damage_named(UNREADABLE, path):
        image = _open(path)
        shape = _shape(path, image.shape)
        zooms = tuple(float(zoom) for zoom in image.header.get_zooms())[: len(shape)]
    return shape, zooms


def _shape(path: Path, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without axes of one value behind the third."""
    kept = tuple(int(length) for length in shape)
    while len(kept) > 3 and kept[-1] == 1:
        kept = kept[:-1]
    if len(kept) < 2:
        raise CompetitionError(f"NIfTI has {len(kept)} axis of {_text(kept)} values, two are needed", path)
    return kept


def _open(path: Path) -> Any:
    """Open a file with nibabel and check that it can hold what its header announces."""
    import nibabel  # takes 0.2 s, which --help need not wait for

    image = nibabel.Nifti1Image.from_filename(path, mmap=False)
    needed, size = math.prod(map(int, image.shape)) * image.get_data_dtype().itemsize, path.stat().st_size
    if min(image.shape, default=0) < 1 or needed > LARGEST_VOLUME:
        raise CompetitionError(f"NIfTI announces {_text(image.shape)} values, which are not read", path)
    if needed > size * (DEFLATE if path.name.lower().endswith(".gz") else 1):
        raise CompetitionError(f"NIfTI is truncated: {size:,} bytes can't hold {_text(image.shape)} values", path)
    if image.get_data_dtype().kind not in "iuf":
        raise CompetitionError(f"NIfTI holds {image.get_data_dtype()}, numbers are expected", path, "Save it as grey")
    for height, width in zip(image.shape, image.shape[1:], strict=False):
        require_size(int(height), int(width), path)
    return image
