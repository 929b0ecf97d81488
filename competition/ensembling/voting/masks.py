"""The vote on one image: members' maps in, label planes out, with a tile of one class in memory at a time."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.voting.blend import decide_levels
from competition.ensembling.voting.class_votes import Voters, check_maps
from competition.masks.bit_planes import plane_count, set_class
from competition.prediction.opened_maps import TILE_HW, ClassMap, Tile, tiles


def vote_image(
    maps: Sequence[ClassMap], voters: Voters, weights: NDArray[np.integer], levels: Sequence[int] | NDArray[np.integer]
) -> NDArray[np.uint8]:
    """Decide all classes of an image.

    Args:
        maps: One (C, H, W) per member; fewer classes where it predicts some only.
        voters: Who votes on which class.
        weights: (C, M) of ``Voters.weights_by_class``.
        levels: (C,), 0..254: a pixel is positive where the blend is greater than its class's level.

    Returns:
        Label planes uint8 (H, W, ceil(C / 8)).

    Raises:
        CompetitionError: The maps have different sizes, one is damaged, or the weights are not convex.
    """
    check_maps(maps, voters)
    planes = np.zeros((*maps[0].shape[1:], plane_count(len(voters.rows))), dtype=np.uint8)
    for index, level in enumerate(levels):
        for tile, mask in _voted_tiles(maps, voters, weights, index, int(level)):
            if mask.any():
                set_class(planes[tile], index, mask)
    return planes


def vote_class(
    maps: Sequence[ClassMap], voters: Voters, weights: NDArray[np.integer], index: int, level: int
) -> NDArray[np.bool_]:
    """Return the mask bool (H, W) of one class, decided as by ``vote_image``, which has checked the maps."""
    mask = np.zeros(maps[0].shape[1:], dtype=np.bool_)
    for tile, part in _voted_tiles(maps, voters, weights, index, level):
        mask[tile] = part
    return mask


def _voted_tiles(
    maps: Sequence[ClassMap], voters: Voters, weights: NDArray[np.integer], index: int, level: int
) -> Iterator[tuple[Tile, NDArray[np.bool_]]]:
    own_weights = weights[index, voters.of(index)].tolist()
    for tile in tiles(maps[0].shape[1:]):
        yield tile, decide_levels(voters.values(maps, index, tile), own_weights, level)


# Allocated by blosc2, pandas and the search for components on first use.
_FIRST_USE = 16 << 20


def vote_bytes(members: int, classes: int, size_hw: tuple[int, int]) -> int:
    """Return the memory of a vote beside the program itself, in bytes: 114 MB for five members of 29x2048x2048.

    That is label planes of the last image and of this one, as voted and as post-processed, the scan for runs or the
    sure pixels of a class, and a small picture: together 3 P + 10 bytes per pixel; a tile per member, as read and as
    compared; and what is set up once.
    """
    height, width = size_hw
    tile = min(height, TILE_HW[0]) * min(width, TILE_HW[1])
    return (3 * plane_count(classes) + 10) * height * width + 2 * members * tile + _FIRST_USE
