"""Samples on the augmentation grid in one memory-mapped file, shared by folds, epochs and loading processes.

Kept in the memory of each of eight loading processes, 2 GB hold 12 of 640 X-rays of 2048x2048, and the others are
decoded again in every epoch. From a mapped file all processes share what the system keeps in memory.

The arrays lie one after the other, then a JSON index of them, its length in 8 bytes, and the seal of ``checksums``.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.checksums import SEAL_BYTES, check_seal, sealed_file
from competition.console import progress, say
from competition.data.grid import GridReader, GridSample
from competition.data.manifest import Entry, data_hash
from competition.files import file_lock
from competition.installation import source_hash
from competition.machine import MB
from competition.plugins import plugin_hash

ENDING = ".grids"
SPARE = 1.05
"""Of the disk: what must be free, relative to the size of the file."""
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class GridStore:
    """Samples in a mapped file.

    Attributes:
        pixels: (bytes,) uint8, read-only.
        index: Key -> the places of its arrays and its grey statistics.
    """

    pixels: NDArray[np.uint8]
    index: Mapping[str, Mapping[str, Any]]

    def read(self, key: str) -> GridSample | None:
        """Return a sample, whose arrays are parts of the mapped file; None of one that is not in it."""
        found = self.index.get(key)
        if found is None:
            return None
        planes = None if found["planes"] is None else self._array(*found["planes"])
        images = tuple(self._array(*place) for place in found["images"])
        return GridSample(images, planes, tuple(found["mean"]), tuple(found["std"]))

    def _array(self, start: int, shape: Sequence[int]) -> NDArray[np.uint8]:
        return self.pixels[start : start + int(np.prod(shape))].reshape(shape)


def share_grids(
    reader: GridReader, entries: Sequence[Entry], folder: Path, plugins: Sequence[str] = ()
) -> GridStore | None:
    """Return the samples on the grid of a reader, written now or before; None where the disk is too small.

    Processes that start at once wait for the first one. Files of other data than is prepared now, or of other code, are
    removed. ``plugins`` are the experiment's, whose content counts where images are preprocessed.

    Raises:
        CompetitionError: A cached image or label is missing or damaged, or the file can't be written.
    """
    needed = sum(reader.sample_bytes(entry) for entry in entries)
    current = f"{data_hash(entries)}-{source_hash('masks', 'data')}-"
    path = folder / f"{current}{_grid_hash(reader, entries, plugins)}{ENDING}"
    with file_lock(folder / ".lock"):
        if path.exists():
            return _open(path)
        for stale in folder.glob(f"*{ENDING}"):
            if not stale.name.startswith(current):
                stale.unlink()
        if shutil.disk_usage(folder).free < SPARE * needed:
            say(f"too little disk space for the training grid ({needed // MB:,} MB): decoding samples in every epoch")
            return None
        _write(path, reader, entries)
        return _open(path)


def _grid_hash(reader: GridReader, entries: Sequence[Entry], plugins: Sequence[str]) -> str:
    filters = [*reader.preprocessing, *plugin_hash(plugins), reader.track.reading] if reader.preprocessing else []
    boxes = None if reader.boxes is None else [vars(reader.boxes[entry.sample]) for entry in entries]
    grid = [reader.long_side, reader.finer, filters, reader.track.views, reader.track.classes, boxes]
    return hashlib.sha256(json.dumps(grid).encode()).hexdigest()[:10]


def _write(path: Path, reader: GridReader, entries: Sequence[Entry]) -> None:
    index: dict[str, dict[str, Any]] = {}
    with sealed_file(path) as part, part.open("wb") as file, progress("training grid", len(entries)) as ticker:

        def append(array: NDArray[np.uint8]) -> tuple[int, tuple[int, ...]]:
            start = file.tell()
            file.write(np.ascontiguousarray(array).data)
            return start, array.shape

        for entry in entries:
            sample = reader.load(entry)
            index[entry.sample] = {
                "images": [append(image) for image in sample.images],
                "planes": None if sample.planes is None else append(sample.planes),
                "mean": sample.mean,
                "std": sample.std,
            }
            ticker.advance(entry.name)
        text = json.dumps(index).encode()
        file.write(text + len(text).to_bytes(_LENGTH_BYTES, "little"))


def _open(path: Path) -> GridStore:
    repair = "Delete it; it is made again"
    check_seal(path, repair)
    size = path.stat().st_size - SEAL_BYTES
    with path.open("rb") as file:
        file.seek(size - _LENGTH_BYTES)
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        file.seek(size - _LENGTH_BYTES - length)
        index = json.loads(file.read(length))
    pixels = np.memmap(path, np.uint8, "r", shape=(size - _LENGTH_BYTES - length,))
    return GridStore(np.asarray(pixels), index)
