"""Mask metrics: scores that pixel counts alone don't give, and weighted sums of any metrics of masks.

They are too slow for a search over all thresholds and weights. A count metric proposes the best few decisions, of which
``tune`` takes the one that scores best by the mask metric (``ensembling/segmentation/reranking.py``).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from competition.masks.bit_planes import class_areas, intersections, unpack_class
from competition.masks.objects import Objects, components
from competition.metrics.class_weights import ClassWeights, weigh_classes
from competition.metrics.counts import DICE, Bounds, CountMetric, Empty, Tuned, dice_metric, measured_mean
from competition.metrics.objects import average_precision
from competition.metrics.ratios import Ratios, divide
from competition.metrics.surfaces import PIXELS, Spacing, hausdorff_score, surface_dice


@dataclass(frozen=True)
class ImageMasks:
    """The masks of one image, and its objects where a metric asks for them."""

    planes: NDArray[np.uint8]  # label planes (H, W, ceil(C / 8))
    classes: int  # C
    given: Objects | None = None  # the objects; None where they are the connected components

    @cached_property
    def objects(self) -> Objects:
        """Return the objects of all classes."""
        return components(self.planes, self.classes) if self.given is None else self.given


@dataclass(frozen=True)
class ImageMeasure:
    """A score of one image and class."""

    label: str
    # (decided, truth, class) -> the score, 0 to 1; nan where neither has a pixel
    measure: Callable[[ImageMasks, ImageMasks, int], float]
    empty: Empty = 1  # the score in place of nan; "skip" leaves the image out
    of_objects: bool = False  # whether objects are compared, not masks


@dataclass(frozen=True)
class Measured:
    """What a mask metric needs of n images."""

    counts: NDArray[np.int64]  # (n, 3, C): pixels in both, decided pixels, true pixels
    values: NDArray[np.float64]  # (n, measures, C); nan where neither side has a pixel

    def __len__(self) -> int:
        """Return n."""
        return len(self.counts)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Measured":
        """Return some of the images: positions, or a bool mask (n,)."""
        return Measured(self.counts[rows], self.values[rows])


@dataclass(frozen=True)
class MaskMetric:
    """A weighted sum of measures of single images and of count metrics: 1 is best."""

    name: str  # as a track or YAML names it
    label: str  # as tables and messages call it
    parts: tuple[tuple[float, ImageMeasure | CountMetric], ...]
    unit: Literal["image", "group"] = "image"  # of a group the mean of its images counts once
    weights: ClassWeights | None = None
    proposer: CountMetric = field(default=DICE)  # proposes the decisions among which this metric chooses

    tuned: ClassVar[Tuned] = "by re-ranking"

    @property
    def measures(self) -> list[ImageMeasure]:
        """Return those parts that are no count metrics."""
        return [part for _, part in self.parts if isinstance(part, ImageMeasure)]

    @property
    def of_objects(self) -> bool:
        """Return whether the objects of the truth are needed."""
        return any(measure.of_objects for measure in self.measures)

    @property
    def bounds(self) -> Bounds:
        """Return the worst and the best score: weights of a sum may have any sum."""
        return 0, round(sum(weight for weight, _ in self.parts), 9)

    @property
    def title(self) -> str:
        """Return the metric in a few words."""
        return f"mean {self.label}" + (" per group" if self.unit == "group" else "")

    @property
    def key(self) -> str:
        """Return the metric with its options, as a decision records it."""
        parts = (
            part.key if isinstance(part, CountMetric) else f"{part.label}, empty {part.empty}" for part in self._of
        )
        listed = " + ".join(f"{weight:g} * ({part})" for (weight, _), part in zip(self.parts, parts, strict=True))
        weighted = f", {self.weights}" if self.weights else ""
        return f"{listed}, unit {self.unit}{weighted}, proposed by {self.proposer.key}"

    @property
    def _of(self) -> list[ImageMeasure | CountMetric]:
        return [part for _, part in self.parts]

    @property
    def skips(self) -> bool:
        """Return whether a part leaves out units where neither side has a pixel."""
        return any(part.empty == "skip" for part in self._of)

    @property
    def is_mean_over_images(self) -> bool:
        """Return whether the score is the plain mean of every image's own score."""
        units = {self.unit, *(part.unit for part in self._of if isinstance(part, CountMetric))}
        return units == {"image"} and not self.skips

    @property
    def class_weights(self) -> NDArray[np.float64] | None:
        """Return the weight of each class, (C,); None where all count alike."""
        return None if self.weights is None else self.weights.array

    def for_classes(self, classes: Sequence[str]) -> "MaskMetric":
        """Return the metric of a track with these classes, whose weights are in their order."""
        ordered = None if self.weights is None else self.weights.ordered(classes)
        return replace(self, weights=ordered, proposer=self.proposer.for_classes(classes))

    def measure(self, decided: ImageMasks, truth: ImageMasks) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the entries of one image for ``Measured``: counts (3, C) and values (measures, C)."""
        classes = truth.classes
        both = intersections(decided.planes, truth.planes, classes)
        counts = np.stack([both, class_areas(decided.planes, classes), class_areas(truth.planes, classes)])
        values = [[one.measure(decided, truth, index) for index in range(classes)] for one in self.measures]
        return counts, np.array(values, dtype=np.float64).reshape(len(values), classes)

    def values(self, measured: Measured, groups: Sequence[str]) -> NDArray[np.float64]:
        """Return values (units, C) of images or groups whose mean is the score of each class.

        Args:
            measured: Of n images.
            groups: (n,) the group of each image.
        """
        position, total = 0, np.zeros(())
        for weight, part in self.parts:
            if isinstance(part, CountMetric):
                ratios = part.ratios(*np.moveaxis(part.pool(measured.counts, groups), 1, 0))
            else:
                ratios = self._ratios(part, measured.values[:, position], groups)
                position += 1
            total = total + weight * ratios.values()
        return total

    def _ratios(self, part: ImageMeasure, values: NDArray[np.float64], groups: Sequence[str]) -> Ratios:
        """Return the ratios of units of one measure of images (n, C)."""
        nothing = 1.0 if part.empty == "skip" else float(part.empty)
        filled = values if part.empty == "skip" else np.where(np.isnan(values), nothing, values)
        known = ~np.isnan(filled)
        unit_of, units = self.proposer.units(groups)
        sums, counts = np.zeros((len(units), values.shape[1])), np.zeros((len(units), values.shape[1]))
        np.add.at(sums, unit_of, np.where(known, filled, 0.0))
        np.add.at(counts, unit_of, known.astype(np.float64))
        if part.empty != "skip":
            return Ratios(divide(sums, counts, nothing))
        return Ratios(divide(sums, counts, 0.0), (counts > 0).astype(np.float64), nothing)

    def score(self, measured: Measured, groups: Sequence[str]) -> float:
        """Return the mean over units and those classes that occur in the truth of any; nan where none does."""
        pooled = self.proposer.pool(measured.counts, groups)
        return measured_mean(self.values(measured, groups), pooled[:, 2] > 0, self.class_weights)


def measure_all(metric: MaskMetric, images: Iterable[tuple[ImageMasks, ImageMasks]]) -> Measured:
    """Measure pairs of decided and true masks, one image after the other."""
    found = [metric.measure(decided, truth) for decided, truth in images]
    return Measured(np.stack([counts for counts, _ in found]), np.stack([values for _, values in found]))


def single_metric(
    name: str,
    label: str,
    measure: Callable[[ImageMasks, ImageMasks, int], float],
    unit: Literal["image", "group"] = "image",
    empty: Empty = 1,
    weights: Mapping[str, float] | None = None,
    of_objects: bool = False,
) -> MaskMetric:
    """Return the metric of one measure of images, proposed by the mean Dice over the same units.

    Raises:
        ValueError: ``unit`` is "all", over which such a measure can't be pooled, or weights are none.
    """
    if unit not in ("image", "group"):
        raise ValueError(f"{label} is measured image by image, so unit is image or group, not {unit}")
    part = ImageMeasure(label, measure, empty, of_objects)
    return MaskMetric(name, label, ((1.0, part),), unit, weigh_classes(weights), dice_metric(unit, 1, weights))


def hausdorff_metric(
    percentile: float = 100,
    spacing: Spacing = PIXELS,
    unit: Literal["image", "group"] = "image",
    empty: Empty = 1,
    weights: Mapping[str, float] | None = None,
) -> MaskMetric:
    """Return 1 less the Hausdorff distance over the image's diagonal, as of UW-Madison's (Kaggle, 2022), in 2D.

    Raises:
        ValueError: ``percentile`` or ``spacing`` is out of range.
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must be above 0 and at most 100, not {percentile}")
    check_spacing(spacing)

    def measure(decided: ImageMasks, truth: ImageMasks, index: int) -> float:
        one, other = unpack_class(decided.planes, index), unpack_class(truth.planes, index)
        return hausdorff_score(one, other, percentile, spacing)

    label = "Hausdorff" + ("" if percentile == 100 else f" {percentile:g}") + _spacing_text(spacing)
    return single_metric("hausdorff", label, measure, unit, empty, weights)


def surface_dice_metric(
    tolerance: float = 1,
    spacing: Spacing = PIXELS,
    unit: Literal["image", "group"] = "image",
    empty: Empty = 1,
    weights: Mapping[str, float] | None = None,
) -> MaskMetric:
    """Return the share of both outlines within a tolerance of the other, in the unit of the spacing (pixels).

    Raises:
        ValueError: ``tolerance`` or ``spacing`` is out of range.
    """
    if isinstance(tolerance, bool) or not 0 <= tolerance < 1e6:
        raise ValueError(f"tolerance must be at least 0, not {tolerance}")
    check_spacing(spacing)

    def measure(decided: ImageMasks, truth: ImageMasks, index: int) -> float:
        one, other = unpack_class(decided.planes, index), unpack_class(truth.planes, index)
        return surface_dice(one, other, tolerance, spacing)

    label = f"surface Dice at {tolerance:g}{_spacing_text(spacing)}"
    return single_metric("surface_dice", label, measure, unit, empty, weights)


def object_ap_metric(
    unit: Literal["image", "group"] = "image", empty: Empty = 1, weights: Mapping[str, float] | None = None
) -> MaskMetric:
    """Return the average precision of objects over IoU 0.5:0.95, as of the Data Science Bowl (Kaggle, 2018)."""

    def measure(decided: ImageMasks, truth: ImageMasks, index: int) -> float:
        found, true = decided.objects.of_class(index), truth.objects.of_class(index)
        return average_precision(found, true, truth.objects.size_hw)

    return single_metric("object_ap", "object AP", measure, unit, empty, weights, of_objects=True)


def check_spacing(spacing: Spacing) -> None:
    """Raise ValueError unless a spacing is two positive numbers."""
    values = list(spacing) if isinstance(spacing, list | tuple) else []
    if len(values) != 2 or not all(isinstance(value, int | float) and 0 < value < 1e6 for value in values):
        raise ValueError(f"spacing is [rows, columns], the distance of pixel centres in mm, not {spacing!r}")


def _spacing_text(spacing: Spacing) -> str:
    return "" if tuple(spacing) == PIXELS else f" at {spacing[0]:g}x{spacing[1]:g}"
