"""Checks of a file before memory is taken for its content."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError

MAX_PIXELS = 16_384 * 16_384
"""Pixels of the largest picture that is read. The largest radiographs have 3 to 5 thousand rows, and a picture of this
size takes 0.8 GB in colour, which together with its copies still fits a machine of 8 GB."""


def require_file(path: Path, what: str = "image") -> None:
    """Reject what is no regular file; opening a named pipe would wait forever.

    Raises:
        CompetitionError: The path does not exist, or is a folder, a pipe or a device.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise CompetitionError(f"{what} not found", path) from error
    except (OSError, ValueError) as error:  # a name too long, or with a NUL
        raise CompetitionError(f"{what} can't be read ({error})", path) from error
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "named pipe" if stat.S_ISFIFO(mode) else "device"
        raise CompetitionError(f"{what} can't be read (it is a {kind}, not a file)", path)


def require_size(height: int, width: int, path: Path) -> None:
    """Reject a declared size of no pixels or more than ``MAX_PIXELS`` before memory is taken for it."""
    if height < 1 or width < 1:
        raise CompetitionError(f"picture has a size of {width}x{height} pixels", path)
    if height * width > MAX_PIXELS:
        reason = f"picture has {width}x{height} pixels, more than the {MAX_PIXELS:,} that are read"
        raise CompetitionError(reason, path, "If the size is right, save it smaller or in tiles")


def require_finite(values: NDArray[np.generic], what: str, path: Path) -> None:
    """Reject NaN and infinity, one of which would decide the whole grey range."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    reason = f"{what} holds {nan + infinite:,} of {values.size:,} values that are not finite ({nan} NaN, {infinite}"
    raise CompetitionError(f"{reason} infinite)", path, "Replace them by the background's value")


def first_line(error: BaseException) -> str:
    """Return the first line of a library's message, at most 200 characters; its type if it has none."""
    if isinstance(error, MemoryError):
        return "out of memory"
    text = (str(error).strip().splitlines() or [""])[0][:200]
    return text or type(error).__name__


@contextmanager
def damage_named(
    what: str, where: Path | str, repair: str | None = None, *, let: type[BaseException] = CompetitionError
) -> Iterator[None]:
    """Turn every exception of a reader of other programs' files, except ``let``, into the CompetitionError ``what``.

    Damaged files make the readers of zips, NumPy, DICOM and MATLAB raise some twenty kinds of exceptions,
    among them TokenError, LZMAError, struct.error, IndexError, NotImplementedError and MemoryError.
    """
    try:
        yield
    except (CompetitionError, let):
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise CompetitionError(f"{what} ({reason})", where, repair) from error
