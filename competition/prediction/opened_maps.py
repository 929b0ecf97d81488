"""Stored probability maps read a tile at a time, so that any number of members fits into memory.

Of a map of 29x2048x2048, which takes 122 MB, a tile of one class is 1 MB. Reading and comparing all tiles of five such
maps takes 0.35 s, whole classes 0.45 s: a tile stays in the processor's cache.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.masks.stored_arrays import file_identity, open_array, open_imported_array, read_part
from competition.prediction.grid_maps import GridMap
from competition.prediction.probability_maps import map_file, remake

Tile = tuple[slice, slice]

# Rows and columns. Pieces of a file hold whole rows of at most 2048 pixels; no tile reads less than a whole piece of
# maps that were stored in pieces of 512x512.
TILE_HW = (512, 2048)


@dataclass(frozen=True)
class OpenedMap:
    """A stored map of ``shape`` (C, H, W) that reads tiles on demand."""

    path: Path
    shape: tuple[int, int, int]
    _stored: Any
    _identity: tuple[int, int, int] | None

    def __getitem__(self, part: tuple[int, slice, slice]) -> NDArray[np.uint8]:
        """Read the rows and columns of one class, uint8 (h, w).

        Raises:
            CompetitionError: The file is damaged, or another process replaced it after it was opened.
        """
        classes, height, width = self.shape
        index, rows, columns = range(classes)[part[0]], range(height)[part[1]], range(width)[part[2]]
        damage: Exception | None = None
        try:
            first, end = (index, rows.start, columns.start), (index + 1, rows.stop, columns.stop)
            tile: NDArray[np.uint8] = read_part(self._stored, first, end)[0]
        except Exception as error:  # blosc2 raises plain RuntimeError and others for damaged files
            damage = error
        # blosc2 opens the file anew for every piece, so that a tile could come from two different maps.
        if file_identity(self.path) != self._identity:
            raise CompetitionError("another process replaced the map while it was read", self.path, "Run this again")
        if damage is not None:
            reason = "out of memory" if isinstance(damage, MemoryError) else damage
            raise CompetitionError(f"stored map is damaged ({reason})", self.path, remake(self.path.parent)) from damage
        return tile


ClassMap = OpenedMap | GridMap | NDArray[np.uint8]
"""A probability map (C, H, W), on disk, on its grid or in memory: ``[index, rows, columns]`` is a tile of a class."""


def open_map(folder: Path, sample: str, imported: bool = False) -> OpenedMap:
    """Open one map without reading it; an ``imported`` one may lack a checksum.

    Raises:
        CompetitionError: The member has no map of this sample, or it is damaged or no map.
    """
    path = map_file(folder, sample)
    if not path.exists():
        raise CompetitionError(f"member has no map of sample {sample!r}", path, remake(folder))
    identity = file_identity(path)
    stored = (open_imported_array if imported else open_array)(path, remake(folder))
    if stored.dtype != np.uint8 or len(stored.shape) != 3:
        raise CompetitionError(f"a map is uint8 (classes, rows, columns), not {stored.dtype} {stored.shape}", path)
    return OpenedMap(path, stored.shape, stored, identity)


def tiles(size_hw: tuple[int, int]) -> list[Tile]:
    """Divide an image into tiles, row by row."""
    sides = zip(size_hw, TILE_HW, strict=True)
    rows, columns = ([slice(at, min(at + step, side)) for at in range(0, side, step)] for side, step in sides)
    return list(product(rows, columns))
