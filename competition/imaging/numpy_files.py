"""Arrays in .npy and .npz files of any origin: their sizes are known before memory is taken for them.

A header of 100 bytes can claim an array of 700 GB, and 2.9 MB of a compressed .npz inflate to 2.9 GB. So the headers
are read first; what a caller then asks for takes the memory its header says and no more. Pickled objects are refused.
"""

import math
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from competition.errors import CompetitionError

# What numpy writes. The others take memory as their own headers say: up to 4 GB for LZMA.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, of which only the header was read.

    Attributes:
        path: The file.
        shape: Of the array.
        dtype: Of the array.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _read: Callable[[], NDArray[Any]]

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> NDArray[Any]:
        """Reads the array.

        Raises:
            CompetitionError: The file is damaged, or there is no memory for the array.
        """
        try:
            return self._read()
        except Exception as error:  # zlib, zipfile and numpy raise many kinds for damaged files
            raise _unreadable(self.path, error) from error


def open_arrays(path: Path) -> dict[str, StoredArray]:
    """Reads the headers of a file of arrays.

    Args:
        path: A .npy file, whose only array has the name "", or a .npz file.

    Returns:
        The arrays by name, in the order of the file.

    Raises:
        CompetitionError: The file is missing or damaged, holds something else, or less than a header says.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return {
                    info.filename.removesuffix(".npy"): _open_member(path, archive, info) for info in archive.infolist()
                }
        with path.open("rb") as file:
            shape, dtype, _ = _header(file)
            held = path.stat().st_size - file.tell()
        _check_held(shape, dtype, held)
        return {"": StoredArray(path, shape, dtype, lambda: np.load(path, allow_pickle=False))}
    except Exception as error:  # zipfile raises NotImplementedError, RuntimeError and others
        raise _unreadable(path, error) from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Shape, dtype and whether the columns follow each other; the file is left where the values begin."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"form {version[0]}.{version[1]} of numpy's files")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, by_columns, dtype = read(file)
    except Exception as error:  # it is read as Python source: SyntaxError, TokenError, RecursionError ...
        raise ValueError(f"not a header of numpy ({' '.join(str(error).split())[:100]})") from error
    if dtype.hasobject or dtype.itemsize == 0 or any(side < 0 for side in shape):
        raise ValueError(f"an array of {dtype} {shape} is not read")
    return shape, dtype, by_columns


def read_next(file: BinaryIO) -> NDArray[Any]:
    """Reads one of several arrays that follow each other in a file, as ``np.save`` writes each of them.

    Raises:
        ValueError: There is no whole array here.
    """
    shape, dtype, by_columns = _header(file)
    _check_held(shape, dtype, os.fstat(file.fileno()).st_size - file.tell())
    array = np.fromfile(file, dtype, math.prod(shape))
    return array.reshape(shape[::-1]).T if by_columns else array.reshape(shape)


def _open_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> StoredArray:
    if info.compress_type not in _COMPRESSIONS:
        raise ValueError(f"{info.filename} is compressed in a way that numpy does not write")
    with archive.open(info) as file:
        shape, dtype, _ = _header(file)
        _check_held(shape, dtype, info.file_size - file.tell())

    def read() -> NDArray[Any]:
        with zipfile.ZipFile(path) as again, again.open(info) as member:
            array: NDArray[Any] = npy.read_array(member, allow_pickle=False)
            if member.read(1):  # reading to the end also compares the checksum of the zip
                raise ValueError(f"{info.filename} holds more than its array")
            return array

    return StoredArray(path, shape, dtype, read)


def _check_held(shape: tuple[int, ...], dtype: np.dtype[Any], held: int) -> None:
    needed = math.prod(shape) * dtype.itemsize
    if needed > held:
        raise ValueError(f"the header says {dtype} {shape}, which is {needed} bytes, and {held} are there")


def _unreadable(path: Path, error: Exception) -> CompetitionError:
    if isinstance(error, CompetitionError):
        return error
    if isinstance(error, FileNotFoundError):
        return CompetitionError("array file not found", path)
    reason = "out of memory" if isinstance(error, MemoryError) else " ".join(str(error).split())[:200]
    return CompetitionError(f"can't be read as an array ({reason or type(error).__name__})", path)
