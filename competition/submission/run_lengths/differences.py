"""Where two submissions of run lengths differ, without drawing a mask."""

from collections.abc import Sequence
from pathlib import Path

from competition.submission.known_images import NOTHING_KNOWN, KnownImages
from competition.submission.mask_differences import MaskDifferences, compare_counts
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, SubmissionColumns
from competition.submission.run_lengths.scores import count_overlaps
from competition.submission.run_lengths.votes import read_alike


def compare_masks(
    first: Path,
    second: Path,
    classes: Sequence[str],
    images: KnownImages = NOTHING_KNOWN,
    columns: SubmissionColumns = IMAGE_CLASS_RLE,
) -> MaskDifferences:
    """Compare two run-length submissions.

    Args:
        first: CSV in the form.
        second: Another one of the same images.
        classes: Of the track.
        images: Where the size of an image is known, runs beyond the last pixel are refused.
        columns: The organiser's.

    Raises:
        CompetitionError: A row is missing in one of them, or run lengths are malformed.
    """
    a, b = read_alike([first, second], classes, columns)
    names = list(dict.fromkeys(image for image, _ in a))
    return compare_counts(count_overlaps(names, classes, ((first, a), (second, b)), images))
