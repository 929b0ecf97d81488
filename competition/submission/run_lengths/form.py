"""The form of run lengths in a CSV."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import progress
from competition.errors import CompetitionError
from competition.masks.bit_planes import CLASSES_PER_PLANE, unpack_class
from competition.masks.run_length_votes import Quorum
from competition.masks.run_lengths import decode_planes, encode_planes
from competition.metrics.metric import Metric, as_count_metric
from competition.submission.check_result import CheckResult
from competition.submission.form import Form
from competition.submission.known_images import KnownImages
from competition.submission.labels import Labels
from competition.submission.mask_differences import MaskDifferences, compare_counts
from competition.submission.run_lengths.checks import check_rle_submission
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, SubmissionColumns
from competition.submission.run_lengths.files import read_rle_csv, read_truth_csv, write_rle_csv
from competition.submission.run_lengths.scores import count_overlaps, score_rle
from competition.submission.run_lengths.votes import read_alike, vote_on_masks
from competition.submission.score import Score
from competition.text import few


@dataclass(frozen=True)
class RunLengthForm(Form):
    """A CSV of run lengths.

    Attributes:
        columns: Of the organiser, and how pixels are counted.
    """

    columns: SubmissionColumns = IMAGE_CLASS_RLE

    def describe(self, classes: Sequence[str]) -> str:
        """Return the header."""
        return f"CSV {','.join(self.columns.header(classes))}"

    def write(self, path: Path, classes: Sequence[str], predictions: Iterable[tuple[str, NDArray[np.uint8]]]) -> None:
        """Write a row per image and class, or a row per image where each class has a column."""
        write_rle_csv(path, self._rows(classes, predictions), classes, self.columns)

    def _rows(
        self, classes: Sequence[str], predictions: Iterable[tuple[str, NDArray[np.uint8]]]
    ) -> Iterator[tuple[str, str, str]]:
        for image, planes in predictions:
            for first in range(0, len(classes), CLASSES_PER_PLANE):
                names = classes[first : first + CLASSES_PER_PLANE]
                rles = encode_planes(planes[..., [first // CLASSES_PER_PLANE]], len(names), self.columns.order)
                for name, rle in zip(names, rles, strict=True):
                    yield image, name, rle

    def check(self, path: Path, classes: Sequence[str], images: KnownImages) -> CheckResult:
        """Check the classes of every image, the run lengths and the order of the rows."""
        return check_rle_submission(path, classes, images, self.columns)

    def score(
        self, path: Path, truth: Path | Labels, classes: Sequence[str], images: KnownImages, metric: Metric
    ) -> Score:
        """Return the score, from run lengths alone."""
        right = read_truth_csv(truth, classes, self.columns) if isinstance(truth, Path) else truth
        return score_rle(path, right, classes, images, self.columns, metric=as_count_metric(metric))

    def vote(
        self, paths: Sequence[Path], election: Quorum, classes: Sequence[str], images: KnownImages, out: Path
    ) -> int:
        """Vote on runs, without drawing a mask."""
        files = read_alike(paths, classes, self.columns)
        with progress("voting", len(files[0]) // len(classes)) as ticker:
            voted = vote_on_masks(paths, files, classes, election, images)
            write_rle_csv(out, ticker.ticking(voted, len(classes)), classes, self.columns)
        return len(files[0])

    def compare(self, first: Path, second: Path, classes: Sequence[str], images: KnownImages) -> MaskDifferences:
        """Compare runs, without drawing a mask."""
        a, b = read_alike([first, second], classes, self.columns)
        names = list(dict.fromkeys(image for image, _ in a))
        return compare_counts(count_overlaps(names, classes, ((first, a), (second, b)), images))

    def read_predictions(
        self, path: Path, classes: Sequence[str], size_of: Callable[[str], tuple[int, int]]
    ) -> dict[str, Callable[[], NDArray[np.uint8]]]:
        """Open the masks of each image as a map of 0 and 255."""
        rows = read_rle_csv(path, classes, self.columns)
        if unknown := [f"{image} {name}" for image, name in rows if name not in classes]:
            raise CompetitionError(f"{len(unknown)} rows are of an unknown class ({few(unknown)})", path)
        images = list(dict.fromkeys(image for image, _ in rows))
        if missing := [f"{image} {name}" for image in images for name in classes if (image, name) not in rows]:
            raise CompetitionError(f"{len(missing)} rows are missing ({few(missing)})", path)

        def draw(image: str) -> NDArray[np.uint8]:
            rles = [rows[image, name] for name in classes]
            planes = decode_planes(rles, size_of(image), self.columns.order, f"{path}, {image}")
            masks = np.stack([unpack_class(planes, index) for index in range(len(rles))])
            return masks.view(np.uint8) * np.uint8(255)

        return {image: partial(draw, image) for image in images}
