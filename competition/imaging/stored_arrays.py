"""Compressed arrays on disk: one file per array, written whole or not at all, read whole or by slices."""

from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.workspace import whole_file

_REMAKE = "Delete it and run the stage that made it again"

# zstd level 1: 0.05 s for a map of 29x2048x2048, where a compressed .npz takes 8.4 s.
_COMPRESSION = {"codec": blosc2.Codec.ZSTD, "clevel": 1}
# The bytes of wider numbers are shuffled. Of uint8 this is a mere copy, and reading a map takes twice as long with it.
_SHUFFLE, _PLAIN = [blosc2.Filter.SHUFFLE], [blosc2.Filter.NOFILTER]


def write_array(path: Path, array: NDArray[Any], chunks: tuple[int, ...] | None = None) -> None:
    """Stores an array.

    Args:
        path: The file; replaced atomically if it exists.
        array: Any numeric dtype and shape, not empty.
        chunks: Shape of the pieces that can be read on their own; None lets blosc2 choose.

    Raises:
        CompetitionError: It can't be written (a full disk); an old file is untouched.
    """
    with whole_file(path) as part:
        part.unlink()  # blosc2 wants to make the file itself
        contiguous = np.ascontiguousarray(array)
        compression = _COMPRESSION | {"filters": _PLAIN if contiguous.itemsize == 1 else _SHUFFLE}
        try:
            blosc2.asarray(contiguous, urlpath=str(part), mode="w", chunks=chunks, cparams=compression)
        except RuntimeError as error:
            raise OSError(f"blosc2: {error}") from error  # what blosc2 raises when the disk is full


def open_array(path: Path) -> "blosc2.NDArray":
    """Opens a stored array without reading it; index it to read a part.

    Raises:
        CompetitionError: It is missing or damaged.
    """
    try:
        return blosc2.open(str(path), mode="r")
    except FileNotFoundError as error:
        raise CompetitionError("stored array not found", path, _REMAKE) from error
    except Exception as error:  # blosc2 raises plain RuntimeError and others for damaged files
        raise CompetitionError(f"stored array is damaged ({error})", path, _REMAKE) from error


def read_array(path: Path) -> NDArray[Any]:
    """Reads a stored array whole.

    Raises:
        CompetitionError: It is missing or damaged.
    """
    stored = open_array(path)
    try:
        return np.asarray(stored[...])
    except Exception as error:
        raise CompetitionError(f"stored array is damaged ({error})", path, _REMAKE) from error
