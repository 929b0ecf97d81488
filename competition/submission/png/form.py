"""The form of PNG masks: a zip, or a folder, with one per image or one per image and class."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from competition.console import progress
from competition.console import track as shown
from competition.errors import CompetitionError
from competition.masks.bit_planes import class_areas, pack_masks, unpack_planes
from competition.masks.run_length_votes import Quorum
from competition.metrics.masks import ImageMasks
from competition.metrics.metric import Metric
from competition.submission.check_result import CheckResult, compare_names
from competition.submission.form import Form, Score
from competition.submission.known_images import NOTHING_KNOWN, KnownImages, Truth, held_by
from competition.submission.mask_counts import MaskDifferences, compare_counts, count_pixels, stack_counts
from competition.submission.mask_scores import ReadTruth, label_masks, score_masks
from competition.submission.png.files import PngFiles, PngMasks, open_png_files, write_png_zip
from competition.text import few, near_misses


@dataclass(frozen=True)
class PngForm(Form):
    """A zip of PNG masks. The folder of the files is read too."""

    masks: PngMasks

    ending: ClassVar[str] = ".zip"
    unit: ClassVar[str] = "files"

    def describe(self, classes: Sequence[str]) -> str:
        """Return the name and the values of a file."""
        return f"zip of {self.masks.file}, values {', '.join(map(str, self.masks.allowed()))}"

    def accepts(self, path: Path) -> bool:
        """Return whether there is a file or folder."""
        return path.exists()

    def names(self, path: Path) -> list[str]:
        """Return the names of the files."""
        with open_png_files(path, self.masks, ()) as files:
            return files.names

    def write(self, path: Path, classes: Sequence[str], predictions: Iterable[tuple[str, NDArray[np.uint8]]]) -> None:
        """Write the zip."""
        write_png_zip(path, self._pictures(classes, predictions))

    def _pictures(
        self, classes: Sequence[str], images: Iterable[tuple[str, NDArray[np.uint8]]]
    ) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for image, planes in images:
            yield from zip(self.masks.names(image, classes), self.masks.pictures(planes, classes), strict=True)

    def check(self, path: Path, classes: Sequence[str], images: KnownImages = NOTHING_KNOWN) -> CheckResult:
        """Check the set of files, and of each its size and values."""
        result = CheckResult()
        result.enter_scope(["form", "values"], images, unbounded="the sizes of masks", ordered=False)
        try:
            with open_png_files(path, self.masks, classes) as files:
                _check(result, files, images)
        except CompetitionError as error:
            result.refuse(str(error))
        return result

    def score(self, path: Path, truth: Truth, classes: Sequence[str], images: KnownImages, metric: Metric) -> Score:
        """Return the score, one image in memory at a time."""
        with ExitStack() as opened:
            files = opened.enter_context(open_png_files(path, self.masks, classes))
            names = files.images()
            if isinstance(truth, Path):
                others = opened.enter_context(open_png_files(truth, self.masks, classes))
                _check_same([files, others])
                theirs: ReadTruth = partial(_masks, others)
            else:
                theirs = label_masks(truth, names, len(classes), metric)
            return score_masks(names, classes, partial(_masks, files), theirs, images, metric)

    def vote(self, paths: list[Path], election: Quorum, classes: Sequence[str], images: KnownImages, out: Path) -> int:
        """Vote pixel by pixel, one image in memory at a time."""
        with ExitStack() as opened:
            files = [opened.enter_context(open_png_files(path, self.masks, classes)) for path in paths]
            names = _check_same(files)
            ticker = opened.enter_context(progress("voting", len(names)))
            voted = ((name, _elected(files, name, len(classes), election, images)) for name in names)
            return write_png_zip(out, self._pictures(classes, ticker.ticking(voted, 1)))

    def compare(self, first: Path, second: Path, classes: Sequence[str], images: KnownImages) -> MaskDifferences:
        """Compare pixel by pixel, one image in memory at a time."""
        counts = []
        with ExitStack() as opened:
            files = [opened.enter_context(open_png_files(path, self.masks, classes)) for path in (first, second)]
            names = _check_same(files)
            for name in shown(names, "comparing"):
                one, other = _read_together(files, name, images)
                counts.append(count_pixels(one, other, len(classes)))
        return compare_counts(stack_counts(names, classes, counts))

    def read_predictions(
        self, path: Path, classes: Sequence[str], size_of: Callable[[str], tuple[int, int]]
    ) -> dict[str, Callable[[], NDArray[np.uint8]]]:
        """Open the masks of each image as a map."""

        def read(name: str) -> NDArray[np.uint8]:
            with open_png_files(path, self.masks, classes) as files:
                return unpack_planes(files.planes(name, size_of(name)), len(classes)).view(np.uint8) * np.uint8(255)

        with open_png_files(path, self.masks, classes) as files:
            return {name: partial(read, name) for name in files.images()}


def _masks(files: PngFiles, name: str, size_hw: tuple[int, int] | None) -> ImageMasks:
    return ImageMasks(files.planes(name, size_hw), len(files.classes))


def _check(result: CheckResult, files: PngFiles, images: KnownImages) -> None:
    path, names = files.path, files.names
    result.rows = len(names)
    result.size_bytes = path.stat().st_size if path.is_file() else sum((path / name).stat().st_size for name in names)
    found = {name: files.form.image_of(name, files.classes) for name in names}
    for name in sorted(name for name, count in Counter(names).items() if count > 1):
        result.refuse(f"{name} appears twice", "appears twice")
    for name in (name for name, image in found.items() if image is None):
        result.refuse(f"{name} is not named like {files.form.file}", "not named like a mask")
    present = list(dict.fromkeys(image for image in found.values() if image is not None))
    result.images = len(present)
    if not present:
        result.refuse("there is no mask in it")
    if images.names is not None:
        compare_names(result, "images", present, images.names)
    shares = (_check_masks(result, files, present, found, images) / max(len(present), 1)).tolist()
    result.positive_share = dict(zip(files.classes, shares, strict=True))
    if present and (empty := [name for name, share in result.positive_share.items() if not share]):
        result.warnings.append(f"{len(empty)} of {len(files.classes)} classes are empty in every image: {few(empty)}")


def _check_masks(
    result: CheckResult, files: PngFiles, present: Sequence[str], found: Container[str], images: KnownImages
) -> NDArray[np.int64]:
    """Record what is wrong with the masks of images; return in how many each class has a pixel, (C,)."""
    non_empty = np.zeros(len(files.classes), np.int64)
    for image in present:
        if missing := [name for name in files.form.names(image, files.classes) if name not in found]:
            result.refuse(f"image {image!r} lacks {few(missing)}", "images that lack files")
            continue
        try:
            planes = files.planes(image, images.size_of(image))
        except CompetitionError as error:
            result.refuse(error.what, error.what.partition(" ")[2])
        else:
            non_empty += class_areas(planes, len(files.classes)) > 0
    return non_empty


def _check_same(files: Sequence[PngFiles]) -> list[str]:
    """Return the images of submissions that are to be joined, in the order of the first.

    Raises:
        CompetitionError: A file is named like no mask, or an image is missing that another submission has.
    """
    names, paths = [one.images() for one in files], [one.path for one in files]
    every = list(dict.fromkeys(image for own in names for image in own))
    for own, path in zip(names, paths, strict=True):
        if missing := [image for image in every if image not in own]:
            holder, hint = held_by(missing, paths, names), near_misses(own, missing)
            raise CompetitionError(f"{len(missing)} images are missing{holder} ({few(missing)}){hint}", path)
    return every


def _read_together(files: Sequence[PngFiles], name: str, images: KnownImages) -> list[NDArray[np.uint8]]:
    """Return the planes of one image; if its size is unknown, all have to be as large as the first."""
    first = files[0].planes(name, images.size_of(name))
    return [first, *(one.planes(name, (first.shape[0], first.shape[1])) for one in files[1:])]


def _elected(
    files: Sequence[PngFiles], name: str, classes: int, election: Quorum, images: KnownImages
) -> NDArray[np.uint8]:
    votes = np.zeros((), np.int64)
    for weight, planes in zip(election.weights, _read_together(files, name, images), strict=True):
        votes = votes + unpack_planes(planes, classes) * np.int64(weight)
    return pack_masks(np.asarray(votes > election.more_than))
