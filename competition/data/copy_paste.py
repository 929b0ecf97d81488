"""Copy-paste: one class of another training image is laid over a sample, pixels and labels together."""

import numpy as np
from numpy.typing import NDArray

from competition.masks.bit_planes import class_areas, unpack_class

# At most this share of the picture's side, so that a bone lands among its neighbours and not in a corner.
LARGEST_SHIFT = 0.125


def copy_paste(
    image: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    donor_image: NDArray[np.uint8],
    donor_planes: NDArray[np.uint8],
    classes: int,
    random: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Paste the region of one class of the donor, drawn at random and shifted a little.

    Within the region pixels and labels are the donor's, those of overlapping classes too; what it covers of the sample
    is hidden and no longer labelled. What would fall outside of the picture is cut off.

    Args:
        image: (H, W) or (H, W, 3) uint8; not changed.
        planes: (H, W, P) uint8 label planes; not changed.
        donor_image: Of the same shape.
        donor_planes: Of the same shape.
        classes: Number of classes.
        random: Draws the class and the shift.

    Returns:
        Image and planes of the same shapes; the given ones where the donor shows no class.
    """
    height, width = image.shape[:2]
    shown = np.flatnonzero(class_areas(donor_planes, classes))
    if len(shown) == 0:
        return image, planes
    region = unpack_class(donor_planes, int(random.choice(shown)))
    furthest = int(LARGEST_SHIFT * max(height, width))
    down, right = (int(shift) for shift in random.integers(-furthest, furthest + 1, 2))
    rows, columns = np.nonzero(region)
    to_rows, to_columns = rows + down, columns + right
    inside = (to_rows >= 0) & (to_rows < height) & (to_columns >= 0) & (to_columns < width)
    image, planes = image.copy(), planes.copy()
    image[to_rows[inside], to_columns[inside]] = donor_image[rows[inside], columns[inside]]
    planes[to_rows[inside], to_columns[inside]] = donor_planes[rows[inside], columns[inside]]
    return image, planes
