"""Predicts an image larger than the network was trained on, tile by tile, blended with a Gaussian."""

from collections.abc import Callable
from itertools import product

import torch


def tile_starts(length: int, tile: int, overlap: float) -> list[int]:
    """Where tiles begin along one side, evenly spaced, the last one ending exactly at the border.

    Args:
        length: Pixels of the side.
        tile: Pixels of a tile.
        overlap: Least share of a tile that its neighbour sees too, in [0, 1).

    Returns:
        Ascending starts; [0] where one tile covers the side.
    """
    if tile >= length:
        return [0]
    stride = max(1, int(tile * (1 - overlap)))
    steps = -(-(length - tile) // stride)
    return [round(step * (length - tile) / steps) for step in range(steps + 1)]


def gaussian_weight(tile: int) -> torch.Tensor:
    """(tile, tile) float32 weights: a Gaussian of sigma tile/8, at least 1/1000, because borders see less context."""
    position = torch.arange(tile, dtype=torch.float32) - (tile - 1) / 2
    bell = torch.exp(-0.5 * (position / (tile / 8)) ** 2)
    return (bell[:, None] * bell[None, :]).clamp_min_(1e-3)


def predict_tiles(
    predict: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor, tile: int, overlap: float
) -> torch.Tensor:
    """Predicts tile by tile.

    Args:
        predict: (1, channels, tile, tile) -> probabilities (1, C, k * tile, k * tile), k a whole number: 1, or more
            where the network answers on a finer grid than it sees.
        image: (1, channels, H, W) with H and W at least ``tile``.
        tile: Side of a tile in pixels.
        overlap: Share that neighbours see too.

    Returns:
        Probabilities (1, C, k * H, k * W): at each pixel the weighted mean of the tiles that cover it.
    """
    height, width = image.shape[-2:]
    total: torch.Tensor | None = None
    for top, left in product(tile_starts(height, tile, overlap), tile_starts(width, tile, overlap)):
        probs = predict(image[..., top : top + tile, left : left + tile])
        finer = probs.shape[-1] // tile
        if total is None:
            weight = gaussian_weight(finer * tile).to(image.device)
            weights = torch.zeros(finer * height, finer * width, device=image.device)
            total = torch.zeros(1, probs.shape[1], finer * height, finer * width, device=image.device)
        rows, columns = (slice(finer * start, finer * (start + tile)) for start in (top, left))
        total[..., rows, columns] += probs * weight
        weights[rows, columns] += weight
    assert total is not None
    return total.div_(weights)
