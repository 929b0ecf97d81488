"""Predicts an image larger than the network was trained on, tile by tile, blended with a Gaussian."""

from collections.abc import Callable, Iterator
from itertools import islice

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
    at_once: int = 1,
) -> torch.Tensor:
    """Predict tiles, blended with Gaussian weights; see ``blend_tiles``.

    Args:
        predict: (n, channels, h, w) -> probabilities (n, C, k * h, k * w).
        image: (1, channels, H, W).
        tile: Side of a tile in pixels.
        overlap: Share that neighbours see too.
        sums: The device on which tiles are added up; None is that of the image.
        at_once: How many tiles ``predict`` is given; they are added up in the same order.
    """
    sums = image.device if sums is None else sums

    def answers(tiles: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
        while some := list(islice(tiles, at_once)):
            yield from torch.split(predict(torch.cat(some)).to(sums), 1)

    blended: torch.Tensor = blend_tiles(
        answers,
        image,
        tile,
        overlap,
        lambda height, width: gaussian_weight(height, width).to(sums),
        lambda shape: torch.zeros(shape, device=sums),
    )
    return blended
