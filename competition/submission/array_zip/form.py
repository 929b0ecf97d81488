"""The form of a zip of arrays: a .npy of 0 and 1 per image."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from competition.console import progress
from competition.console import track as shown
from competition.file_listing import stem
from competition.masks.run_length_votes import Quorum
from competition.metrics.metric import Metric, as_count_metric
from competition.submission.array_zip.checks import check_planes_submission
from competition.submission.array_zip.files import (
    list_plane_files,
    open_plane_files,
    packed,
    plane_file_name,
    with_background,
    write_plane_files,
)
from competition.submission.array_zip.scores import count_pixels, score_planes
from competition.submission.array_zip.votes import open_alike, read_together, vote_on_arrays
from competition.submission.check_result import CheckResult
from competition.submission.form import Form
from competition.submission.known_images import KnownImages
from competition.submission.labels import Labels
from competition.submission.mask_counts import stack_counts
from competition.submission.mask_differences import MaskDifferences, compare_counts
from competition.submission.score import Score
from competition.workspace import plane_files_folder


@dataclass(frozen=True)
class ArrayZipForm(Form):
    """A zip with an array of 0 and 1 per image, its last plane the background. The folder of the arrays is read too."""

    ending: ClassVar[str] = ".zip"
    unit: ClassVar[str] = "files"

    def describe(self, classes: Sequence[str]) -> str:
        """Return the shape of an array."""
        return f"zip of .npy (rows, columns, {len(classes) + 1})"

    def accepts(self, path: Path) -> bool:
        """Return whether there is a file or folder."""
        return path.exists()

    def names(self, path: Path) -> list[str]:
        """Return the names of the files."""
        return list_plane_files(path)

    def name_in_file(self, image_name: str) -> str:
        """Return the name of an image's file: "7.dcm" becomes "7.npy"."""
        return plane_file_name(image_name)

    def write(self, path: Path, classes: Sequence[str], predictions: Iterable[tuple[str, NDArray[np.uint8]]]) -> None:
        """Write the zip, and its single files into a folder beside it."""
        arrays = ((image, with_background(planes, len(classes))) for image, planes in predictions)
        write_plane_files(path, arrays, plane_files_folder(path))

    def write_bytes(self, classes: int, size_hw: tuple[int, int]) -> int:
        """Return the bytes of two arrays, because the last one is kept while the next is made."""
        return 2 * (classes + 1) * size_hw[0] * size_hw[1]

    def check(self, path: Path, classes: Sequence[str], images: KnownImages) -> CheckResult:
        """Check the set of files, and of each its shape, its values and the background."""
        return check_planes_submission(path, classes, images)

    def score(
        self, path: Path, truth: Path | Labels, classes: Sequence[str], images: KnownImages, metric: Metric
    ) -> Score:
        """Return the score, with plane accuracy beside it."""
        return score_planes(path, truth, classes, images, metric=as_count_metric(metric))

    def vote(
        self, paths: Sequence[Path], election: Quorum, classes: Sequence[str], images: KnownImages, out: Path
    ) -> int:
        """Vote pixel by pixel, one image in memory at a time."""
        with ExitStack() as opened:
            files = open_alike(paths, opened)
            ticker = opened.enter_context(progress("voting", len(files[0].names)))
            write_plane_files(out, ticker.ticking(vote_on_arrays(files, len(classes), election, images), 1))
        return len(files[0].names)

    def compare(self, first: Path, second: Path, classes: Sequence[str], images: KnownImages) -> MaskDifferences:
        """Compare pixel by pixel, one image in memory at a time."""
        images, counts = images.renamed(plane_file_name), []
        with ExitStack() as opened:
            files = open_alike([first, second], opened)
            for name in shown(files[0].names, "comparing"):
                a, b = map(packed, read_together(files, name, len(classes), images))
                counts.append(count_pixels(a, b, len(classes)))
        return compare_counts(stack_counts(files[0].names, classes, counts))

    def read_predictions(
        self, path: Path, classes: Sequence[str], size_of: Callable[[str], tuple[int, int]]
    ) -> dict[str, Callable[[], NDArray[np.uint8]]]:
        """Open each array as a map; images are named without the ending of their file."""

        def read(name: str) -> NDArray[np.uint8]:
            with open_plane_files(path) as files:
                array = files.read(name, len(classes), size_of(stem(name)))
            return np.ascontiguousarray(np.moveaxis(array[..., :-1], -1, 0)) * np.uint8(255)

        with open_plane_files(path) as files:
            return {stem(name): partial(read, name) for name in files.unique_names()}
