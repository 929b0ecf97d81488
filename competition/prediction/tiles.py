"""Predicts an image larger than the network was trained on, tile by tile, blended with a Gaussian."""

from collections.abc import Callable

import torch

from competition.prediction.tile_grid import blend_tiles


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
    predict: Callable[[torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    tile: int,
    overlap: float,
    sums: torch.device | None = None,
) -> torch.Tensor:
    """Predict tile by tile with Gaussian weights; see ``blend_tiles``.

    ``sums`` is the device on which tiles are added up; None is that of the image.
    """
    sums = image.device if sums is None else sums
    blended: torch.Tensor = blend_tiles(
        lambda pixels: predict(pixels).to(sums),
        image,
        tile,
        overlap,
        lambda height, width: gaussian_weight(height, width).to(sums),
        lambda shape: torch.zeros(shape, device=sums),
    )
    return blended
