"""Many drawn images on disk with the maps of several members, as out-of-fold predictions or a test set are kept."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import say
from competition.console import track as shown
from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks
from competition.masks.stored_arrays import write_array
from competition.prediction.probability_maps import write_map
from competition.workspace import PHANTOM, Workspace, out_of_fold_folder
from pipelines.benchmarks.drawn_maps import FULL_SIZE, MIDDLING_PX, draw_map, draw_masks

MEMBERS = 5
# So many images are drawn; all others are flipped and moved copies, which take 0.05 s a map to make and not 2.
DRAWN = 4
# A map, its share of a label and of the contested pixels take about 3 MB at 2048 pixels.
MB_PER_MAP = 3.0


@dataclass(frozen=True)
class StoredImages:
    """Where they are.

    Attributes:
        workspace: Holds the label planes in its cache and the members' maps in its runs.
        samples: Keys of the images.
    """

    workspace: Workspace
    samples: list[str]

    def folders(self) -> list[Path]:
        """Return the folder of each member's maps."""
        runs = [self.workspace.fold_folder(f"member{number}", 0) for number in range(MEMBERS)]
        return [out_of_fold_folder(run) for run in runs]


@contextmanager
def stored_images(count: int, size: int) -> Iterator[StoredImages]:
    """Draw images and members' maps into a temporary folder, which is removed at the end.

    Args:
        count: How many images.
        size: Rows and columns.

    Yields:
        Where they are.

    Raises:
        CompetitionError: The disk has too little room.
    """
    _check_disk(count * MEMBERS * MB_PER_MAP * (size / FULL_SIZE) ** 2)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        images = StoredImages(
            Workspace(Path(name), f"{PHANTOM}bench"), [f"image{number:03d}" for number in range(count)]
        )
        for first in shown(range(min(DRAWN, count)), f"drawing {count} images, {MEMBERS} maps of each"):
            masks = draw_masks(size, seed=first)
            maps = [draw_map(masks, MIDDLING_PX, seed=MEMBERS * first + member) for member in range(MEMBERS)]
            for number in range(first, count, DRAWN):
                _store_variant(images, number, masks, maps)
        yield images


def _check_disk(needed_mb: float) -> None:
    place = Path(tempfile.gettempdir())
    free_mb = shutil.disk_usage(place).free / 1024**2
    say(f"{needed_mb:.0f} MB are written to {place} and removed at the end, {free_mb:.0f} MB are free")
    if free_mb < needed_mb:
        raise CompetitionError(
            f"the bench needs {needed_mb:.0f} MB for its images and {free_mb:.0f} MB are free",
            place,
            "Make room, let TMPDIR name another disk, or choose other figures with --only",
        )


def _store_variant(images: StoredImages, number: int, masks: NDArray[np.bool_], maps: list[NDArray[np.uint8]]) -> None:
    """Write a drawn image again, flipped and moved. The truth is moved a little otherwise, so that scores differ."""
    rng = np.random.default_rng(number)
    farthest = masks.shape[1] // 32
    move = rng.integers(-farthest, farthest + 1, 2)
    turn = number // DRAWN % 4
    planes = _moved(np.moveaxis(pack_masks(masks), -1, 0), turn, move + rng.integers(-1, 2, 2))
    write_array(images.workspace.label_file(images.samples[number]), np.moveaxis(planes, 0, -1))
    for folder, levels in zip(images.folders(), maps, strict=True):
        write_map(folder, images.samples[number], _moved(levels, turn, move))


def _moved(layers: NDArray[np.uint8], turn: int, move: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Flips layers (n, H, W) by the two bits of ``turn`` and rolls them."""
    flipped = layers[:, :: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
    return np.roll(flipped, move.tolist(), axis=(1, 2))
