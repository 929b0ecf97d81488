"""Compressed arrays on disk: one file per array, written whole or not at all, read whole or by slices."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import blosc2
import numpy as np
from numpy.typing import NDArray

from competition.checksums import check_seal, sealed_file
from competition.errors import CompetitionError
from competition.formats.source_files import first_line

Result = TypeVar("Result")

REMAKE = "Delete it and run the stage that made it again"

# zstd level 1: 0.05 s for a map of 29x2048x2048, where a compressed .npz takes 8.4 s.
_COMPRESSION = {"codec": blosc2.Codec.ZSTD, "clevel": 1}
# The bytes of wider numbers are shuffled. Of uint8 this is a mere copy, and reading a map takes twice as long with it.
_SHUFFLE, _PLAIN = [blosc2.Filter.SHUFFLE], [blosc2.Filter.NOFILTER]

# Starting and ending threads takes longer than a smaller array: 1,500 images of 256x256 were read in 1.2 s of processor
# time with two threads and in 0.9 s with one.
ONE_THREAD_BYTES = 4 << 20

# Pieces are decompressed whole, and one of a forged file may claim any size beside that of its array.
_SPARE_BYTES = 1 << 20


def write_array(path: Path, array: NDArray[Any], chunks: tuple[int, ...] | None = None) -> None:
    """Store an array with its checksum, whole or not at all.

    Args:
        path: The file; replaced atomically if it exists.
        array: Any numeric dtype and shape, not empty.
        chunks: Shape of the pieces that can be read on their own; None lets blosc2 choose.

    Raises:
        CompetitionError: It can't be written (a full disk); an old file is untouched.
    """
    with sealed_file(path) as part:
        part.unlink()  # blosc2 wants to make the file itself
        contiguous = np.ascontiguousarray(array)
        compression = _COMPRESSION | {"filters": _PLAIN if contiguous.itemsize == 1 else _SHUFFLE}
        try:
            blosc2.asarray(contiguous, urlpath=str(part), mode="w", chunks=chunks, cparams=compression)
        except RuntimeError as error:
            raise OSError(f"blosc2: {error}") from error  # what blosc2 raises when the disk is full


def open_array(path: Path, repair: str = REMAKE) -> "blosc2.NDArray":
    """Open an array of ``write_array`` without reading it; index it to read a part.

    Raises:
        CompetitionError: It is missing or damaged; ``repair`` makes it again.
    """

    def open_sealed() -> "blosc2.NDArray":
        if path.exists():
            check_seal(path, repair)
        return _open(path, repair)

    return _while_unchanged(path, open_sealed)


def open_imported_array(path: Path, repair: str) -> "blosc2.NDArray":
    """Open a blosc2 array that another program may have made, without reading it.

    Raises:
        CompetitionError: It is missing, damaged, or holds anything but one array of numbers.
    """
    if path.exists():
        check_seal(path, repair, required=False)
    return _open(path, repair)


def _open(path: Path, repair: str) -> "blosc2.NDArray":
    if not path.exists():
        raise CompetitionError("stored array not found", path, repair)
    try:
        # Without "safe" a file may hold an expression or a reference to another place, which opening it would follow.
        stored = blosc2.open(str(path), mode="r", deserialize="safe")
    except Exception as error:  # blosc2 raises plain RuntimeError and others for damaged files
        raise _damaged(path, error, repair) from error
    if not isinstance(stored, blosc2.NDArray) or stored.dtype.kind not in "biuf":
        raise CompetitionError("this is no stored array of numbers", path, repair)
    if math.prod(stored.chunks) * stored.dtype.itemsize > 4 * stored.nbytes + _SPARE_BYTES:
        raise CompetitionError(f"stored array is damaged (pieces of {stored.chunks})", path, repair)
    pieces = math.prod(-(-size // max(1, piece)) for size, piece in zip(stored.shape, stored.chunks, strict=True))
    if stored.schunk.nchunks != pieces:  # one flipped bit of its shape asked for 6 GB and 20 s
        reason = f"{stored.schunk.nchunks} pieces, where its shape {stored.shape} needs {pieces}"
        raise CompetitionError(f"stored array is damaged ({reason})", path, repair)
    if stored.nbytes < ONE_THREAD_BYTES:
        stored.schunk.dparams = blosc2.DParams(nthreads=1)
    return stored


def read_array(path: Path, repair: str = REMAKE) -> NDArray[Any]:
    """Read an array of ``write_array`` whole; errors as ``open_array``."""
    return _while_unchanged(path, lambda: read_opened(open_array(path, repair), path, repair))


def read_opened(stored: "blosc2.NDArray", path: Path, repair: str) -> NDArray[Any]:
    """Read an opened array whole; a CompetitionError if it is damaged, or there is no memory for it."""
    try:
        return read_part(stored, [0] * len(stored.shape), stored.shape)
    except Exception as error:
        raise _damaged(path, error, repair) from error


def read_part(stored: "blosc2.NDArray", first: Sequence[int], end: Sequence[int]) -> NDArray[Any]:
    """Read the values of an opened array from ``first`` up to ``end``, which is left out, of every axis.

    The same as ``stored[...]``, whose interpretation of an index takes 0.18 ms, and decompressing 256x256 bytes 0.09.
    """
    part = np.empty([stop - start for start, stop in zip(first, end, strict=True)], stored.dtype)
    stored.get_slice_numpy(part, (first, end))
    return part


def file_identity(path: Path) -> tuple[int, int, int] | None:
    """Return values that differ once a file has been replaced, or None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _while_unchanged(path: Path, read: Callable[[], Result]) -> Result:
    """Repeat reading a file while another process replaces it: blosc2 opens it anew for every piece."""
    while True:
        before = file_identity(path)
        try:
            result = read()
        except CompetitionError:
            if file_identity(path) == before:
                raise
        else:
            if file_identity(path) == before:
                return result


def _damaged(path: Path, error: Exception, repair: str) -> CompetitionError:
    return CompetitionError(f"stored array is damaged ({first_line(error)})", path, repair)
