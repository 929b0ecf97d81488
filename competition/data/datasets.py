"""Training samples: augmented draws, each reproducible from (seed, epoch, position) alone.

No draw depends on earlier ones, so an interrupted and resumed run sees exactly the samples of an uninterrupted one,
with any number of loading processes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from competition.data.augmentation import Augmenter, Pixels, check_augmentation, copy_paste, has_turns
from competition.data.boxes import Box
from competition.data.draw_sampler import Draw
from competition.data.grid import (
    MEMORY_BUDGET_BYTES,
    GridReader,
    GridSample,
    canvas_size,
    grid_size,
    oversampling,
    pad_to,
)
from competition.data.grid_store import GridStore, share_grids
from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.masks.bit_planes import plane_count
from competition.settings import DataSettings, Experiment
from competition.tracks.track import Mirror, Track, not_mirrored
from competition.workspace import Workspace

OPENCV_CHANNELS = 128
"""Most channels of an array in OpenCV 5: label planes of 1,024 classes."""


@dataclass(frozen=True)
class Drawn:
    """One augmented draw on the augmentation grid, k times finer than the training grid."""

    sample: str  # key
    images: Pixels  # (V, channels, k*h, k*w) uint8, where (h, w) is the sample's canvas or a crop of it
    planes: Pixels | None  # (k*h, k*w, P) uint8 label planes, or None for classification
    targets: NDArray[np.float32] | None  # (C,) float32 for classification, 0 or 1 or a teacher's probability; or None
    present: NDArray[np.bool_]  # (V,) bool
    # (V,) float32, grey statistics of the whole preprocessed views, 0..255
    mean: NDArray[np.float32]
    std: NDArray[np.float32]


class TrainingSet(Dataset[Drawn]):
    """A data set of augmented draws of training samples."""

    def __init__(
        self,
        entries: Sequence[Entry],
        workspace: Workspace,
        track: Track,
        experiment: Experiment,
        pseudo: Path | None = None,
        boxes: Mapping[str, Box] | None = None,
        stride: int = 1,
        sharers: int = 1,
    ) -> None:
        """Remember what to draw from; nothing is read yet.

        Args:
            entries: Training samples, and test samples that a teacher has labelled.
            workspace: Where the cache is.
            track: The competition.
            experiment: All settings.
            pseudo: Folder of the label planes of those test samples.
            boxes: Sample -> the part of it to draw from, at native size; None draws from whole images.
            stride: Pixels that both sides of the network's input must be multiples of.
            sharers: Processes that each keep a part of the samples in memory.

        Raises:
            CompetitionError: Mirroring, copy-paste, the augmentation or a preprocessing is unknown or does not fit the
                track.
        """
        if experiment.data.flip and track.mirror is None:
            raise not_mirrored(track, "data.flip")
        if experiment.data.copy_paste and track.task == "classification":
            raise CompetitionError(f"data.copy_paste pastes what masks mark, and track {track.name} has no masks")
        check_augmentation(experiment.data.augmentation, track)
        self.entries = list(entries)
        self.factor = oversampling(entries, track, experiment.data, boxes)
        self.canvases = [self._canvas(entry, track, experiment.data, boxes, stride) for entry in self.entries]
        self._track = track
        self._settings = experiment.data
        self._plugins = experiment.plugins
        self._augment = Augmenter(experiment.data.augmentation, labelled=track.task == "segmentation")
        self._store: GridStore | None = None
        budget = MEMORY_BUDGET_BYTES // max(1, sharers)
        self._reader = GridReader(
            workspace,
            track,
            experiment.data.size,
            budget,
            preprocessing=experiment.data.preprocess,
            pseudo=pseudo,
            boxes=boxes,
            finer=self.factor,
        )

    @staticmethod
    def _canvas(
        entry: Entry, track: Track, data: DataSettings, boxes: Mapping[str, Box] | None, stride: int
    ) -> tuple[int, int]:
        """Return rows and columns of the canvas of a sample on the training grid."""
        if track.task == "classification":
            return data.size, data.size  # the views of a patient go through the network as one stack
        native_hw = (entry.height, entry.width) if boxes is None else boxes[entry.sample].size_hw
        height, width = canvas_size(grid_size(native_hw, data.size), stride)
        # A quarter turn exchanges the sides.
        return (max(height, width),) * 2 if has_turns(data.augmentation) else (height, width)

    def share(self, entries: Sequence[Entry], folder: Path) -> None:
        """Read the samples from a mapped file in ``folder`` where they don't fit into this process's share of memory.

        ``entries`` are all that any fold learns from, so that the folds share the file.

        Raises:
            CompetitionError: A cached image or label is missing or damaged, or the file can't be written.
        """
        if sum(self._reader.sample_bytes(entry) for entry in self.entries) > self._reader.budget_bytes:
            self._store = share_grids(self._reader, entries, folder, self._plugins)

    def _read(self, entry: Entry) -> GridSample:
        stored = None if self._store is None else self._store.read(entry.sample)
        return self._reader.read(entry) if stored is None else stored

    def size_of(self, draws: Sequence[Draw]) -> tuple[int, int]:
        """Return rows and columns, on the augmentation grid, of what holds all of these draws."""
        canvases = [self.canvases[index] for index, _ in draws]
        side = self._settings.crop
        rows, columns = (
            max(canvas[axis] if side is None else min(side, canvas[axis]) for canvas in canvases) for axis in (0, 1)
        )
        return rows * self.factor, columns * self.factor

    def draw_bytes(self) -> int:
        """Return the bytes of the largest draw: its pixels and label planes on the augmentation grid."""
        side = self._settings.crop or max(max(size_hw) for size_hw in self.canvases)
        area = max(min(side, height) * min(side, width) for height, width in self.canvases)
        of_images, of_planes = len(self._track.views) * self._track.channels, plane_count(len(self._track.classes))
        bytes_per_pixel = of_images + (of_planes if self._track.task == "segmentation" else 0)
        return area * self.factor**2 * bytes_per_pixel

    def one_size(self) -> bool:
        """Return whether all draws have the same size."""
        side = self._settings.crop
        return len(set(self.canvases)) == 1 or (side is not None and all(min(size) >= side for size in self.canvases))

    def __len__(self) -> int:
        """Return the number of training samples."""
        return len(self.entries)

    def __getitem__(self, draw: Draw) -> Drawn:
        """Return one augmented draw."""
        index, seed = draw
        entry = self.entries[index]
        random = np.random.default_rng(seed)
        sample = self._read(entry)
        height, width = (self.factor * side for side in self.canvases[index])
        images = [pad_to(view, (height, width), grey=self._track.task == "classification") for view in sample.images]
        planes = None if sample.planes is None else pad_to(sample.planes, (height, width))
        if planes is not None and self._settings.copy_paste and random.random() < self._settings.copy_paste:
            images[0], planes = self._paste(index, images[0], planes, random)
        targets, present, statistics = entry.targets, entry.present, list(zip(sample.mean, sample.std, strict=True))
        if self._settings.flip and self._track.mirror is not None and random.random() < 0.5:
            images, planes, targets, present = mirror_sample(images, planes, targets, present, self._track.mirror)
            statistics = [statistics[view] for view in self._track.mirror.views]
        augmentation_seed, side = int(random.integers(2**32)), self._settings.crop
        crop = None if side is None else random_window((height, width), side * self.factor, random)
        images, planes = self._augment(images, planes, augmentation_seed, crop)
        return Drawn(
            sample=entry.sample,
            images=np.stack([image[None] if image.ndim == 2 else image.transpose(2, 0, 1) for image in images]),
            planes=planes,
            targets=np.array(targets, dtype=np.float32) if self._track.task == "classification" else None,
            present=np.array(present),
            mean=np.array([mean for mean, _ in statistics], dtype=np.float32),
            std=np.array([std for _, std in statistics], dtype=np.float32),
        )

    def _paste(self, index: int, image: Pixels, planes: Pixels, random: np.random.Generator) -> tuple[Pixels, Pixels]:
        """Lay one class of another sample over this one; a single sample stays as it is."""
        if len(self.entries) == 1:
            return image, planes
        away = int(random.integers(1, len(self.entries)))
        other = self._read(self.entries[(index + away) % len(self.entries)])
        assert other.planes is not None
        rows, columns = size_hw = image.shape[0], image.shape[1]
        donor, donor_planes = (pad_to(array[:rows, :columns], size_hw) for array in (other.images[0], other.planes))
        return copy_paste(image, planes, donor, donor_planes, len(self._track.classes), random)


def mirror_sample(
    images: list[Pixels], planes: Pixels | None, targets: tuple[float, ...], present: tuple[bool, ...], mirror: Mirror
) -> tuple[list[Pixels], Pixels | None, tuple[float, ...], tuple[bool, ...]]:
    """Mirror a sample left to right: images, views, label planes and targets that change places.

    Args:
        images: One per view.
        planes: Label planes, or None.
        targets: One per class.
        present: One per view.
        mirror: What changes places.

    Returns:
        The four in mirrored form.
    """
    flipped = [_flipped(image) if flips else image for image, flips in zip(images, mirror.flipped_views, strict=True)]
    if planes is not None:
        if mirror.classes != tuple(range(len(mirror.classes))):
            raise ValueError("label planes of classes that change places can't be mirrored bit by bit")
        planes = _flipped(planes)
    return (
        [flipped[view] for view in mirror.views],
        planes,
        tuple(targets[index] for index in mirror.classes),
        tuple(present[view] for view in mirror.views),
    )


def _flipped(pixels: Pixels) -> Pixels:
    """Mirror left to right; numpy's reversed slice takes 17 times as long to copy, but has no limit of channels."""
    if pixels.ndim == 3 and pixels.shape[2] > OPENCV_CHANNELS:
        return np.ascontiguousarray(pixels[:, ::-1])
    return np.asarray(cv2.flip(pixels, 1), dtype=pixels.dtype).reshape(pixels.shape)


def random_window(size_hw: tuple[int, int], side: int, random: np.random.Generator) -> Box:
    """Draw the place of a square of ``side`` pixels in an image; of a narrower image the whole width is kept."""
    height, width = (min(side, have) for have in size_hw)
    top, left = int(random.integers(size_hw[0] - height + 1)), int(random.integers(size_hw[1] - width + 1))
    return Box(top, left, top + height, left + width)
