"""Labels of the lumbar track: MATLAB files of seven planes, or pictures with the values 1 to 6.

A MATLAB label has the vertebrae from the top down, then the background. The background is not a class here: it is not
read (some files hold 0 and 255 there instead of 0 and 1, which made the report's loss negative) and submissions contain
the complement of the six.

Some labels are stored as columns x rows. This follows from the size or, in a square label, from the anatomy: vertebrae
are below each other, the first at the top.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.formats.matlab import read_matlab
from competition.formats.pictures import read_values
from competition.masks.bit_planes import pack_masks
from competition.text import size_text

VERTEBRAE = tuple(f"vertebra_{number}" for number in range(1, 7))
"""From the top down."""
LABEL_KEY = "label_separated"
LABEL_PLANES = len(VERTEBRAE) + 1
TURNED = "labels: {count} square labels have rows and columns swapped and were transposed ({names})"


def read_vertebrae(path: Path, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a label into label planes.

    Args:
        path: A MATLAB file, (rows, columns, 7) or (columns, rows, 7), or a PNG with the values 1 to 6.
        size_hw: Rows and columns of the image. A MATLAB label is transposed if only that fits its size or, if square,
            its vertebrae.

    Returns:
        (H, W, 1) uint8: bit c is the vertebra c from the top. A vertebra outside of the picture is empty.

    Raises:
        CompetitionError: The file can't be read, the size does not fit either way, the vertebrae of a square label
            descend neither way, the number of planes is not 7, or a plane or picture holds values that are no labels.
    """
    if path.suffix.lower() == ".png":
        return _read_label_picture(path, size_hw)
    masks = _read_masks(path)
    if masks.shape[1:] != size_hw and masks.shape[:0:-1] != size_hw:
        found, wanted = size_text(masks.shape[1:]), f"{size_text(size_hw)} (rows x columns)"
        raise CompetitionError(f"label is {found}, which fits its image of {wanted} neither way round", path)
    square = size_hw[0] == size_hw[1]
    turned = _lies_on_its_side(masks, path) if square else masks.shape[1:] != size_hw
    return pack_masks(masks.transpose(0, 2, 1) if turned else masks)


def inspect_label(path: Path, size_hw: tuple[int, int]) -> list[str]:
    """Return a remark on a square label that is transposed because of its vertebrae."""
    square = path.suffix.lower() != ".png" and size_hw[0] == size_hw[1]
    return [TURNED] if square and _lies_on_its_side(_read_masks(path), path) else []


def _read_masks(path: Path) -> NDArray[np.bool_]:
    """Return the six vertebrae of a MATLAB label as stored, (6, rows, columns) or (6, columns, rows)."""
    stored = read_matlab(path, LABEL_KEY)
    if stored.ndim != 3 or stored.shape[2] != LABEL_PLANES:
        shape = size_text(stored.shape)
        raise CompetitionError(f"label is {shape}, not rows x columns x {LABEL_PLANES} planes", path)
    return np.stack([_mask(stored[..., index], index, path) for index in range(len(VERTEBRAE))])


def _lies_on_its_side(masks: NDArray[np.bool_], path: Path) -> bool:
    """Return whether a square label has to be transposed, because a spine is longer than it is wide."""
    rows, columns = _centres(masks, axis=1), _centres(masks, axis=2)
    turned = bool(np.ptp(columns) > np.ptp(rows))
    if (np.diff(columns if turned else rows) <= 0).any():
        raise CompetitionError("the planes are not six vertebrae from the top down, neither way round", path)
    return turned


def _centres(masks: NDArray[np.bool_], axis: int) -> NDArray[np.float64]:
    """Return the middle of each vertebra that is in the picture, along rows (axis 1) or columns (axis 2)."""
    pixels = masks.sum(axis=3 - axis, dtype=np.int64)  # (6, length of the axis)
    seen = pixels[pixels.any(axis=1)] if pixels.any() else np.ones((1, pixels.shape[1]), np.int64)
    return np.asarray(seen @ np.arange(seen.shape[1]) / seen.sum(axis=1), dtype=np.float64)


def _mask(plane: NDArray[Any], index: int, path: Path) -> NDArray[np.bool_]:
    """Return a plane of zeros and one other value, 1 or 255, as a mask."""
    mask: NDArray[np.bool_] = plane != 0
    top = plane.max()
    if top < 0 or (plane[mask] != top).any():
        reason = f"plane {index} ({VERTEBRAE[index]}) holds more values than 0 and {top:g}: was it resized smoothly?"
        raise CompetitionError(reason, path)
    return mask


def _read_label_picture(path: Path, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    values = read_values(path)
    if values.shape != size_hw:
        found, wanted = size_text(values.shape), size_text(size_hw)
        raise CompetitionError(f"label is {found}, its image {wanted} (rows x columns)", path)
    if (strange := np.setdiff1d(values, np.arange(LABEL_PLANES))).size:
        raise CompetitionError(f"value {int(strange[0])} is no vertebra (0 is none, 1 to 6 from the top down)", path)
    return pack_masks(np.stack([values == number for number in range(1, LABEL_PLANES)]))
