"""Predicts an image larger than the network was trained on, tile by tile, blended with a Gaussian."""

from collections.abc import Callable

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
        predict: (1, channels, tile, tile) -> probabilities (1, C, tile, tile).
        image: (1, channels, H, W) with H and W at least ``tile``.
        tile: Side of a tile in pixels.
        overlap: Share that neighbours see too.

    Returns:
        Probabilities (1, C, H, W): at each pixel the weighted mean of the tiles that cover it.
    """
    height, width = image.shape[-2:]
    weight = gaussian_weight(tile).to(image.device)
    total: torch.Tensor | None = None
    weights = torch.zeros(height, width, device=image.device)
    for top in tile_starts(height, tile, overlap):
        for left in tile_starts(width, tile, overlap):
            window = (..., slice(top, top + tile), slice(left, left + tile))
            probs = predict(image[window])
            if total is None:
                total = torch.zeros(1, probs.shape[1], height, width, device=image.device)
            total[window] += probs * weight
            weights[window] += weight
    assert total is not None
    return total / weights
