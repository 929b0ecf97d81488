"""The form of a zip of arrays: a .npy of 0 and 1 per image; scored by Dice over the classes, plane accuracy beside it.

The metric of the organiser's leaderboard is unknown. Plane accuracy, the share of equal entries over all planes with
the background, is hardly it: an empty submission reaches 0.97.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from competition.console import progress
from competition.console import track as shown
from competition.errors import CompetitionError
from competition.file_listing import find_files, stem
from competition.masks.run_length_votes import Quorum
from competition.metrics.counts import DICE, CountMetric
from competition.metrics.masks import ImageMasks, MaskMetric
from competition.metrics.metric import Metric, as_count_metric
from competition.submission.array_zip.files import (
    PlaneFiles,
    open_plane_files,
    packed,
    plane_file_name,
    with_background,
    write_plane_files,
)
from competition.submission.check_result import CheckResult, compare_names
from competition.submission.form import Form, Score
from competition.submission.known_images import NOTHING_KNOWN, KnownImages, Truth, held_by
from competition.submission.mask_counts import MaskDifferences, compare_counts, count_pixels, stack_counts
from competition.submission.mask_scores import ReadTruth, label_masks, score_masks
from competition.text import few, near_misses
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
        with open_plane_files(path) as files:
            return files.names

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

    def check(self, path: Path, classes: Sequence[str], images: KnownImages = NOTHING_KNOWN) -> CheckResult:
        """Check the set of files, and of each its shape, its values and the background."""
        result = CheckResult()
        parts = ["form", "values", "background"]
        result.enter_scope(parts, images, unbounded="the sizes of arrays", ordered=False)
        try:
            with open_plane_files(path) as files:
                _check(result, files, classes, images.renamed(plane_file_name))
        except CompetitionError as error:
            result.refuse(str(error))
        return result

    def score(self, path: Path, truth: Truth, classes: Sequence[str], images: KnownImages, metric: Metric) -> Score:
        """Return the score, by a count metric with plane accuracy beside it."""
        if isinstance(metric, MaskMetric):
            return _score_masks(path, truth, classes, images.renamed(plane_file_name), metric)
        return score_planes(path, truth, classes, images, metric=as_count_metric(metric))

    def vote(self, paths: list[Path], election: Quorum, classes: Sequence[str], images: KnownImages, out: Path) -> int:
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
                a, b = map(packed, _read_together(files, name, len(classes), images))
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


def _check(result: CheckResult, files: PlaneFiles, classes: Sequence[str], images: KnownImages) -> None:
    path, names = files.path, files.names
    result.rows = result.images = len(names)
    result.size_bytes = path.stat().st_size if path.is_file() else sum((path / name).stat().st_size for name in names)
    if not names:
        result.refuse("there is no file in it")
    if images.names is not None:
        compare_names(result, "files", names, images.names)
    counts = Counter(names)
    for name in sorted(name for name, count in counts.items() if count > 1):
        result.refuse(f"{name} appears twice", "appears twice")
    non_empty = np.zeros(len(classes), np.int64)
    for name in counts:
        try:
            array = files.read(name, len(classes), images.size_of(name))
        except CompetitionError as error:
            result.refuse(error.what, error.what.removeprefix(name))
        else:
            non_empty += array[..., :-1].any(axis=(0, 1))
    result.positive_share = dict(zip(classes, (non_empty / max(len(names), 1)).tolist(), strict=True))
    if names:
        result.warnings += [
            f"class {name!r} is empty in every image"
            for name, count in zip(classes, non_empty, strict=True)
            if not count
        ]


def open_alike(paths: Sequence[Path], opened: ExitStack) -> list[PlaneFiles]:
    """Open submissions that are to be joined, and close them with ``opened``; all hold files of the same names.

    Raises:
        CompetitionError: A submission is no zip, holds what is no array of an image, or lacks a file that another has.
    """
    files = [opened.enter_context(open_plane_files(path)) for path in paths]
    every = dict.fromkeys(name for one in files for name in one.unique_names())
    if not every:
        raise CompetitionError("there are no files", paths[0])
    for one in files:  # first, because what is missing in the others may be no array at all
        if foreign := [name for name in one.names if "/" in name or not name.endswith(".npy")]:
            raise CompetitionError(f"{len(foreign)} files are not named like 7.npy ({few(foreign)})", one.path)
    for one in files:
        if missing := [name for name in every if name not in one.names]:
            holder = held_by(missing, paths, [other.names for other in files])
            hint = near_misses(one.names, missing)
            raise CompetitionError(f"{len(missing)} files are missing{holder} ({few(missing)}){hint}", one.path)
    return files


def _read_together(
    files: Sequence[PlaneFiles], name: str, classes: int, images: KnownImages
) -> Iterator[NDArray[np.uint8]]:
    """Yield the arrays of one image; if its size is unknown, all have to be as large as the first."""
    size_hw = images.size_of(name)
    for one in files:
        array = one.read(name, classes, size_hw)
        size_hw = array.shape[0], array.shape[1]
        yield array


def vote_on_arrays(
    files: Sequence[PlaneFiles], classes: int, election: Quorum, images: KnownImages
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the file name and the elected array (rows, columns, classes + 1) uint8 of each image.

    Args:
        files: Of ``open_alike``.
        classes: Number of classes.
        election: Weights and threshold.
        images: Whose sizes are known.

    Raises:
        CompetitionError: As ``PlaneFiles.read``.
    """
    images = images.renamed(plane_file_name)
    # The smallest type that holds the sum of all weights: one byte a vote for weights such as 2, 1, 1.
    kind = np.min_scalar_type(sum(election.weights))
    for name in files[0].names:
        votes = np.zeros((), kind)
        for weight, array in zip(election.weights, _read_together(files, name, classes, images), strict=True):
            votes = votes + np.multiply(array[..., :-1], weight, dtype=kind)
        elected = votes > election.more_than
        yield name, np.dstack([elected, ~elected.any(axis=-1)]).astype(np.uint8)


def score_planes(
    submission: Path,
    truth: Truth,
    classes: Sequence[str],
    images: KnownImages = NOTHING_KNOWN,
    metric: CountMetric = DICE,
) -> Score:
    """Score a submission, one image in memory at a time.

    Args:
        submission: A zip of .npy files, or the folder of them.
        truth: Another such zip, or labels; if these are in a folder of .npy files, that is the truth.
        classes: Of the track.
        images: Whose sizes are known. Without them an array of the wrong size is noticed only where the label does not
            fit it either way round.
        metric: The mean Dice over all (image, class) pairs by default.

    Returns:
        The score; ``beside`` holds plane_accuracy and all_background_accuracy, that of an empty submission.

    Raises:
        CompetitionError: An image is missing on either side, a file is damaged, or its form, size or values are wrong.
    """
    images = images.renamed(plane_file_name)
    counts, shares = [], []
    with ExitStack() as opened:
        files = opened.enter_context(open_plane_files(submission))
        names = _names(files)
        read_truth = _open_truth(truth, names, classes, metric, opened)
        for name in shown(names, "scoring"):
            ours = packed(files.read(name, len(classes), images.size_of(name)))
            theirs = read_truth(name, (ours.shape[0], ours.shape[1])).planes
            counts.append(count_pixels(ours, theirs, len(classes)))
            shares.append(_accuracies(counts[-1], ours, theirs))
    accuracy, background = np.mean(shares, axis=0).tolist()
    return replace(
        stack_counts(names, classes, counts).score(metric, images.groups),
        beside={"plane_accuracy": accuracy, "all_background_accuracy": background},
        note=f"plane accuracy {accuracy:.6f}, all background would give {background:.6f}",
    )


def _score_masks(
    submission: Path, truth: Truth, classes: Sequence[str], images: KnownImages, metric: MaskMetric
) -> Score:
    """Score a submission by a mask metric; arguments and errors as ``score_planes``."""
    with ExitStack() as opened:
        files = opened.enter_context(open_plane_files(submission))
        names = _names(files)
        theirs = _open_truth(truth, names, classes, metric, opened)

        def ours(name: str, size_hw: tuple[int, int]) -> ImageMasks:
            return ImageMasks(packed(files.read(name, len(classes), size_hw)), len(classes))

        return score_masks(names, classes, ours, theirs, images, metric)


def _accuracies(counts: NDArray[np.int64], ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the plane accuracy of an image: ours, and that of an empty image."""
    both, our_areas, their_areas = counts
    # The background planes differ where exactly one side has any class.
    our_any, their_any = ours.any(axis=-1), theirs.any(axis=-1)
    wrong = (our_areas + their_areas - 2 * both).sum() + np.count_nonzero(our_any != their_any)
    empty_wrong = their_areas.sum() + np.count_nonzero(their_any)
    entries = (len(both) + 1) * our_any.size
    return 1 - float(wrong) / entries, 1 - float(empty_wrong) / entries


def _names(files: PlaneFiles) -> list[str]:
    """Return the names of a submission, or raise CompetitionError if it is empty or a name appears twice."""
    if not files.names:
        raise CompetitionError("there is nothing to score: no files", files.path)
    return files.unique_names()


def _open_truth(truth: Truth, names: list[str], classes: Sequence[str], metric: Metric, opened: ExitStack) -> ReadTruth:
    """Return how to read the truth of a submitted file; what it opens is closed with ``opened``."""
    if not isinstance(truth, Path):
        if not find_files(truth.folder, "**/*.npy"):
            return label_masks(truth, names, len(classes), metric)
        truth = truth.folder
    files = opened.enter_context(open_plane_files(truth))
    theirs = _names(files)
    for missing, others, where in (
        (set(theirs) - set(names), set(names) - set(theirs), "the submission"),
        (set(names) - set(theirs), (), "the truth"),
    ):
        if missing:
            hint = near_misses(sorted(others), sorted(missing))
            raise CompetitionError(f"{len(missing)} files are missing in {where} ({few(sorted(missing))}){hint}", truth)
    return lambda name, size_hw: ImageMasks(packed(files.read(name, len(classes), size_hw)), len(classes))
