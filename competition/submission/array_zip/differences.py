"""Where two zips of arrays differ."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from competition.console import track as shown
from competition.submission.array_zip.files import packed, plane_file_name
from competition.submission.array_zip.scores import count_pixels
from competition.submission.array_zip.votes import open_alike, read_together
from competition.submission.known_images import NOTHING_KNOWN, KnownImages
from competition.submission.mask_counts import stack_counts
from competition.submission.mask_differences import MaskDifferences, compare_counts


def compare_arrays(
    first: Path, second: Path, classes: Sequence[str], images: KnownImages = NOTHING_KNOWN
) -> MaskDifferences:
    """Compare two submissions of arrays, one image in memory at a time.

    Args:
        first: A zip of .npy files, or the folder of them.
        second: Another one of the same images.
        classes: Of the track.
        images: Whose sizes are known.

    Raises:
        CompetitionError: A file is missing in one of them or damaged, or its form, size or values are wrong.
    """
    images, counts = images.renamed(plane_file_name), []
    with ExitStack() as opened:
        files = open_alike([first, second], opened)
        for name in shown(files[0].names, "comparing"):
            a, b = map(packed, read_together(files, name, len(classes), images))
            counts.append(count_pixels(a, b, len(classes)))
    return compare_counts(stack_counts(files[0].names, classes, counts))
