"""Score run lengths without drawing a mask: two areas and an intersection per image and class follow from the runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import track as shown
from competition.errors import CompetitionError
from competition.masks.run_length_text import parse_image
from competition.masks.run_lengths import Order, encode_planes, overlaps
from competition.metrics.counts import DICE, CountMetric
from competition.submission.form import Score
from competition.submission.known_images import NOTHING_KNOWN, KnownImages, Labels, same_rows
from competition.submission.mask_counts import MaskCounts, stack_counts
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, SubmissionColumns
from competition.submission.run_lengths.files import Key, check_classes, read_rle_csv


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
