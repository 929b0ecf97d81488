"""Two sets of masks in whole numbers, from which every score of masks follows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.metrics.counts import DICE, CountMetric, dice
from competition.submission.score import Score
from competition.text import few


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

    def score(self, metric: CountMetric = DICE, groups: Mapping[str, str] | None = None) -> Score:
        """Return the score over all units and classes.

        Args:
            metric: What is scored.
            groups: Image -> group, for a metric that pools the images of a group.

        Raises:
            CompetitionError: The metric pools the images of a group, and that of an image is not known.
        """
        group_of = [(groups or {}).get(image, image) for image in self.images]
        if metric.unit == "group" and (unknown := [image for image in self.images if image not in (groups or {})]):
            raise CompetitionError(
                f"{metric.label} pools the images of a group, and the group of {len(unknown)} of {len(self.images)} "
                f"images is not known ({few(unknown)})",
                repair="Run ./run.sh prepare, which reads the groups",
            )
        counts = metric.pool(np.stack([self.both, self.first, self.second], axis=1), group_of)
        values = metric.ratios(*np.moveaxis(counts, 1, 0)).values()
        units = self.images if metric.unit != "group" else list(dict.fromkeys(group_of))
        per_unit = dict(zip(units, values.mean(axis=1).tolist(), strict=True))
        return Score(
            metric=metric.name,
            score=float(values.mean()),
            per_class=dict(zip(self.classes, values.mean(axis=0).tolist(), strict=True)),
            rows=self.both.size,
            per_image=per_unit if metric.is_mean_over_images else {},
            per_unit=per_unit,
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
