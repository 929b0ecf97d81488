"""Which pictures came out nearly in one grey, because a few pixels decided the range that was stretched."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.formats.pictures import has_wide_grey

SHARE, LEVELS = 0.99, 26
"""Nearly all pixels, and a tenth of the 256 levels."""
NARROW = (
    "images: in {count} of {samples}, 99 % of the pixels fall into a tenth of the grey range, which a few very bright "
    "or dark pixels decide ({names}): look at the contact sheet"
)


def is_narrow(path: Path, image: NDArray[np.uint8]) -> bool:
    """Return whether a stretched picture has 99 % of its pixels within a tenth of the grey levels.

    Args:
        path: Its file, or record of a file; of DICOM and of grey of more than 8 bits the range was stretched, of others
            nothing was.
        image: (H, W) or (H, W, 3) uint8 as read.
    """
    counts = np.bincount(image.reshape(-1), minlength=256)
    if np.count_nonzero(counts) < 2:
        return False
    within = np.convolve(counts, np.ones(LEVELS, np.int64), mode="valid").max()
    return bool(within >= SHARE * image.size) and _was_stretched(path, counts)


def _was_stretched(path: Path, counts: NDArray[np.intp]) -> bool:
    # The pixels of a record have 1 or more bytes; of those that are stretched, the darkest is 0 and the brightest 255.
    if ".tfrecord" in path.name.lower():
        return bool(counts[0] and counts[255])
    return path.suffix.lower() == ".dcm" or has_wide_grey(path)
