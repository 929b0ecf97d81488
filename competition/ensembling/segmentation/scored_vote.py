"""The vote on every training image, kept beside its decision: pixel counts, levels and curves, for the report.

Tuning decides every image once and would otherwise keep only means. To decide 800 images of 29 x 2048 x 2048 again
takes minutes; this file is read in a moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.checksums import check_seal, sealed_file
from competition.errors import CompetitionError
from competition.formats.numpy_files import StoredArray, open_arrays
from competition.metrics.masks import Measured
from competition.prediction.histograms import LARGEST_BYTES, LEVELS

SCORED_VOTE = "scored_vote.npz"
"""The file beside decision.json."""


@dataclass(frozen=True)
class ScoredVote:
    """What the vote does on the n training images that all members cover, in C classes.

    Attributes:
        samples: (n,) keys.
        counts: int64 (n, 3, C), pixels in both, decided pixels and true pixels, decided at ``levels`` and with the
            decision's post-processing.
        values: float64 (n, measures, C), what a mask metric measures of the same masks (``Measured.values``); for a
            count metric (n, 0, C).
        levels: int64 (n, C), chosen without the image's own part where there are at least two.
        curves: float64 (C, 256), the score of every class at every level before post-processing; nan at levels that
            were not searched.
    """

    samples: Sequence[str]
    counts: NDArray[np.int64]
    values: NDArray[np.float64]
    levels: NDArray[np.int64]
    curves: NDArray[np.float64]

    @property
    def measured(self) -> Measured:
        """Return what a metric of masks needs of the images."""
        return Measured(self.counts, self.values)


def save_scored_vote(path: Path, vote: ScoredVote) -> None:
    """Write the file, whole or not at all."""
    with sealed_file(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            samples=np.array(vote.samples, dtype=np.str_),
            counts=vote.counts.astype(np.int32),
            values=vote.values,
            levels=vote.levels.astype(np.uint8),
            curves=vote.curves,
        )


def load_scored_vote(path: Path, repair: str) -> ScoredVote:
    """Read a file of ``save_scored_vote``; ``repair`` is the command that makes it.

    Raises:
        CompetitionError: The file is missing, as of an earlier version, or not whole.
    """
    if not path.exists():
        raise CompetitionError("the scores of single images were not kept by an earlier version of tune", path, repair)
    check_seal(path, repair)
    stored = open_arrays(path)
    if not _fits(stored):
        raise CompetitionError("this is no file of scored images", path, repair)
    arrays = {name: array.read() for name, array in stored.items()}
    return ScoredVote(
        samples=arrays["samples"].tolist(),
        counts=arrays["counts"].astype(np.int64),
        values=arrays["values"],
        levels=arrays["levels"].astype(np.int64),
        curves=arrays["curves"],
    )


def _fits(stored: dict[str, StoredArray]) -> bool:
    """Return whether the arrays are those of ``save_scored_vote``."""
    kinds = {name: array.dtype.kind for name, array in stored.items()}
    if kinds != {"samples": "U", "counts": "i", "values": "f", "levels": "u", "curves": "f"}:
        return False
    if sum(array.nbytes for array in stored.values()) > LARGEST_BYTES:
        return False
    shapes = {name: array.shape for name, array in stored.items()}
    if len(shapes["samples"]) != 1 or len(shapes["levels"]) != 2:
        return False
    images, classes = shapes["levels"]
    if len(shapes["values"]) != 3 or shapes["values"][::2] != (images, classes):
        return False
    return (shapes["samples"], shapes["counts"], shapes["curves"]) == (
        (images,),
        (images, 3, classes),
        (classes, LEVELS),
    )
