"""Arrays of MATLAB files, of version 5 to 7 (read by scipy) and 7.3 (HDF5, read by h5py) alike."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from competition.errors import CompetitionError

NUMBERS = "buif"
"""Kinds of numpy types that are plain numbers: bool, unsigned, signed, float."""


def read_matlab(path: Path, key: str) -> NDArray[Any]:
    """Reads one array with its axes as MATLAB shows them.

    MATLAB stores columns first. Version 7.3 writes that order straight into HDF5, so that h5py sees the axes reversed;
    they are turned round here.

    Args:
        path: The .mat file.
        key: Name of the variable.

    Returns:
        The array, of the file's own number type.

    Raises:
        CompetitionError: The file is missing, damaged or no MATLAB file, has no such variable, the variable is no array
            of numbers, or a number in it is NaN or infinite.
    """
    if not path.exists():
        raise CompetitionError("label file not found", path)
    try:
        stored, keys = _read_hdf5(path, key) if h5py.is_hdf5(path) else _read_version_5(path, key)
    except Exception as error:  # for damaged files scipy raises almost anything, an IndexError included
        reason = " ".join(str(error).split())[:200]
        raise CompetitionError(f"MATLAB file can't be read ({reason or type(error).__name__})", path) from error
    if stored is None:
        raise CompetitionError(f"MATLAB file has no key {key!r} (it has {', '.join(sorted(keys)) or 'none'})", path)
    if stored.dtype.kind not in NUMBERS:
        raise CompetitionError(f"{key!r} of the MATLAB file is no array of numbers", path)
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise CompetitionError(f"{key!r} of the MATLAB file holds NaN or infinite numbers", path)
    return stored


def _read_version_5(path: Path, key: str) -> tuple[NDArray[Any] | None, list[str]]:
    """The array, None where there is none of that name, and the names there are."""
    found = scipy.io.loadmat(path, variable_names=[key])
    if key in found:
        return np.asarray(found[key]), [key]
    return None, [name for name, *_ in scipy.io.whosmat(path)]


def _read_hdf5(path: Path, key: str) -> tuple[NDArray[Any] | None, list[str]]:
    with h5py.File(path, "r") as file:
        keys = [name for name in file if not name.startswith("#")]  # "#refs#" is MATLAB's own
        if key not in file:
            return None, keys
        node = file[key]
        # A struct is a group; it has no type, so an array of objects stands for it and is refused as one.
        return (np.asarray(node[()]).T if isinstance(node, h5py.Dataset) else np.empty(0, object)), keys
