"""The form of run lengths in a CSV.

It is scored without drawing a mask: two areas and an intersection per image and class follow from the runs.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import progress
from competition.console import track as shown
from competition.errors import CompetitionError
from competition.masks.bit_planes import CLASSES_PER_PLANE, unpack_class
from competition.masks.run_length_text import parse_image
from competition.masks.run_length_votes import Quorum, vote
from competition.masks.run_lengths import Order, decode_planes, encode_planes, overlaps
from competition.metrics.counts import DICE, CountMetric
from competition.metrics.masks import MaskMetric
from competition.metrics.metric import Metric, as_count_metric
from competition.submission.check_result import CheckResult, compare_names
from competition.submission.csv_submission import compare_order
from competition.submission.form import Form, Score
from competition.submission.known_images import NOTHING_KNOWN, KnownImages, Labels, Truth, held_by, same_rows
from competition.submission.mask_counts import MaskCounts, MaskDifferences, compare_counts, stack_counts
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, SubmissionColumns
from competition.submission.run_lengths.drawn_masks import score_drawn_masks
from competition.submission.run_lengths.files import (
    Key,
    Row,
    check_classes,
    no_known_class,
    read_rle_csv,
    read_truth_csv,
    write_rle_csv,
)
from competition.submission.sample import OfficialSample, check_ids, open_checked_csv
from competition.text import few, near_misses, nearest_hint

OBJECT_ROWS = "; a row for each object is submission: {kind: objects} of a track's YAML file"
"""What to write where an image has several different rows of a class."""


@dataclass(frozen=True)
class RunLengthForm(Form):
    """A CSV of run lengths with the organiser's columns."""

    columns: SubmissionColumns = IMAGE_CLASS_RLE
    sample: OfficialSample | None = None  # whose ids and columns are written in its order, and checked against

    def describe(self, classes: Sequence[str]) -> str:
        """Return the header, and how pixels are counted."""
        return f"CSV {','.join(self.columns.header(classes))}, {self.columns.counting}"

    def write(self, path: Path, classes: Sequence[str], predictions: Iterable[tuple[str, NDArray[np.uint8]]]) -> None:
        """Write a row per image and class, or a row per image where each class has a column."""
        write_rle_csv(path, self._rows(classes, predictions), classes, self.columns, self.sample)

    def _rows(
        self, classes: Sequence[str], predictions: Iterable[tuple[str, NDArray[np.uint8]]]
    ) -> Iterator[tuple[str, str, str]]:
        for image, planes in predictions:
            for first in range(0, len(classes), CLASSES_PER_PLANE):
                names = classes[first : first + CLASSES_PER_PLANE]
                rles = encode_planes(planes[..., [first // CLASSES_PER_PLANE]], len(names), self.columns.order)
                for name, rle in zip(names, rles, strict=True):
                    yield image, name, rle

    def check(self, path: Path, classes: Sequence[str], images: KnownImages = NOTHING_KNOWN) -> CheckResult:
        """Check the classes of every image, the run lengths and the order of the rows."""
        header, id_columns = self.columns.header(classes), self.columns.id_columns(classes)
        result, lines = open_checked_csv(path, header, id_columns, self.sample, self.columns.if_more)
        result.enter_scope(["form", "classes", "run lengths"], images, unbounded="whether runs leave their image")
        known = frozenset(images.names or ())
        masks = [Row(number, *mask) for number, cells in lines for mask in self.columns.masks(cells, classes, known)]
        if problem := no_known_class((row.class_name for row in masks), classes):
            result.refuse(problem)
        if problem or not masks:
            return result
        first_row, filled = self._check_masks(result, masks, classes, images)
        found = list(dict.fromkeys(image for image, _ in first_row))
        non_empty = Counter(name for _, name in filled)
        result.images = len(found)
        result.positive_share = {name: non_empty[name] / len(found) for name in classes}
        sample = self.sample
        alike = sample is None or check_ids(result, *sample.both_ids(lines, id_columns, header), sample)
        if alike and images.names is not None:
            compare_names(result, "images", found, images.names)
        if sample is None:
            _compare_rows(result, first_row, classes, found, found if images.names is None else images.names)
        if empty := [name for name in classes if not non_empty[name]]:
            result.warnings.append(f"{len(empty)} of {len(classes)} classes are empty in every image: {few(empty)}")
        return result

    def _check_masks(
        self, result: CheckResult, masks: Sequence[Row], classes: Sequence[str], images: KnownImages
    ) -> tuple[dict[Key, int], set[Key]]:
        """Record what is wrong with rows; return the first one of each image and class, and those with a mask."""
        first_row: dict[Key, int] = {}
        seen: set[tuple[str, str, str]] = set()
        filled: set[Key] = set()
        known = frozenset(classes)
        for number, image, name, cell in masks:
            first = first_row.setdefault((image, name), number)
            if name not in known:
                result.refuse(f"row {number}: unknown class {name!r}{nearest_hint(name, classes)}", "unknown class")
            elif first != number and ((same := (image, name, cell) in seen) or not self.columns.several_rows):
                twice = f"row {number}: class {name!r} of image {image!r} appears twice (first in row {first})"
                result.refuse(twice if same else twice + OBJECT_ROWS, "appears twice")
            else:
                seen.add((image, name, cell))
                try:
                    if self.columns.check(cell, f"row {number}, {image}, {name}", images.pixels_of(image)):
                        filled.add((image, name))
                except CompetitionError as error:
                    filled.add((image, name))
                    result.refuse(str(error), error.what)
        return first_row, filled

    def score(self, path: Path, truth: Truth, classes: Sequence[str], images: KnownImages, metric: Metric) -> Score:
        """Return the score: by a count metric from run lengths alone, by any other from masks that are drawn."""
        if isinstance(metric, MaskMetric):
            return score_drawn_masks(path, truth, classes, images, self.columns, metric)
        right = read_truth_csv(truth, classes, self.columns) if isinstance(truth, Path) else truth
        return score_rle(path, right, classes, images, self.columns, metric=as_count_metric(metric))

    def vote(self, paths: list[Path], election: Quorum, classes: Sequence[str], images: KnownImages, out: Path) -> int:
        """Vote on runs, without drawing a mask."""
        files = read_alike(paths, classes, self.columns)
        with progress("voting", len(files[0]) // len(classes)) as ticker:
            voted = vote_on_masks(paths, files, classes, election, images)
            write_rle_csv(out, ticker.ticking(voted, len(classes)), classes, self.columns, self.sample)
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


def _compare_rows(
    result: CheckResult,
    first_row: Mapping[Key, int],
    classes: Sequence[str],
    found: Sequence[str],
    expected: Sequence[str],
) -> None:
    """Record images that lack classes, and the first row in the wrong order."""
    for image in found:
        if missing := [name for name in classes if (image, name) not in first_row]:
            have = f"image {image!r} has {len(classes) - len(missing)} of {len(classes)} classes"
            result.refuse(f"{have}; missing: {few(missing)}", "images that lack classes")
    wanted = [(image, name) for image in expected for name in classes]
    describe = "class {0[1]!r} of image {0[0]!r}".format
    compare_order(result, list(first_row), wanted, describe, first_row.__getitem__)


def read_alike(
    paths: Sequence[Path], classes: Sequence[str], columns: SubmissionColumns = IMAGE_CLASS_RLE
) -> list[dict[Key, str]]:
    """Read submissions that are to be joined, as ``read_rle_csv`` does; all have the same keys.

    Raises:
        CompetitionError: A file is no submission of the track, or lacks an image or a class that another one has.
    """
    files = [read_rle_csv(path, classes, columns) for path in paths]
    images = dict.fromkeys(name for file in files for name, _ in file)
    if not images:
        raise CompetitionError("there are no rows", paths[0])
    wanted = {(image, name): None for image in images for name in classes}
    for path, file in zip(paths, files, strict=True):
        check_classes((name for _, name in file), classes, path)
        # First, because a mistyped class is missing too.
        unknown = [" ".join(key) for key in file if key not in wanted]
        if unknown:
            raise CompetitionError(f"{len(unknown)} rows are of an unknown class ({few(unknown)})", path)
        if missing := [key for key in wanted if key not in file]:
            names = few([" ".join(key) for key in missing])
            hint = near_misses((name for name, _ in file), {name: None for name, _ in missing})
            holder = held_by(missing, paths, files)
            raise CompetitionError(f"{len(missing)} rows are missing{holder} ({names}){hint}", path)
    return files


def vote_on_masks(
    paths: Sequence[Path],
    files: Sequence[Mapping[Key, str]],
    classes: Sequence[str],
    election: Quorum,
    images: KnownImages = NOTHING_KNOWN,
) -> Iterator[tuple[str, str, str]]:
    """Yield the elected rows of a submission: image, class, run lengths, in the image order of the first file.

    Args:
        paths: Names of the files, for messages.
        files: Of ``read_alike``.
        classes: Of the track.
        election: Weights and threshold.
        images: Where the size of an image is known, runs beyond the last pixel are an error.

    Raises:
        CompetitionError: Malformed run lengths.
    """
    for image in dict.fromkeys(name for name, _ in files[0]):
        rles = [[file[image, name] for name in classes] for file in files]
        places = [f"{path}, {image}" for path in paths]
        for name, rle in zip(classes, vote(rles, election, images.pixels_of(image), places), strict=True):
            yield image, name, rle


def score_rle(
    submission: Path,
    truth: Mapping[Key, str] | Labels,
    classes: Sequence[str],
    images: KnownImages = NOTHING_KNOWN,
    columns: SubmissionColumns = IMAGE_CLASS_RLE,
    metric: CountMetric = DICE,
) -> Score:
    """Return the score over all images and classes.

    Args:
        submission: CSV in the form.
        truth: (image name, class) -> run lengths, in any order; or labels, of which those of the submitted images are
            read.
        classes: All classes; each image of the truth must have each.
        images: Where the size of an image is known, runs beyond the last pixel are an error. Labels have their own.
        columns: The organiser's; the truth counts pixels in the same order.
        metric: The mean Dice over all (image, class) pairs by default, as the hand-bone organiser defines it.

    Raises:
        CompetitionError: A row is missing on either side, or a run length is malformed.
    """
    predicted = read_rle_csv(submission, classes, columns)
    check_classes((name for _, name in predicted), classes, submission)
    label_sizes: Mapping[str, tuple[int, int]] = {}
    if not isinstance(truth, Mapping):
        submitted = list(dict.fromkeys(image for image, _ in predicted))
        truth, label_sizes = encode_labels(truth, submitted, classes, columns.order)
        images = replace(images, sizes=label_sizes)
    names = list(dict.fromkeys(image for image, _ in truth))
    wanted = [(image, name) for image in names for name in classes]
    same_rows(wanted, list(truth), "the truth", "of an unknown class")
    same_rows(wanted, list(predicted), submission, "not in the truth")
    if not wanted:
        raise CompetitionError("there is nothing to score: no rows", submission)
    counts = count_overlaps(names, classes, ((submission, predicted), ("truth", truth)), images)
    return replace(counts.score(metric, images.groups), label_sizes=label_sizes)


def encode_labels(
    labels: Labels, names: Sequence[str], classes: Sequence[str], order: Order
) -> tuple[dict[Key, str], dict[str, tuple[int, int]]]:
    """Encode the labels of images like a submission, one in memory at a time.

    Returns:
        (image name, class) -> run lengths, and image name -> rows and columns.

    Raises:
        CompetitionError: An image has no label, two, or one that can't be read, or its size is unknown.
    """
    read = labels.join(names)
    truth: dict[Key, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for name in shown(names, "reading the truth"):
        planes = read(name, None)
        sizes[name] = planes.shape[0], planes.shape[1]
        rles = encode_planes(planes, len(classes), order)
        truth.update(((name, class_name), rle) for class_name, rle in zip(classes, rles, strict=True))
    return truth, sizes


def count_overlaps(
    names: Sequence[str],
    classes: Sequence[str],
    sides: Sequence[tuple[Path | str, Mapping[Key, str]]],
    images: KnownImages,
) -> MaskCounts:
    """Count the pixels of two sets of run lengths.

    Args:
        names: Images that both have.
        classes: That each image has in both.
        sides: For each of the two its name, for messages, and (image name, class) -> run lengths.
        images: Whose sizes are known.

    Raises:
        CompetitionError: Run lengths are malformed or leave their image.
    """

    def runs(side: tuple[Path | str, Mapping[Key, str]], image: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        where, rles = side
        places = [f"{where}, {image}, {name}" for name in classes]
        return parse_image([rles[image, name] for name in classes], places, images.pixels_of(image))

    first, second = sides
    return stack_counts(names, classes, (overlaps(runs(first, image), runs(second, image)) for image in names))
