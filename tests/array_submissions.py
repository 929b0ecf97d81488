"""Submissions of arrays: truth is counted densely, and zips are built by zipfile."""

import io
import zipfile

import numpy as np

from competition.tracks.lumbar.track import LUMBAR

CLASSES = LUMBAR.classes
SIZES = {"7.dcm": (11, 9), "12.DCM": (8, 13)}


def random_masks(seed, size_hw):
    """Six masks that overlap; the second is empty."""
    masks = np.random.default_rng(seed).random((6, *size_hw)) < 0.3
    masks[1] = False
    return masks


def array_of(masks):
    """(H, W, 7) uint8 with the background, pixel by pixel."""
    array = np.zeros((*masks.shape[1:], 7), np.uint8)
    for row, column in np.ndindex(masks.shape[1:]):
        values = masks[:, row, column]
        array[row, column, :6] = values
        array[row, column, 6] = not any(values)
    return array


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def zip_of(path, **arrays):
    """A submission as somebody else might write it; keys are stems, values arrays or bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for stem, value in arrays.items():
            archive.writestr(f"{stem.lstrip('_')}.npy", value if isinstance(value, bytes) else npy(value))
    return path
