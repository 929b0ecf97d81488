"""Two sets of masks in whole numbers, from which every score of masks follows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.metrics.counts import dice
from competition.submission.score import Score


@dataclass(frozen=True)
class MaskCounts:
    """Pixel counts of two sets of masks.

    Attributes:
        images: n names.
        classes: C names.
        both: int64 (n, C), pixels in both masks.
        first: int64 (n, C), pixels in the mask of the first set.
        second: int64 (n, C), likewise.
    """

    images: Sequence[str]
    classes: Sequence[str]
    both: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]

    def values(self) -> NDArray[np.float64]:
        """Return the Dice of each image and class, float64 (n, C); empty against empty is 1."""
        return dice(self.both, self.first, self.second)

    def score(self) -> Score:
        """Return the mean Dice over all images and classes."""
        values = self.values()
        return Score(
            metric="dice",
            score=float(values.mean()),
            per_class=dict(zip(self.classes, values.mean(axis=0).tolist(), strict=True)),
            rows=values.size,
            per_image=dict(zip(self.images, values.mean(axis=1).tolist(), strict=True)),
        )


def stack_counts(images: Sequence[str], classes: Sequence[str], counts: Iterable[NDArray[np.int64]]) -> MaskCounts:
    """Put the counts of single images together.

    Args:
        images: n names.
        classes: C names.
        counts: For each image int64 (3, C): pixels in both masks, in the first, in the second.
    """
    both, first, second = np.stack(list(counts), axis=1)
    return MaskCounts(images, classes, both, first, second)
