"""Vote on zips of arrays, joined by file name, one image in memory at a time."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.masks.run_length_votes import Quorum
from competition.submission.array_zip.files import PlaneFiles, open_plane_files, plane_file_name
from competition.submission.joining import held_by
from competition.submission.known_images import KnownImages
from competition.text import few, near_misses


def open_alike(paths: Sequence[Path], opened: ExitStack) -> list[PlaneFiles]:
    """Open submissions that are to be joined.

    Args:
        paths: Zips of .npy files, or folders of them.
        opened: Closes them.

    Returns:
        The submissions; all hold files of the same names.

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


def read_together(
    files: Sequence[PlaneFiles], name: str, classes: int, images: KnownImages
) -> Iterator[NDArray[np.uint8]]:
    """Read the arrays of one image, one after the other.

    Args:
        files: Of ``open_alike``.
        name: Of the file.
        classes: Number of classes.
        images: By file name; where the size is not known, all have to be as large as the first.

    Yields:
        (rows, columns, classes + 1) uint8 of 0 and 1.

    Raises:
        CompetitionError: As ``PlaneFiles.read``.
    """
    size_hw = images.size_of(name)
    for one in files:
        array = one.read(name, classes, size_hw)
        size_hw = array.shape[0], array.shape[1]
        yield array


def vote_on_arrays(
    files: Sequence[PlaneFiles], classes: int, election: Quorum, images: KnownImages
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Vote image by image.

    Args:
        files: Of ``open_alike``.
        classes: Number of classes.
        election: Weights and threshold.
        images: Whose sizes are known.

    Yields:
        File name and array (rows, columns, classes + 1) uint8, in the order of the first submission.

    Raises:
        CompetitionError: As ``PlaneFiles.read``.
    """
    images = images.renamed(plane_file_name)
    # The smallest type that holds the sum of all weights: one byte a vote for weights such as 2, 1, 1.
    kind = np.min_scalar_type(sum(election.weights))
    for name in files[0].names:
        votes = np.zeros((), kind)
        for weight, array in zip(election.weights, read_together(files, name, classes, images), strict=True):
            votes = votes + np.multiply(array[..., :-1], weight, dtype=kind)
        elected = votes > election.more_than
        yield name, np.dstack([elected, ~elected.any(axis=-1)]).astype(np.uint8)
