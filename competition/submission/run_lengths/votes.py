"""Vote on run lengths, joined by image and class."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from competition.errors import CompetitionError
from competition.masks.run_length_votes import Quorum, vote
from competition.submission.joining import held_by
from competition.submission.known_images import NOTHING_KNOWN, KnownImages
from competition.submission.run_lengths.columns import IMAGE_CLASS_RLE, SubmissionColumns
from competition.submission.run_lengths.files import check_classes, read_rle_csv
from competition.submission.run_lengths.rows import Key
from competition.text import few, near_misses


def read_alike(
    paths: Sequence[Path], classes: Sequence[str], columns: SubmissionColumns = IMAGE_CLASS_RLE
) -> list[dict[Key, str]]:
    """Read run-length submissions that are to be joined.

    Args:
        paths: CSVs in the form, their rows in any order.
        classes: Of the track.
        columns: The organiser's.

    Returns:
        One dictionary per file; all have the same keys.

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
    """Vote image by image.

    Args:
        paths: Names of the files, for messages.
        files: Of ``read_alike``.
        classes: Of the track.
        election: Weights and threshold.
        images: Where the size of an image is known, runs beyond the last pixel are refused.

    Yields:
        Rows of a submission, in the image order of the first file.

    Raises:
        CompetitionError: Malformed run lengths.
    """
    for image in dict.fromkeys(name for name, _ in files[0]):
        rles = [[file[image, name] for name in classes] for file in files]
        places = [f"{path}, {image}" for path in paths]
        for name, rle in zip(classes, vote(rles, election, images.pixels_of(image), places), strict=True):
            yield image, name, rle
