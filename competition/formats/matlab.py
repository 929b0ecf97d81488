"""Arrays of MATLAB files, of version 5 to 7 (read by scipy) and 7.3 (HDF5, read by h5py) alike."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.formats.decoding_process import decode_elsewhere
from competition.formats.source_files import damage_named, require_file, require_finite

NUMBERS = "buif"
"""Kinds of numpy types that are plain numbers: bool, unsigned, signed, float."""
MAX_BYTES = 1 << 29
"""Of one array: a label of seven planes in doubles on a radiograph of 3,000 x 3,000 pixels."""


def read_matlab(path: Path, key: str) -> NDArray[Any]:
    """Read one array, of the file's own number type, with its axes as MATLAB shows them.

    MATLAB stores columns first. Version 7.3 writes that order straight into HDF5, so that h5py sees the axes reversed;
    they are turned round here.

    Raises:
        CompetitionError: The file is missing, damaged or no MATLAB file, has no variable ``key``, or the variable is no
            array of finite numbers.
    """
    require_file(path, "label file")
    stored = decode_elsewhere("competition.formats.matlab:decode_matlab", path, [key])
    if stored.dtype.kind == "f":
        require_finite(stored, f"{key!r} of the MATLAB file", path)
    return stored


def decode_matlab(path: Path, key: str) -> NDArray[Any]:
    """Decode one array in the decoding process; as ``read_matlab`` but for values that are not finite."""
    with damage_named("MATLAB file can't be read", path, let=MemoryError):
        stored, keys = _read_hdf5(path, key) if h5py.is_hdf5(path) else _read_version_5(path, key)
    if stored is None:
        raise CompetitionError(f"MATLAB file has no key {key!r} (it has {', '.join(sorted(keys)) or 'none'})", path)
    if stored.dtype.kind not in NUMBERS:
        raise CompetitionError(f"{key!r} of the MATLAB file is no array of numbers", path)
    return stored


def _read_version_5(path: Path, key: str) -> tuple[NDArray[Any] | None, list[str]]:
    """Return the array, None if there is none of that name, and the names of all."""
    variables = scipy.io.whosmat(path)
    for name, shape, kind in variables:
        if name == key:  # types of numbers carry their size in their names; doubles are as large as any
            _require_bytes(shape, int(re.sub(r"\D", "", kind) or 64) // 8, key, path)
    found = scipy.io.loadmat(path, variable_names=[key])
    if key in found:
        return np.asarray(found[key]), [key]
    return None, [name for name, *_ in variables]


def _read_hdf5(path: Path, key: str) -> tuple[NDArray[Any] | None, list[str]]:
    with h5py.File(path, "r") as file:
        keys = [name for name in file if not name.startswith("#")]  # "#refs#" is MATLAB's own
        if key not in file:
            return None, keys
        node = file[key]
        # A struct is a group; it is returned as an array of objects, which is rejected.
        if not isinstance(node, h5py.Dataset) or node.dtype.kind not in NUMBERS or node.shape is None:
            return np.empty(0, object), keys
        _require_bytes(node.shape, node.dtype.itemsize, key, path)
        return np.asarray(node[()]).T, keys


def _require_bytes(shape: Sequence[int], itemsize: int, key: str, path: Path) -> None:
    size = math.prod(shape) * itemsize
    if size > MAX_BYTES:
        reason = f"{key!r} of the MATLAB file is {'x'.join(map(str, shape))}, {size / 1e9:.1f} GB in memory"
        raise CompetitionError(f"{reason} (at most {MAX_BYTES / 1e9:.1f})", path, "Save it as uint8, or smaller")
