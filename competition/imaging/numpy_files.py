"""NumPy's .npy and .npz files from anywhere: the header is judged before memory is taken, and damage is a sentence.

``np.load`` takes what the header asks for: 700 GB from a file of 128 bytes, 6.8 GB from a zip of 7 MB. Here the shape
is known before a value is read, and a value is only read where the file is long enough to hold all of them.
"""

import io
import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError

LARGEST_ARRAY = 2**29
"""Bytes of an array whose size nobody declared; a larger one is refused before it is read."""

_PIECE = 1 << 20
_LONGEST_HEADER = 10_000  # characters, as np.load has it: the parser of Python's literals is not made for more
_SHOWN_REASON = 200

# Version of the format -> bytes of the header's length, and its reader.
_READ_HEADER = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}


@dataclass(frozen=True)
class StoredArray:
    """An array of which only the header was read.

    Attributes:
        shape: As the header says.
        dtype: As the header says; never of Python objects.
        read: Reads the values.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], NDArray[Any]]

    @property
    def size_bytes(self) -> int:
        """Memory that the values take."""
        return math.prod(self.shape) * self.dtype.itemsize


@contextmanager
def damage_named(what: str, where: Path | str) -> Iterator[None]:
    """Turns whatever a reader of a foreign file raises into one sentence.

    The readers of zips and of NumPy's headers raise some twenty kinds of exceptions on damaged files, among them
    TokenError, LZMAError, struct.error, NotImplementedError and MemoryError.

    Args:
        what: What can't be done, for example "7.npy can't be read as a .npy of numbers".
        where: The file.

    Raises:
        CompetitionError: The block has raised an exception.
    """
    try:
        yield
    except CompetitionError:
        raise
    except Exception as error:
        reason = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
        raise CompetitionError(f"{what} ({reason[:_SHOWN_REASON]})", where) from error


def open_npy(file: IO[bytes], size: int) -> StoredArray:
    """Reads the header of a .npy file.

    Args:
        file: Opened at its first byte; its values are read from it later, so it has to stay open.
        size: Bytes of the file.

    Raises:
        ValueError: It is no .npy file, holds Python objects, or is shorter or longer than its header says.
        Exception: Whatever NumPy raises on a damaged header; see ``damage_named``.
    """
    version = np.lib.format.read_magic(file)
    if version not in _READ_HEADER:
        raise ValueError(f"version {version[0]}.{version[1]} of the .npy format")
    digits, read_header = _READ_HEADER[version]
    length = file.read(digits)
    if int.from_bytes(length, "little") > _LONGEST_HEADER:
        raise ValueError(f"a header of {int.from_bytes(length, 'little'):,} bytes")
    header = file.read(int.from_bytes(length, "little"))
    shape, fortran, dtype = read_header(io.BytesIO(length + header), max_header_size=_LONGEST_HEADER)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if any(length < 0 for length in shape):
        raise ValueError(f"shape {shape}")
    stored = math.prod(shape) * dtype.itemsize
    if file.tell() + stored != size:
        raise ValueError(f"{size - file.tell():,} bytes of values, where the header announces {stored:,}")
    return StoredArray(shape, dtype, lambda: _values(file, shape, fortran, dtype))


def read_arrays(path: Path, judge: Callable[[dict[str, StoredArray]], None]) -> dict[str, NDArray[Any]]:
    """Reads a .npy or .npz file.

    Args:
        path: The file; what it is is told by its first bytes.
        judge: Is handed the headers of all arrays, and raises where their shapes or types are not what is wanted.

    Returns:
        The arrays of a .npz by their name, that of a .npy under "".

    Raises:
        CompetitionError: The file is damaged, no such file, or holds Python objects; or what ``judge`` raises.
    """
    with damage_named("can't be read as an array", path), path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if not magic.startswith(b"PK"):
            stored = {"": open_npy(file, path.stat().st_size)}
            judge(stored)
            return {"": stored[""].read()}
        with zipfile.ZipFile(file) as archive:
            members = {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist()}
            headers = {}
            for name, member in members.items():
                with archive.open(member) as opened:
                    headers[name] = open_npy(opened, member.file_size)
            judge(headers)
            arrays = {}
            for name, member in members.items():
                with archive.open(member) as opened:
                    arrays[name] = read_npy(opened, member.file_size, lambda _: None)
            return arrays


def read_npy(file: IO[bytes], size: int, judge: Callable[[StoredArray], None]) -> NDArray[Any]:
    """Reads a .npy file.

    Args:
        file: Opened at its first byte.
        size: Bytes of the file.
        judge: Is handed the header, and raises where shape or type are not what is wanted.

    Raises:
        Exception: Whatever a damaged file raises, see ``damage_named``; and what ``judge`` raises.
    """
    stored = open_npy(file, size)
    judge(stored)
    array = stored.read()
    file.read(1)  # only at its end does zipfile compare the checksum
    return array


def _values(file: IO[bytes], shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values behind a header, read piece by piece into the memory of the array."""
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
