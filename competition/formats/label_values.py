"""The meaning of a label image's values: one class with soft edges, or several labels of which one is the class.

A mask of one class is 0 and one other value. Between them lie the soft edges of smoothing, resizing or JPEG, which are
thresholded at half. That is wrong where the values are labels: {0, 1, 255 = ignore} would become its rim only, and
{0, 1, 2, 3} or instance numbers would lose the lower half.
"""

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError

SHOWN = 6
# Greys are stored in 256 levels or more; a maximum below is that of labels or instance numbers.
LOWEST_SOFT_MAXIMUM = 16
# Of the pixels that are not 0, how many may lie in flat areas of the middle. Tried on 167 masks of hearts and nuclei
# and 114 synthetic shapes: no mask of 6,800 resized, blurred or saved as JPEG was rejected; all with labels were,
# except a third of those where the second label was a rim of 128 one pixel wide.
FLAT_SHARE = 0.02
# A soft edge has many levels. One or two of this share are labels, however thin; a few pixels may be an edge's corners.
FEW_LEVELS, FEW_SHARE, FEW_PIXELS = 2, 0.1, 32


def check_one_class(values: NDArray[np.integer], where: str) -> None:
    """Reject a mask of one class, (H, W) as stored, that holds several labels.

    Soft edges are thin and have many levels, labels lie in areas and are few. So the values are labels where the
    maximum is too small for grey levels; where a value in the middle fills areas (3x3 pixels alike); where at least
    half of the values between do; or where one or two values between are a good part of what is not 0.

    Raises:
        CompetitionError: They are labels; it names the values with their pixel counts.
    """
    top = int(values.max(initial=0))
    between = (values > 0) & (values < top)
    if not between.any():
        return
    levels, counts = np.unique(values[between], return_counts=True)
    filled = int(np.count_nonzero(values))
    flat = values[1:-1, 1:-1][_flat(values) & between[1:-1, 1:-1]]
    middle = np.count_nonzero((flat > top / 8) & (flat < top * 7 / 8))
    if not (
        top < LOWEST_SOFT_MAXIMUM
        or middle > FLAT_SHARE * filled
        or np.unique(flat).size * 2 >= len(levels)
        or (len(levels) <= FEW_LEVELS and counts.max() >= max(FEW_SHARE * filled, FEW_PIXELS))
    ):
        return
    what = f"a mask of one class holds {np.unique(values).size} values ({describe_values(values)}), not 0 and one other"
    keys = f"classes: {{NAME: {levels[0]}}}, and background: [{top}] where {top} is no class"
    repair = f"Save it as 8-bit grey, 0 and 255, or name the class's value in a folder track's YAML: {keys}"
    raise CompetitionError(what, where, repair)


def _flat(values: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return where a pixel and its eight neighbours are alike: (H - 2, W - 2) bool."""
    rows, columns = max(values.shape[0] - 2, 0), max(values.shape[1] - 2, 0)
    centre = values[1:-1, 1:-1]
    alike = np.ones((rows, columns), np.bool_)
    for down in range(3):
        for right in range(3):
            alike &= values[down : down + rows, right : right + columns] == centre
    return alike


def describe_values(values: NDArray[np.integer], colours: bool = False) -> str:
    """List the values of an image, the most frequent first: "0 in 2811 pixels, 1 in 197, 255 in 64".

    ``colours`` are values 0xRRGGBB, which are written "#rrggbb".
    """
    levels, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    shown = [f"{show_value(int(levels[at]), colours)} in {counts[at]}" for at in order]
    shown[0] += " pixels" if counts[order[0]] > 1 else " pixel"
    more = f" and {len(levels) - SHOWN} more" if len(levels) > SHOWN else ""
    return ", ".join(shown) + more


def show_value(value: int, colours: bool = False) -> str:
    """Write a value as the YAML of a folder track has it: 7, or "#ff0000" of a colour."""
    return f"#{value:06x}" if colours else str(value)
