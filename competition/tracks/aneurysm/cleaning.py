"""Cleaning of angiogram stills: black margins are cropped, burned-in white text is covered with local background.

Exports of one console have black bars or frames of any width, with or without text. Both are constant per console and
so a shortcut for a network, and a stretched 5:3 canvas makes a 3 mm aneurysm vanish. Training and inference use one
function, because a difference between the two costs more than the cleaning gains.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""Top, bottom, left and right of a picture on its canvas, half-open pixels."""

# A pixel counts as picture between a third of the picture's own grey (frames around a picture of grey 130: 43, ordinary
# pictures of 195: 65; black bars decode to 0-20) and this white, which only burned-in text and edge ticks reach (the
# 99th percentile of a real still is 206).
WHITE = 245
DARK_SHARE = 1 / 3

# Exports of 720 x 720 end in black lines one or two pixels wide, and in lines of white and black ticks. A line counts
# as one where so much of it is nearer to white, or to black, than to the picture's grey. Nothing in a picture is white,
# but vessels that leave it are black: at most 22 of 720 pixels each.
EDGE_LINES = 3
WHITE_SHARE = 0.02
BLACK_SHARE = 0.1

# Text is in the lower third, in the outer 40 % of the columns; the blocks seen lie at 78-90 % of the height.
TEXT_TOP = 0.66
TEXT_WIDTH = 0.4
LETTERS_IN_A_BLOCK = 6
PARTS_IN_A_BLOCK = 3  # where bold letters run into each other; residue of bone comes as one or two
WORD_FILL = 0.77  # of its box: bold letters leave a quarter of it free, a solid oval, as residue of bone is, a fifth
TEXT_CONTRAST = 25  # grey levels above the local background: six times the noise of a still (sigma about 4)


def clean_angiogram(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crop black margins and cover burned-in text.

    Args:
        image: Grey still, (H, W) uint8.

    Returns:
        A new (H', W') uint8 array; a still without margins loses its edge lines at most.

    Raises:
        ValueError: If the image is not two-dimensional uint8 or has no pixels.
    """
    if image.ndim != 2 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"expected a grey uint8 image (H, W), got {image.dtype} {image.shape}")
    # Edge lines come last: where text runs across the edge of the picture, it looks like ticks.
    picture = cover_text(image, margin_box(image))
    return picture[lines_kept(picture)]


def window_kept(image: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Return the rows and columns of a still (H, W) uint8 that ``clean_angiogram`` keeps."""
    top, bottom, left, right = margin_box(image)
    rows, columns = lines_kept(cover_text(image, (top, bottom, left, right)))
    return slice(top + rows.start, top + rows.stop), slice(left + columns.start, left + columns.stop)


def margin_box(image: NDArray[np.uint8]) -> Box:
    """Find the picture inside black margins, walking in from every edge until grey begins.

    A row (column) belongs to the picture if at least half of its centre half is grey. Only the centre half counts,
    because text in the margin is in the corners, and because the other margin pair would darken the outer parts; a
    share instead of one pixel, because a vessel leaving the picture is black too (at most 22 of 720 pixels wide).

    Returns:
        (top, bottom, left, right), half-open pixels. The whole image if less than a quarter of a side would be left: no
        console frames a picture that small, so it is a dark or a white image and not a framed one.
    """
    rows, columns = (_centre_half(length) for length in image.shape)
    dark = DARK_SHARE * median_grey(image[rows, columns])
    return picture_box((image >= dark) & (image < WHITE), share=0.5)


def picture_box(grey: NDArray[np.bool_], share: float) -> Box:
    """Find the picture inside margins, given which pixels (H, W) are no margin.

    A row (column) belongs to the picture if at least ``share`` of its centre half does. The whole image if less than a
    quarter of a side would be left.
    """
    height, width = grey.shape
    rows, columns = _centre_half(height), _centre_half(width)
    top, bottom = _grey_run(grey[:, columns].mean(axis=1), share)
    left, right = _grey_run(grey[rows].mean(axis=0), share)
    if bottom - top < height / 4 or right - left < width / 4:
        return 0, height, 0, width
    return top, bottom, left, right


def _centre_half(length: int) -> slice:
    return slice(length // 4, length - length // 4)


def median_grey(image: NDArray[np.uint8]) -> float:
    """Return the median of an image (H, W) uint8 from its histogram, in a sixth of the time that sorting takes."""
    below = np.bincount(image.ravel(), minlength=256).cumsum()
    middle = ((image.size - 1) // 2, image.size // 2)
    return float(np.searchsorted(below, middle, side="right").mean())


def _grey_run(grey_share: NDArray[np.float64], least: float) -> tuple[int, int]:
    """Return the first and one past the last position whose grey share is at least ``least``; (0, 0) if none."""
    grey = np.flatnonzero(grey_share >= least)
    return (int(grey[0]), int(grey[-1]) + 1) if grey.size else (0, 0)


def lines_kept(picture: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Return the rows and columns of a picture (H, W) uint8 between its black outermost lines and lines of ticks.

    At most ``EDGE_LINES`` lines and 1 % of each side are left out.
    """
    grey = median_grey(picture)
    white, black = picture > (grey + WHITE) / 2, picture < grey / 2
    cuts = []
    for axis in (0, 1):
        odd = (white.mean(axis=1 - axis) >= WHITE_SHARE) | (black.mean(axis=1 - axis) >= BLACK_SHARE)
        depth = min(EDGE_LINES, len(odd) // 100)
        first, last = (max((line + 1 for line in range(depth) if end[line]), default=0) for end in (odd, odd[::-1]))
        cuts.append(slice(first, len(odd) - last))
    return cuts[0], cuts[1]


def margin_share(image: NDArray[np.uint8]) -> float:
    """Return the share of a still (H, W) uint8 that is margin, 0 to 1."""
    top, bottom, left, right = margin_box(image)
    return 1 - (bottom - top) * (right - left) / image.size


def text_pixels(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mark burned-in text in a grey image (H, W) uint8, as ``cover_text`` finds it: (H, W) bool."""
    text = np.zeros(image.shape, dtype=np.bool_)
    for rows, columns, _, strokes in _text_strokes(image, margin_box(image)):
        text[rows, columns] |= strokes
    return text


def has_text(image: NDArray[np.uint8]) -> bool:
    """Return whether text is burned into a still (H, W) uint8, into the picture or into its margins."""
    return any(strokes.any() for *_, strokes in _text_strokes(image, margin_box(image)))


def _text_boxes(shape: tuple[int, int], box: Box) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where text can be: (rows, columns) of the lower-left and the lower-right corner of the canvas.

    Each reaches from inside the picture's ``box`` to the edge of the canvas.
    """
    top, bottom, left, right = box
    rows = slice(top + int(TEXT_TOP * (bottom - top)), shape[0])
    across = int(np.ceil(TEXT_WIDTH * (right - left)))
    return (rows, slice(0, left + across)), (rows, slice(right - across, shape[1]))


def _local_background(corner: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """Return the median of a window of three to four text lines, where strokes fill less than half.

    ``height`` is that of the whole still, of which text lines are about 1/45.
    """
    window = 2 * (height // 30) + 1
    return np.asarray(cv2.medianBlur(corner, max(window, 9)), dtype=np.uint8)


def text_mask(corner: NDArray[np.uint8], background: NDArray[np.uint8], height: int) -> NDArray[np.bool_]:
    """Mark the strokes of burned-in text, with their blurred edges.

    Text is a number of letter-sized parts nearer to white than to the background, or of longer ones where bold letters
    run into each other. Subtraction residue of bone is white too, but comes as one or two parts, higher or solid; edge
    ticks are one or two pixels wide. Fewer than ``LETTERS_IN_A_BLOCK`` letters are no text; where there are so many,
    all that is no higher than a letter counts as text.

    Args:
        corner: One text corner, (h, w) uint8.
        background: Its local background, (h, w) uint8: what lies behind the strokes.
        height: Rows of the picture, which bounds a letter: 1/120 to 1/20 of it, 3 to 12 pixels in small stills.

    Returns:
        (h, w) bool, all False where there is no text.
    """
    contrast = corner.astype(np.int16) - background
    bright = (2 * contrast > WHITE - background.astype(np.int16)) & (contrast > TEXT_CONTRAST)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(bright.astype(np.uint8), connectivity=8)
    tall, wide = stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_WIDTH]
    highest = max(height / 20, 12)
    low = tall <= highest
    low[0] = False  # the background is part 0
    word = (wide > highest) & (stats[:, cv2.CC_STAT_AREA] < WORD_FILL * tall * wide)
    letters = low & (tall >= max(height / 120, 3)) & (wide >= 3) & (word | (wide <= highest))
    # A word counts for its letters, which are about as wide as they are high.
    count = np.where(word, wide // np.maximum(tall, 1), 1)[letters].sum()
    if count < LETTERS_IN_A_BLOCK or np.count_nonzero(letters) < PARTS_IN_A_BLOCK:
        return np.zeros(corner.shape, dtype=np.bool_)
    # JPEG carries a white stroke over into two neighbouring pixels on every side.
    strokes = cv2.dilate(low[labels].astype(np.uint8), np.ones((5, 5), dtype=np.uint8))
    return np.asarray(strokes > 0, dtype=np.bool_)


def cover_text(image: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Return a copy of the picture in ``box`` with text strokes in the lower corners replaced by the local background.

    Text is searched on the whole canvas: of a line in the margin the picture may contain a single letter, which alone
    is not recognisable as text.
    """
    top, bottom, left, right = box
    covered = image.copy()
    for rows, columns, background, strokes in _text_strokes(image, box):
        covered[rows, columns][strokes] = background[strokes]
    return np.ascontiguousarray(covered[top:bottom, left:right])


def _text_strokes(
    image: NDArray[np.uint8], box: Box
) -> Iterator[tuple[slice, slice, NDArray[np.uint8], NDArray[np.bool_]]]:
    """Yield the lower corners that contain white: rows, columns, local background, and text strokes."""
    top, bottom, left, right = box
    for rows, columns in _text_boxes(image.shape, box):
        corner = np.ascontiguousarray(image[rows, columns])
        if (corner >= WHITE).any():
            inside = image[rows.start : bottom, max(columns.start, left) : min(columns.stop, right)]
            # The margin is judged by the picture's grey beside it, so that a letter across the edge is one part.
            middle = _local_background(np.ascontiguousarray(inside), bottom - top)
            beyond = (0, rows.stop - bottom, max(left - columns.start, 0), max(columns.stop - right, 0))
            background = np.asarray(cv2.copyMakeBorder(middle, *beyond, cv2.BORDER_REPLICATE), dtype=np.uint8)
            yield rows, columns, background, text_mask(corner, background, bottom - top)
