"""Where the energy of a map lies: on the target, on burned-in text, on margins.

A network that looks at text or margins has learned which console made an image. A map that is the same everywhere has
as much of its energy in a region as the region has of the image; ``Share.ratio`` compares with that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.tracks.aneurysm.cleaning import picture_box, text_pixels

OUTER_SHARE = 1 / 20
"""Of each side: what is called its margin even where it is not black."""
BLACK = 20
"""Black borders decode to grey values up to this."""
FEW, MANY = 0.02, 0.5
"""Shares of a line that are brighter: hardly any in a black border, and many right beside it. A black background fades
into its object instead: above a hand, the first lines that are not black hold the tip of one finger."""
SMALLEST_WITH_TEXT = 64
"""Pixels: on a smaller image, letters can't be told from noise."""


@dataclass(frozen=True)
class Share:
    """The part of a map that lies in a region.

    Attributes:
        energy: Of the map's sum, 0 to 1; NaN of a map that is 0 everywhere.
        area: Of the image, 0 to 1.
    """

    energy: float
    area: float

    @property
    def ratio(self) -> float:
        """Return how many times more energy the region has than that of a uniform map; NaN of an empty region."""
        return self.energy / self.area if self.area else float("nan")


def energy_share(maps: Sequence[NDArray[np.floating]], regions: Sequence[NDArray[np.bool_]]) -> Share:
    """Return the share of the energy of a sample's maps in its regions, all views together.

    Args:
        maps: (H, W) of each view; negative values count as 0.
        regions: (H, W) bool of each view.
    """
    positive = [np.maximum(values, 0).astype(np.float64) for values in maps]
    total = sum(float(values.sum()) for values in positive)
    inside = sum(float(values[region].sum()) for values, region in zip(positive, regions, strict=True))
    area = sum(int(region.sum()) for region in regions) / sum(region.size for region in regions)
    return Share(inside / total if total else float("nan"), area)


def energy_shares(
    maps: Sequence[NDArray[np.floating]],
    images: Sequence[NDArray[np.uint8]],
    target: Sequence[NDArray[np.bool_]] | None = None,
) -> dict[str, Share]:
    """Return region -> share of the energy: "target" where it is known, "text" and "margin".

    Args:
        maps: (H, W) of each view.
        images: (H, W) or (H, W, 3) uint8 of each view, as the network sees them but at native size.
        target: (H, W) bool of each view.
    """
    grey = [image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in images]
    regions: Mapping[str, Sequence[NDArray[np.bool_]]] = {
        **({} if target is None else {"target": target}),
        "text": [text_region(image) for image in grey],
        "margin": [margin_region(image) for image in grey],
    }
    return {name: energy_share(maps, region) for name, region in regions.items()}


def margin_region(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mark the outer twentieth of each side of a grey image (H, W) uint8 and its black borders: (H, W) bool."""
    (height, width), (above, beside) = image.shape, (round(side * OUTER_SHARE) for side in image.shape)
    bordered = zip(picture_box(image > BLACK, FEW), picture_box(image > BLACK, MANY), strict=True)
    whole = (0, height, 0, width)
    near = max(height, width) / 100
    top, bottom, left, right = (
        few if abs(few - many) <= near else edge for (few, many), edge in zip(bordered, whole, strict=True)
    )
    margin = np.ones(image.shape, dtype=np.bool_)
    margin[max(top, above) : min(bottom, height - above), max(left, beside) : min(right, width - beside)] = False
    return margin


def text_region(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mark burned-in text in the lower corners of a grey image (H, W) uint8: (H, W) bool."""
    if min(image.shape) < SMALLEST_WITH_TEXT:
        return np.zeros(image.shape, dtype=np.bool_)
    return text_pixels(image)
