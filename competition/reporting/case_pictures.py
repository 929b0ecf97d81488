"""A case as a picture: the whole image beside the part where truth and prediction, or several masks, differ most."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.data.grid import grid_size, resize_image
from competition.drawing.outlines import WHOLE, Window, as_rgb, frame, outline
from competition.masks.objects import separated_planes
from competition.metrics.masks import ImageMasks

PANEL = 320
"""Pixels of each of the two square panels."""
SMALLEST_WINDOW = 48
"""Native pixels; a smaller window shows nothing but blocks."""
TRUTH, DECIDED = (0, 216, 255), (255, 96, 0)
"""Blue and orange, which colour-blind readers tell apart, more vivid than in charts: bones are nearly white."""


Drawn = Sequence[tuple[NDArray[np.uint8], tuple[int, int, int]]]
"""Label planes uint8 (H, W, P), and the RGB colour of their outlines."""


@dataclass(frozen=True)
class Case:
    """An image with its truth and what was decided, both at native size."""

    image: NDArray[np.uint8]  # (H, W) or (H, W, 3)
    truth: ImageMasks
    decided: ImageMasks

    def picture(self) -> NDArray[np.uint8]:
        """Return ``differing_picture`` of the truth and what was decided, with a gap between objects that touch."""
        drawn = [(_separated(self.truth), TRUTH), (_separated(self.decided), DECIDED)]
        return differing_picture(self.image, drawn, self.truth.classes)


def _separated(masks: ImageMasks) -> NDArray[np.uint8]:
    return masks.planes if masks.given is None else separated_planes(masks.given, masks.classes)


def differing_picture(image: NDArray[np.uint8], drawn: Drawn, classes: int) -> NDArray[np.uint8]:
    """Return RGB uint8 (PANEL, 2 * PANEL, 3): the image with a frame around the part that the right half shows."""
    window = differing_window([planes for planes, _ in drawn])
    whole = _outlined(image, drawn, classes, WHOLE)
    frame(whole, window, (image.shape[0], image.shape[1]))
    return np.hstack([_centred(whole), _centred(_outlined(image, drawn, classes, window))])


def _outlined(image: NDArray[np.uint8], drawn: Drawn, classes: int, part: Window) -> NDArray[np.uint8]:
    seen = np.ascontiguousarray(image[part])
    picture = as_rgb(_resized(seen, grid_size((seen.shape[0], seen.shape[1]), PANEL)))
    for planes, colour in drawn:
        outline(picture, planes, classes, colour_of_all=colour, window=part)
    return picture


def differing_window(several: Sequence[NDArray[np.uint8]]) -> Window:
    """Return the square with the most pixels on which label planes differ, moved so that these are in its middle.

    Its side is a quarter of the image's long side, less where all masks together are smaller. Where they agree
    everywhere it lies around the middle of the masks, or of the image without any.
    """
    height, width = several[0].shape[:2]
    rows, columns = np.nonzero(np.bitwise_or.reduce(several).any(axis=2))
    extent = max(np.ptp(rows), np.ptp(columns)) if len(rows) else max(height, width)
    side = int(np.clip(min(max(height, width) // 4, 1.4 * extent), SMALLEST_WINDOW, PANEL))
    side_hw = min(side, height), min(side, width)
    differ = np.logical_or.reduce([(planes != several[0]).any(axis=2) for planes in several])
    if not differ.any():
        middle = (int(rows.mean()), int(columns.mean())) if len(rows) else (height // 2, width // 2)
        return _square(middle, side_hw, (height, width))
    # An unnormalised box filter counts the differing pixels around every pixel.
    counted = cv2.boxFilter(
        differ.astype(np.float32), -1, (side_hw[1], side_hw[0]), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    fullest = _square(divmod(int(counted.argmax()), width), side_hw, (height, width))
    rows, columns = np.nonzero(differ[fullest])
    middle = fullest[0].start + int(rows.mean()), fullest[1].start + int(columns.mean())
    return _square(middle, side_hw, (height, width))


def _square(middle: tuple[int, int], side_hw: tuple[int, int], size_hw: tuple[int, int]) -> Window:
    """Return a window around a pixel, moved into the image."""
    top, left = (
        int(np.clip(place - side // 2, 0, size - side))
        for place, side, size in zip(middle, side_hw, size_hw, strict=True)
    )
    return slice(top, top + side_hw[0]), slice(left, left + side_hw[1])


def _resized(image: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Shrink by area as the pipeline does; enlarge by repeated pixels, so that native pixels stay visible."""
    if size_hw[0] <= image.shape[0]:
        return resize_image(image, size_hw)
    enlarged = cv2.resize(image, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(enlarged, dtype=np.uint8)


def _centred(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    canvas = np.zeros((PANEL, PANEL, 3), np.uint8)
    top, left = (PANEL - picture.shape[0]) // 2, (PANEL - picture.shape[1]) // 2
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas
