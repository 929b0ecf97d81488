"""Where the tiles of a large image lie, and their blend, for arrays of torch and of numpy alike; needs no torch."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any


def tile_starts(length: int, tile: int, overlap: float) -> list[int]:
    """Return where tiles begin along one side, ascending and evenly spaced, the last one ending at the border.

    ``overlap`` is the least share of a tile that its neighbour sees too, in [0, 1); [0] where one tile covers the side.
    """
    if tile >= length:
        return [0]
    stride = max(1, int(tile * (1 - overlap)))
    steps = -(-(length - tile) // stride)
    return [round(step * (length - tile) / steps) for step in range(steps + 1)]


def blend_tiles(
    predict: Callable[[Iterator[Any]], Iterator[Any]],
    image: Any,
    tile: int,
    overlap: float,
    weigh: Callable[[int, int], Any],
    zeros: Callable[[tuple[int, ...]], Any],
) -> Any:
    """Predict tile by tile; ``tiles.predict_tiles`` is this with torch.

    Args:
        predict: Tiles (1, channels, h, w) -> probabilities (1, C, k * h, k * w) of each, in their order; k is a whole
            number: 1, or more where the network answers on a finer grid than it sees.
        image: (1, channels, H, W).
        tile: Side of a tile in pixels; in an image that is narrower, a tile is as narrow.
        overlap: Share that neighbours see too.
        weigh: Rows and columns of a tile -> weights of its pixels.
        zeros: Shape -> zeros float32, of the kind of the image.

    Returns:
        Probabilities (1, C, k * H, k * W): at each pixel the weighted mean of the tiles that cover it.
    """
    height, width = image.shape[-2:]
    tile_h, tile_w = min(tile, height), min(tile, width)
    total: Any = None
    starts = list(product(tile_starts(height, tile, overlap), tile_starts(width, tile, overlap)))
    tiles = (image[..., top : top + tile_h, left : left + tile_w] for top, left in starts)
    for (top, left), probs in zip(starts, predict(tiles), strict=True):
        finer = probs.shape[-1] // tile_w
        if total is None:
            weight = weigh(finer * tile_h, finer * tile_w)
            weights = zeros((finer * height, finer * width))
            total = zeros((1, probs.shape[1], finer * height, finer * width))
        rows = slice(finer * top, finer * (top + tile_h))
        columns = slice(finer * left, finer * (left + tile_w))
        total[..., rows, columns] += probs * weight
        weights[rows, columns] += weight
    total /= weights
    return total
