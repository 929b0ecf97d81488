"""Objects of a mask: its connected components, split where touching objects narrow.

The split is the watershed of the distance to the background, flooded from the peaks of that distance. Of peaks that lie
too close together only the highest is one to flood from. An image of nuclei, 256x256 to 512x680, takes 17 ms.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from competition.masks.bit_planes import unpack_class
from competition.masks.objects import Objects, Pixels, component_pixels, instance_pixels, join_classes


@dataclass(frozen=True)
class ObjectRule:
    """How the mask of a class becomes objects."""

    # Distance of two peaks as a multiple of the distance of the higher one to the background, which is the radius of a
    # round object, so that small and large objects are split alike; None does not split.
    distance: float | None = None
    smoothing: float = 1.0  # standard deviation, in pixels, of the Gaussian that smooths the distances
    smallest: int = 0  # objects of fewer pixels are dropped, unless all of them are


PLAIN = ObjectRule()
"""Connected components (8 neighbours)."""


def split_planes(planes: NDArray[np.uint8], rules: tuple[ObjectRule, ...]) -> Objects:
    """Return the objects of label planes (H, W, ceil(C / 8)), one rule per class."""
    size_hw = (planes.shape[0], planes.shape[1])
    found = [split_mask(unpack_class(planes, index), rule) for index, rule in enumerate(rules)]
    return join_classes(size_hw, found)


def split_mask(mask: NDArray[np.bool_], rule: ObjectRule) -> list[Pixels]:
    """Return the objects of a mask (H, W)."""
    if not mask.any():
        return []
    if rule.distance is None or mask.all():  # without background there are no distances to it
        return drop_small(component_pixels(mask), rule.smallest)
    return drop_small(_watershed(mask, rule.distance, rule.smoothing), rule.smallest)


def drop_small(objects: list[Pixels], smallest: int) -> list[Pixels]:
    """Return the objects of at least so many pixels; all where none has."""
    return [one for one in objects if len(one) >= smallest] or objects


def _watershed(mask: NDArray[np.bool_], distance: float, smoothing: float) -> list[Pixels]:
    # Imported here, because every stage's --help imports this file: 0.07 s.
    from skimage.morphology import local_maxima
    from skimage.segmentation import watershed

    heights = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float64)
    if smoothing:
        heights = cv2.GaussianBlur(heights, (0, 0), smoothing)
    # Rounded, because the blur makes equal peaks differ in the last bit. Lower outside, where the blur may have peaks
    # too, so that each component has one inside.
    heights = np.where(mask, np.round(heights, 6), -1.0)
    markers = np.zeros(mask.size, np.int32)
    peaks = _prominent(heights, local_maxima(heights), mask, distance)
    markers[peaks] = np.arange(1, len(peaks) + 1)
    return instance_pixels(watershed(-heights, markers.reshape(mask.shape), connectivity=2, mask=mask))


def _prominent(
    heights: NDArray[np.float64], maxima: NDArray[np.bool_], mask: NDArray[np.bool_], distance: float
) -> NDArray[np.int64]:
    """Return the flat positions of the peaks that no higher one of their component is too near, ascending."""
    # The first pixel of each plateau; of equally high ones the first is the higher peak.
    peaks = np.array([pixels[0] for pixels in component_pixels(maxima)])
    peaks = peaks[np.lexsort((peaks, -heights.ravel()[peaks]))]
    components = np.asarray(cv2.connectedComponents(mask.view(np.uint8))[1]).ravel()[peaks]
    places = np.stack(np.divmod(peaks, mask.shape[1]), axis=1)
    near = KDTree(places).query_ball_point(places, distance * heights.ravel()[peaks])
    stays = np.ones(len(peaks), dtype=np.bool_)
    for peak in range(len(peaks)):
        if stays[peak]:
            others = np.array(near[peak])
            stays[others[(others > peak) & (components[others] == components[peak])]] = False
    return np.sort(peaks[stays])
