"""NumPy's .npy and .npz files from anywhere: headers are checked before memory is taken, and damage is reported.

``np.load`` takes what the header asks for: 700 GB from a file of 128 bytes, 6.8 GB from a zip of 7 MB. Here the shape
is known before a value is read, and a value is only read where the file is long enough to hold all of them.
"""

import io
import math
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from competition.formats.source_files import damage_named, first_line

LARGEST_ARRAY = 2**29
"""Bytes of an array of undeclared size; a larger one is rejected before it is read."""

UNREADABLE = "can't be read as an array"

# What NumPy writes. Others take memory as their own headers say: up to 4 GB for LZMA.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PIECE = 1 << 20
_LONGEST_HEADER = 10_000  # characters, as in np.load: the parser of Python's literals is not made for more

# Version of the format -> bytes of the header's length, and its reader.
_READ_HEADER = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}


@dataclass(frozen=True)
class StoredArray:
    """An array of which only the header was read."""

    shape: tuple[int, ...]  # of the header
    dtype: np.dtype[Any]  # of the header; never of Python objects
    read: Callable[[], NDArray[Any]]  # reads the values

    @property
    def nbytes(self) -> int:
        """Return the memory that the values take."""
        return math.prod(self.shape) * self.dtype.itemsize


def _open_npy(file: IO[bytes], size: int) -> StoredArray:
    """Read the header of a .npy file of ``size`` bytes, opened at its first byte; it has to stay open for the values.

    Raise ValueError where it is no .npy file, holds Python objects, or is shorter or longer than its header declares;
    on a damaged header NumPy raises many others, see ``damage_named``.
    """
    shape, fortran, dtype = _read_header(file)
    stored = math.prod(shape) * dtype.itemsize
    if file.tell() + stored != size:
        raise ValueError(f"{size - file.tell():,} bytes of values, where the header announces {stored:,}")
    return StoredArray(shape, dtype, lambda: _values(file, shape, fortran, dtype))


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape, whether columns follow each other, and the dtype; leave the file at the first value."""
    version = np.lib.format.read_magic(file)
    if version not in _READ_HEADER:
        raise ValueError(f"version {version[0]}.{version[1]} of the .npy format")
    digits, read_header = _READ_HEADER[version]
    length = file.read(digits)
    if (size := int.from_bytes(length, "little")) > _LONGEST_HEADER:
        raise ValueError(f"a header of {size:,} bytes")
    try:
        header = io.BytesIO(length + file.read(size))
        shape, fortran, dtype = read_header(header, max_header_size=_LONGEST_HEADER)
    except Exception as error:  # it is read as Python source: SyntaxError, TokenError, RecursionError ...
        raise ValueError(f"not a header of NumPy ({first_line(error)})") from error
    if dtype.hasobject or dtype.itemsize == 0:
        raise ValueError(f"an array of {'Python objects' if dtype.hasobject else dtype} is not read")
    if any(length < 0 for length in shape):
        raise ValueError(f"the header says shape {shape}")
    return shape, fortran, dtype


def open_arrays(path: Path) -> dict[str, StoredArray]:
    """Read the headers of a .npy or .npz file; its first bytes decide which it is.

    Returns:
        The arrays of a .npz by their name, that of a .npy under "". Their values are read by ``read``, which raises a
        CompetitionError where the file is damaged.

    Raises:
        CompetitionError: There is no such file, or it is damaged, holds Python objects or less than a header declares.
    """
    with damage_named(UNREADABLE, path), path.open("rb") as file:
        packed = file.read(2) == b"PK"
        file.seek(0)
        if not packed:
            stored = _open_npy(file, path.stat().st_size)
            return {"": replace(stored, read=partial(_read_alone, path))}
        arrays = {}
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.compress_type not in _COMPRESSIONS:
                    raise ValueError(f"{member.filename} is compressed in a way that NumPy does not write")
                with archive.open(member) as opened:
                    stored = _open_npy(opened, member.file_size)
                name = member.filename.removesuffix(".npy")
                arrays[name] = replace(stored, read=partial(_read_member, path, member))
        return arrays


def _read_alone(path: Path) -> NDArray[Any]:
    with damage_named(UNREADABLE, path), path.open("rb") as file:
        return read_npy(file, path.stat().st_size, lambda _: None)


def _read_member(path: Path, member: zipfile.ZipInfo) -> NDArray[Any]:
    with damage_named(UNREADABLE, path), zipfile.ZipFile(path) as archive, archive.open(member) as opened:
        return read_npy(opened, member.file_size, lambda _: None)


def read_next(file: BinaryIO) -> NDArray[Any]:
    """Read one of several arrays that follow each other in a file, as ``np.save`` writes each of them.

    Raises:
        ValueError: There is no whole array here.
        Exception: Those of NumPy on a damaged header; see ``damage_named``.
    """
    shape, fortran, dtype = _read_header(file)
    needed, held = math.prod(shape) * dtype.itemsize, os.fstat(file.fileno()).st_size - file.tell()
    if needed > held:
        raise ValueError(f"{held:,} bytes of values, where the header announces {needed:,}")
    return _values(file, shape, fortran, dtype)


def read_npy(file: IO[bytes], size: int, judge: Callable[[StoredArray], None]) -> NDArray[Any]:
    """Read a .npy file of ``size`` bytes, opened at its first byte.

    ``judge`` gets the header and raises where shape or dtype are wrong.

    Raises:
        Exception: Those of a damaged file, see ``damage_named``; and those of ``judge``.
    """
    stored = _open_npy(file, size)
    judge(stored)
    array = stored.read()
    file.read(1)  # only at its end does zipfile compare the checksum
    return array


def _values(file: IO[bytes], shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the values behind a header, read piece by piece into the memory of the array."""
    array = np.empty(math.prod(shape), dtype)
    if array.nbytes:
        memory, filled = array.view(np.uint8).data, 0
        while filled < len(memory):
            piece = file.read(min(_PIECE, len(memory) - filled))
            if not piece:
                raise ValueError(f"the file ends after {filled:,} of {len(memory):,} bytes of values")
            memory[filled : filled + len(piece)] = piece
            filled += len(piece)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
