"""Scores of single images and classes by any metric of masks, by which pictures are ranked."""

import numpy as np
from numpy.typing import NDArray

from competition.metrics.counts import CountMetric, Empty, checked_counts
from competition.metrics.masks import ImageMasks, MaskMetric, Measured
from competition.metrics.ratios import divide


def image_scores(metric: CountMetric | MaskMetric, measured: Measured) -> NDArray[np.float64]:
    """Return the metric of single images and classes; its unit does not matter here.

    Args:
        metric: Its formula, and its value of empty against empty.
        measured: Of n images; for a count metric without values.

    Returns:
        float64 (n, C); NaN for empty against empty where the metric skips it.
    """
    counts = np.moveaxis(measured.counts, 1, 0)
    position, total = 0, np.zeros(())
    for weight, part in metric.parts if isinstance(metric, MaskMetric) else ((1.0, metric),):
        if isinstance(part, CountMetric):
            values = divide(*part.formula(*checked_counts(*counts)), _of_nothing(part.empty))
        else:
            found = measured.values[:, position]
            values = np.where(np.isnan(found), _of_nothing(part.empty), found)
            position += 1
        total = total + weight * values
    return total


def measure_image(metric: CountMetric | MaskMetric, decided: ImageMasks, truth: ImageMasks) -> Measured:
    """Return what ``image_scores`` needs of one image."""
    counting = metric if isinstance(metric, MaskMetric) else MaskMetric(metric.name, metric.label, ((1.0, metric),))
    counts, values = counting.measure(decided, truth)
    return Measured(counts[None], values[None])


def _of_nothing(empty: Empty) -> float:
    return np.nan if empty == "skip" else float(empty)
