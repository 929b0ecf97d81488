"""From native pixels to the training grid: the geometry that training and prediction share.

The long side of an image is brought to ``data.size`` pixels and the aspect is kept. The network sees the image on its
canvas: the smallest rectangle around it whose sides the network can take, padded at the right and bottom. (A square
canvas would make 7/8 of the work on a 1024x128 X-ray black.) Augmentation works on a grid that is an integer factor
finer, so that labels can be averaged exactly over the blocks of the training grid (see ``masks/soft_targets``).
Averaged so, an image on the finer grid is the one that prediction sees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.data.boxes import Box
from competition.data.cache import read_cached_image, read_label_planes
from competition.data.manifest import Entry
from competition.data.preprocessing import Picture, by_grid, check_preprocessing, preprocess
from competition.masks.bit_planes import plane_count, sample_planes
from competition.masks.stored_arrays import read_array
from competition.settings import DataSettings
from competition.tracks.track import Track
from competition.workspace import Workspace, pseudo_label_file

if TYPE_CHECKING:  # an exported model reads images without torch
    import torch

# Memory for the shrunken images; a folder of 800 hands at 1024 pixels needs about 4 GB and is read again
# from the cache each epoch instead.
MEMORY_BUDGET_BYTES = 2 * 1024**3


def grid_size(native_hw: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Return rows and columns of an image whose long side is brought to ``long_side`` pixels."""
    height, width = native_hw
    scale = long_side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def canvas_size(grid_hw: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return rows and columns of the smallest canvas around an image whose sides are multiples of ``stride``."""
    height, width = (-(-side // stride) * stride for side in grid_hw)
    return height, width


def oversampling(
    entries: Sequence[Entry], track: Track, settings: DataSettings, boxes: Mapping[str, Box] | None = None
) -> int:
    """Return how many times finer than the training grid augmentation works, for all samples of a data set.

    As many times as make it as fine as the largest image (or box, where images are cropped), so that no label is shrunk
    by nearest neighbour, but at most ``data.oversample``; 1 for classification, where there is no label to average.
    """
    if track.task == "classification":
        return 1
    sizes = [(entry.height, entry.width) if boxes is None else boxes[entry.sample].size_hw for entry in entries]
    largest = max(max(size_hw) for size_hw in sizes)
    return min(settings.oversample, -(-largest // settings.size))


def resize_image(image: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize an image, by area where it shrinks (no aliasing) and bilinearly where it grows."""
    if image.shape[:2] == size_hw:
        return image
    method = cv2.INTER_AREA if size_hw[0] <= image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size_hw[::-1], interpolation=method), dtype=np.uint8)


def picture_on_grid(image: Picture, long_side: int, finer: int, filters: Sequence[str]) -> Picture:
    """Bring an image to a grid ``finer`` times finer than the training grid.

    Where filters work on the training grid, or the finer grid is finer than the image, the image comes from the
    training grid and every pixel of it is repeated: filtered or enlarged on the finer grid, it would not average to
    what prediction sees.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        long_side: Pixels of the long side on the training grid.
        finer: 1 for prediction.
        filters: Preprocessings of the training grid.

    Returns:
        (finer * h, finer * w) or with 3 channels, where (h, w) is ``grid_size``.
    """
    height, width = grid_size((image.shape[0], image.shape[1]), long_side)
    if not filters and finer * max(height, width) <= max(image.shape[:2]):
        return resize_image(image, (finer * height, finer * width))
    picture = preprocess(resize_image(image, (height, width)), filters)
    return picture.repeat(finer, axis=0).repeat(finer, axis=1)


def pad_to(image: NDArray[np.uint8], size_hw: tuple[int, int], grey: bool = False) -> NDArray[np.uint8]:
    """Pad at the bottom and right.

    Args:
        image: (h, w) or (h, w, channels) uint8; treat the result as read-only, because it may be the image itself.
        size_hw: Rows and columns wanted, at least those of the image.
        grey: Pad with the picture's median grey instead of black. Views of patients are padded so: only some consoles
            save stills that are not square, and a black bar would show the network which console it was.
    """
    height, width = image.shape[:2]
    if (height, width) == size_hw:
        return image
    padded = np.empty((*size_hw, *image.shape[2:]), np.uint8)
    padded[:] = np.median(image, axis=(0, 1)).astype(np.uint8) if grey else 0
    padded[:height, :width] = image
    return padded


def standardise(images: "torch.Tensor", mean: "torch.Tensor", std: "torch.Tensor") -> "torch.Tensor":
    """Bring grey values 0..255 to zero mean and unit deviation, by the statistics of each whole view.

    Args:
        images: (N, V, channels, H, W) float32.
        mean: (N, V).
        std: (N, V); below one grey value (an empty image) one is used.
    """
    mean, std = mean.to(images.device), std.to(images.device).clamp_min(1.0)
    return (images - mean[:, :, None, None, None]) / std[:, :, None, None, None]


@dataclass(frozen=True)
class GridSample:
    """One sample on the augmentation grid."""

    images: tuple[NDArray[np.uint8], ...]  # per view, (h, w) or (h, w, 3) uint8
    planes: NDArray[np.uint8] | None  # (h, w, P) uint8 label planes, or None
    # per view, grey statistics (0..255) of the whole preprocessed image: at native size, or on the training grid
    # (within the box) where it was filtered there
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def nbytes(self) -> int:
        """Return the memory it takes."""
        return sum(image.nbytes for image in self.images) + (0 if self.planes is None else self.planes.nbytes)


@dataclass
class GridReader:
    """Read samples onto a grid and keep what fits in memory, so that small data is shrunk only once."""

    workspace: Workspace  # where the cache is
    track: Track  # its views
    long_side: int  # pixels of the long side on the training grid
    budget_bytes: int = MEMORY_BUDGET_BYTES  # memory left for samples to keep
    labels: bool = True  # whether label planes are read too; prediction has no use for them
    preprocessing: Sequence[str] = ()  # applied to every image (``data.preprocess``)
    pseudo: Path | None = None  # folder of the label planes that a teacher gave to test samples
    boxes: Mapping[str, Box] | None = None  # sample -> the part of it that is read, at native size; None: whole images
    finer: int = 1  # how many times finer than the training grid samples are read, for augmentation

    def __post_init__(self) -> None:
        """Reject an unknown preprocessing with a CompetitionError; nothing is read yet."""
        check_preprocessing(self.preprocessing)
        self._native, self._filters = by_grid(self.preprocessing)
        self._kept: dict[str, GridSample] = {}

    def box(self, entry: Entry) -> Box:
        """Return the part of the image that is read."""
        return Box(0, 0, entry.height, entry.width) if self.boxes is None else self.boxes[entry.sample]

    def sample_bytes(self, entry: Entry) -> int:
        """Return the memory that a sample takes on the grid."""
        height, width = (self.finer * side for side in grid_size(self.box(entry).size_hw, self.long_side))
        values = len(self.track.views) * self.track.channels
        if self.labels and self.track.task == "segmentation":
            values += plane_count(len(self.track.classes))
        return height * width * values

    def read(self, entry: Entry) -> GridSample:
        """Return the sample on the grid, with planes where it is labelled; treat it as read-only."""
        if entry.sample in self._kept:
            return self._kept[entry.sample]
        sample = self.load(entry)
        if sample.nbytes() <= self.budget_bytes:
            self._kept[entry.sample] = sample
            self.budget_bytes -= sample.nbytes()
        return sample

    def load(self, entry: Entry) -> GridSample:
        """Bring a sample to the grid anew."""
        window = ... if self.boxes is None else self.box(entry).window
        images, statistics = [], []
        for number, view in enumerate(self.track.views):
            image = read_cached_image(self.workspace, entry.sample, view)
            known = entry.mean[number], entry.std[number]
            if self._native and entry.present[number]:  # an absent view stays black
                image = preprocess(image, self._native)
                known = float(image.mean()), float(image.std())
            filters = self._filters if entry.present[number] else ()
            picture = picture_on_grid(image[window], self.long_side, self.finer, filters)
            if filters:
                known = float(picture.mean()), float(picture.std())
            images.append(picture)
            statistics.append(known)
        planes, labelled = None, self.labels and self.track.task == "segmentation"
        if labelled and entry.split == "train":
            stored = read_label_planes(self.workspace, self.track, entry.sample)
            planes = sample_planes(stored[window], images[0].shape[:2])
        elif labelled and self.pseudo is not None:
            planes = sample_planes(read_array(pseudo_label_file(self.pseudo, entry.sample)), images[0].shape[:2])
        mean, std = zip(*statistics, strict=True)
        return GridSample(tuple(images), planes, mean, std)
