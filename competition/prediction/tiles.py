"""Predicts an image larger than the network was trained on, tile by tile, blended with a Gaussian."""

from collections.abc import Callable
from itertools import product

import torch


def tile_starts(length: int, tile: int, overlap: float) -> list[int]:
    """Return where tiles begin along one side, ascending and evenly spaced, the last one ending at the border.

    ``overlap`` is the least share of a tile that its neighbour sees too, in [0, 1); [0] where one tile covers the side.
    """
    if tile >= length:
        return [0]
    stride = max(1, int(tile * (1 - overlap)))
    steps = -(-(length - tile) // stride)
    return [round(step * (length - tile) / steps) for step in range(steps + 1)]


def gaussian_weight(height: int, width: int) -> torch.Tensor:
    """Return (height, width) float32 weights: Gaussians of an eighth of the sides, at least 1/1000.

    They fall towards the borders, where a tile shows less context.
    """
    rows, columns = (
        torch.exp(-0.5 * ((torch.arange(side, dtype=torch.float32) - (side - 1) / 2) / (side / 8)) ** 2)
        for side in (height, width)
    )
    return (rows[:, None] * columns[None, :]).clamp_min_(1e-3)


def predict_tiles(
    predict: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor, tile: int, overlap: float
) -> torch.Tensor:
    """Predict tile by tile.

    Args:
        predict: (1, channels, h, w) -> probabilities (1, C, k * h, k * w), k a whole number: 1, or more where the
            network answers on a finer grid than it sees.
        image: (1, channels, H, W).
        tile: Side of a tile in pixels; in an image that is narrower, a tile is as narrow.
        overlap: Share that neighbours see too.

    Returns:
        Probabilities (1, C, k * H, k * W): at each pixel the weighted mean of the tiles that cover it.
    """
    height, width = image.shape[-2:]
    tile_h, tile_w = min(tile, height), min(tile, width)
    total: torch.Tensor | None = None
    for top, left in product(tile_starts(height, tile, overlap), tile_starts(width, tile, overlap)):
        probs = predict(image[..., top : top + tile_h, left : left + tile_w])
        finer = probs.shape[-1] // tile_w
        if total is None:
            weight = gaussian_weight(finer * tile_h, finer * tile_w).to(image.device)
            weights = torch.zeros(finer * height, finer * width, device=image.device)
            total = torch.zeros(1, probs.shape[1], finer * height, finer * width, device=image.device)
        rows = slice(finer * top, finer * (top + tile_h))
        columns = slice(finer * left, finer * (left + tile_w))
        total[..., rows, columns] += probs * weight
        weights[rows, columns] += weight
    assert total is not None
    return total.div_(weights)
