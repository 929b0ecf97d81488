"""Two sets of masks as pixel counts, from which their score and their differences follow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.masks.bit_planes import class_areas, intersections
from competition.metrics.counts import DICE, CountMetric, dice, measured_mean, measured_means
from competition.metrics.masks import MaskMetric
from competition.metrics.metric import Metric
from competition.submission.form import ComparisonTable, Score
from competition.text import few

SHOWN = 10
"""Classes and rows of a comparison that are printed."""


@dataclass(frozen=True)
class MaskCounts:
    """Pixel counts of two sets of masks."""

    images: Sequence[str]  # n names
    classes: Sequence[str]  # C names
    both: NDArray[np.int64]  # int64 (n, C), pixels in both masks
    first: NDArray[np.int64]  # int64 (n, C), pixels in the mask of the first set
    second: NDArray[np.int64]  # int64 (n, C), likewise

    def score(self, metric: Metric = DICE, groups: Mapping[str, str] | None = None) -> Score:
        """Return the score over all units and classes.

        Args:
            metric: Of the track.
            groups: Image -> group, for a metric that pools the images of a group.

        Raises:
            CompetitionError: The metric needs more than counts, it pools the images of a group and the group of an
                image is unknown, or it leaves all images out.
        """
        if not isinstance(metric, CountMetric):
            raise CompetitionError(
                f"{metric.label} does not follow from pixel counts, which are all that is known here"
            )
        group_of = groups_of(self.images, metric.unit == "group", metric.label, groups or {})
        counts = np.stack([self.both, self.first, self.second], axis=1)
        values = metric.ratios(*np.moveaxis(metric.pool(counts, group_of), 1, 0)).values()
        return score_values(metric, values, counts, self.classes, group_of if metric.unit == "group" else self.images)


def score_values(
    metric: CountMetric | MaskMetric,
    values: NDArray[np.float64],
    counts: NDArray[np.int64],
    classes: Sequence[str],
    unit_of: Sequence[str],
) -> Score:
    """Return the score of values of units; a metric that skips empty units leaves out the classes that none has.

    Args:
        metric: Whose values these are.
        values: float64 (units, C), in the order of the first image of each.
        counts: int64 (n, 3, C) of images: pixels in both masks, in the first, in the second.
        classes: C names.
        unit_of: (n,) the unit of each image.

    Raises:
        CompetitionError: There is no pixel, and the metric leaves out what is empty.
    """
    present = np.asarray(counts[:, 1:].any(axis=1)) | (not metric.skips)
    if not present.any():
        raise CompetitionError("every mask is empty on both sides, and the metric leaves these out (empty: skip)")
    means, scored = values.mean(axis=0).tolist(), np.asarray(present.any(axis=0)).tolist()
    of_units = measured_means(values, present, metric.class_weights)
    per_unit = dict(zip(dict.fromkeys(unit_of), of_units.tolist(), strict=True))
    return Score(
        metric=metric.name,
        score=measured_mean(values, present, metric.class_weights),
        per_class={name: mean if has else None for name, mean, has in zip(classes, means, scored, strict=True)},
        rows=len(counts) * len(classes),
        per_image=per_unit if metric.is_mean_over_images else {},
        per_unit=per_unit,
    )


def groups_of(images: Sequence[str], needed: bool, label: str, groups: Mapping[str, str]) -> list[str]:
    """Return the group of each image, or its name where it is unknown.

    Raises:
        CompetitionError: The metric of this label pools the images of a group, so they are ``needed``, and one is
            unknown.
    """
    if needed and (unknown := [image for image in images if image not in groups]):
        raise CompetitionError(
            f"{label} pools the images of a group, and the group of {len(unknown)} of {len(images)} "
            f"images is not known ({few(unknown)})",
            repair="Run ./run.sh prepare, which reads the groups",
        )
    return [groups.get(image, image) for image in images]


def count_pixels(ours: NDArray[np.uint8], theirs: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Return the pixels of each class in both label planes (H, W, P) of an image and in each of them, int64 (3, C)."""
    areas = (class_areas(planes, classes) for planes in (ours, theirs))
    return np.stack([intersections(ours, theirs, classes), *areas])


def stack_counts(images: Sequence[str], classes: Sequence[str], counts: Iterable[NDArray[np.int64]]) -> MaskCounts:
    """Stack the counts of each image, int64 (3, C): pixels in both masks, in the first, in the second."""
    both, first, second = np.stack(list(counts), axis=1)
    return MaskCounts(images, classes, both, first, second)


@dataclass(frozen=True)
class MaskDifferences:
    """Two submissions of masks side by side."""

    # one row per (image, class): image, class, only_a, only_b (pixels that only one of the two has), dice
    table: pd.DataFrame

    def by_class(self) -> pd.DataFrame:
        """Return per class, in the track's order: rows that differ, pixels that only one has, and the mean Dice."""
        grouped = self.table.assign(differ=(self.table.only_a + self.table.only_b) > 0).groupby("class", sort=False)
        return grouped.agg(
            rows=("differ", "sum"), only_a=("only_a", "sum"), only_b=("only_b", "sum"), dice=("dice", "mean")
        )

    def figures(self) -> dict[str, Any]:
        """Return rows, rows_that_differ, pixels, dice (the mean over all rows) and per_class."""
        by_class = self.by_class()
        return {
            "rows": len(self.table),
            "rows_that_differ": int(by_class.rows.sum()),
            "pixels": int(self.table.only_a.sum() + self.table.only_b.sum()),
            "dice": float(self.table.dice.mean()),
            "per_class": {str(name): float(value) for name, value in by_class.dice.items()},
        }

    def tables(self) -> list[ComparisonTable]:
        """Return the classes and the rows that agree least; none where the submissions are equal."""
        by_class, columns = self.by_class(), ["only in A", "only in B", "Dice"]
        if not by_class.rows.sum():
            return []
        classes = by_class.reset_index()[["class", "rows", "only_a", "only_b", "dice"]]
        return [
            _least("classes that agree least (pixels)", ["class", "rows that differ", *columns], classes),
            _least("rows that agree least (pixels)", ["image", "class", *columns], self.table),
        ]

    def summary(self) -> str:
        """Return the number of rows and pixels that differ, and the mean Dice."""
        figures = self.figures()
        return (
            f"{figures['rows_that_differ']} of {figures['rows']} rows differ, by {figures['pixels']} pixels; "
            f"Dice of the two {figures['dice']:.6f}"
        )


def compare_counts(counts: MaskCounts) -> MaskDifferences:
    """Return the differences of two sets of masks; the Dice of empty against empty is 1."""
    images, classes = len(counts.images), len(counts.classes)
    columns = {
        "image": np.repeat(np.array(counts.images, dtype=object), classes),
        "class": np.tile(np.array(counts.classes, dtype=object), images),
        "only_a": (counts.first - counts.both).ravel(),
        "only_b": (counts.second - counts.both).ravel(),
        "dice": dice(counts.both, counts.first, counts.second).ravel(),
    }
    return MaskDifferences(pd.DataFrame(columns))


def _least(title: str, columns: list[str], frame: pd.DataFrame) -> ComparisonTable:
    """Return the rows of the smallest Dice."""
    least = frame.sort_values("dice", kind="stable").head(SHOWN)
    return ComparisonTable(title, columns, least.assign(dice=least["dice"].map("{:.4f}".format)).to_numpy().tolist())
