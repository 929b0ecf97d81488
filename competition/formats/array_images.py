"""Pictures and labels as NumPy arrays: a .npy file, or a .npz file of one array or of one with a known name."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.formats.numpy_files import StoredArray, open_arrays
from competition.formats.source_files import require_file, require_finite, require_size

ENDINGS = (".npy", ".npz")
IMAGE_NAMES, LABEL_NAMES = ("image", "img", "data"), ("label", "mask", "seg")
"""Names of the arrays of a .npz file that holds several."""


def is_array(path: Path) -> bool:
    """Return whether a file has an ending of NumPy's files."""
    return path.suffix.lower() in ENDINGS


def read_image_array(path: Path) -> NDArray[Any]:
    """Read a picture, (H, W) or (H, W, 3) finite numbers.

    Raises:
        CompetitionError: The file is missing or damaged, no array is clearly the picture, or it has another shape.
    """
    stored = _choose(path, IMAGE_NAMES)
    shape = stored.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)) or stored.dtype.kind not in "biuf":
        what = f"an image as an array is numbers of (rows, columns) or (rows, columns, 3), not {_describe(stored)}"
        raise CompetitionError(what, path, "Save it as such an array, or as PNG")
    require_size(shape[0], shape[1], path)
    values = stored.read()
    require_finite(values, "array", path)
    return values[..., 0] if shape[2:] == (1,) else values


def is_wide_array(path: Path) -> bool:
    """Return whether a picture has other values than those of 8 bits, by its header; False where it is no picture."""
    with suppress(CompetitionError):
        return _choose(path, IMAGE_NAMES).dtype != np.uint8
    return False


def is_colour_array(path: Path) -> bool:
    """Return whether the channels of a picture differ; False where it is no picture."""
    with suppress(CompetitionError):
        image = read_image_array(path)
        return image.ndim == 3 and bool((image != image[..., :1]).any())
    return False


def read_label_array(path: Path) -> NDArray[np.integer]:
    """Read a label of two or three axes in whole numbers.

    Raises:
        CompetitionError: As ``read_image_array``, or a value is a fraction.
    """
    stored = _choose(path, LABEL_NAMES)
    if len(stored.shape) not in (2, 3) or stored.dtype.kind not in "biuf":
        what = f"a label as an array is whole numbers of two or three axes, not {_describe(stored)}"
        raise CompetitionError(what, path)
    require_size(stored.shape[0], int(np.prod(stored.shape[1:])), path)
    return whole_numbers(stored.read(), path)


def whole_numbers(values: NDArray[Any], path: Path) -> NDArray[np.integer]:
    """Return the values of a label as integers.

    Raises:
        CompetitionError: One is a fraction, not finite or too large, and so names no class.
    """
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind == "f":
        require_finite(values, "label", path)
        if (values != np.floor(values)).any() or np.abs(values).max(initial=0) > 2**31 - 1:
            raise CompetitionError("label holds fractions, which name no class", path)
        return values.astype(np.int32)
    return values


def _choose(path: Path, names: Sequence[str]) -> StoredArray:
    require_file(path)
    arrays = open_arrays(path)
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    known = [name for name in names if name in arrays]
    if len(known) != 1:
        what = f"it holds the arrays {', '.join(sorted(arrays)[:8]) or 'none'}, of which none or several could be meant"
        raise CompetitionError(what, path, f"Name one {names[0]!r}")
    return arrays[known[0]]


def _describe(stored: StoredArray) -> str:
    return f"{stored.dtype} of {'x'.join(map(str, stored.shape)) or 'no axis'}"
