"""Score a zip of arrays against labels or other arrays: Dice over the classes, plane accuracy beside it.

The metric of the organiser's leaderboard is unknown. Plane accuracy, the share of equal entries over all planes with
the background, is hardly it: an empty submission reaches 0.97.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import track as shown
from competition.errors import CompetitionError
from competition.file_listing import find_files
from competition.masks.bit_planes import class_areas, intersections
from competition.metrics.counts import DICE, CountMetric
from competition.submission.array_zip.files import PlaneFiles, open_plane_files, packed, plane_file_name
from competition.submission.form import Score
from competition.submission.known_images import NOTHING_KNOWN, KnownImages, Labels, ReadLabel
from competition.submission.mask_counts import stack_counts
from competition.text import few, near_misses


def score_planes(
    submission: Path,
    truth: Path | Labels,
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
        read_truth = _open_truth(truth, names, classes, opened)
        for name in shown(names, "scoring"):
            ours = packed(files.read(name, len(classes), images.size_of(name)))
            theirs = read_truth(name, (ours.shape[0], ours.shape[1]))
            counts.append(count_pixels(ours, theirs, len(classes)))
            shares.append(_accuracies(counts[-1], ours, theirs))
    accuracy, background = np.mean(shares, axis=0).tolist()
    return replace(
        stack_counts(names, classes, counts).score(metric, images.groups),
        beside={"plane_accuracy": accuracy, "all_background_accuracy": background},
        note=f"plane accuracy {accuracy:.6f}, all background would give {background:.6f}",
    )


def count_pixels(ours: NDArray[np.uint8], theirs: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Return the pixels of each class in both label planes (H, W, P) of an image and in each of them, int64 (3, C)."""
    areas = (class_areas(planes, classes) for planes in (ours, theirs))
    return np.stack([intersections(ours, theirs, classes), *areas])


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


def _open_truth(truth: Path | Labels, names: list[str], classes: Sequence[str], opened: ExitStack) -> ReadLabel:
    """Return how to read the label planes of a submitted file; what it opens is closed with ``opened``."""
    if not isinstance(truth, Path):
        if not find_files(truth.folder, "**/*.npy"):
            return truth.join(names)
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
    return lambda name, size_hw: packed(files.read(name, len(classes), size_hw))
