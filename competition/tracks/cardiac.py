"""Cardiac: the left ventricle's blood pool on short-axis MRI slices (Sunnybrook); group = patient."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.imaging.readers import read_grey
from competition.tracks.folder import FolderTrack, list_folder, list_test_folder, read_mask
from competition.tracks.track import Listing, Mirror, Track

# The PNG form is two folders of equal names; a file name starts with the patient: SC-HF-I-05-IM-0001-0027.dcm.png.
PNG_PAIRS = FolderTrack(
    classes=["lv"],
    train="train/images/*.png",
    masks="train/labels/{stem}.png",
    test="test/images/*.png",
    group=r"^(SC-(?:HF-I|HF-NI|HYP|N)-\d+)",
)


def list_slices(root: Path) -> Listing:
    """Lists the slices of both splits.

    Raises:
        CompetitionError: There is no training slice below ``root``.
    """
    return list_folder(root, PNG_PAIRS)


def list_test_slices(folder: Path) -> Listing:
    """Lists a test set that came later; errors as ``folder.list_test_folder``."""
    return list_test_folder(folder, PNG_PAIRS)


def read_ventricle(path: Path, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Reads the label picture of one slice into label planes (H, W, 1) uint8; errors as ``folder.read_mask``."""
    return read_mask(path, size_hw, PNG_PAIRS)


CARDIAC = Track(
    name="cardiac",
    task="segmentation",
    classes=("lv",),
    metric="dice",
    submission="rle",
    list_samples=list_slices,
    list_test=list_test_slices,
    read_image=read_grey,
    read_label=read_ventricle,
    layout=f"DIR/{PNG_PAIRS.train}, DIR/{PNG_PAIRS.masks} and DIR/{PNG_PAIRS.test}",
    # A mirrored heart is anatomically wrong, but its ventricle's outline is as plausible.
    mirror=Mirror(classes=(0,)),
)
