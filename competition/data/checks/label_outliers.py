"""Labels that look unlike the others of their class: unusual areas, unusual places, and classes that are missing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.data.checks.aligned_centres import position_outliers
from competition.data.checks.label_maps import LabelMaps
from competition.data.checks.robust_scores import middle_and_sigma, outlier_score
from competition.data.manifest import Entry

SMALLEST_AREA_SIGMA = 0.05
"""Of the logarithm of an area: 5 % more or less is never suspicious."""

ALWAYS_FROM = 0.9
"""Share of the samples that have a class, from which its absence is suspicious; fully so where all others have it."""


@dataclass(frozen=True)
class Suspicion:
    """A label that may be wrong.

    Attributes:
        sample: Key.
        label: Name of the class.
        reason: What is odd about it, in words and figures.
        score: 0 to 1; 0.5 is what one would call an outlier.
    """

    sample: str
    label: str
    reason: str
    score: float


def area_suspicions(entries: Sequence[Entry], classes: Sequence[str], of_objects: bool = False) -> list[Suspicion]:
    """Judge the areas of labelled samples, each class relative to the other classes of its image.

    A large hand has large bones, so the image's own scale (the median over its classes of the log area less the class's
    median) is taken out where there are several classes. The score is that of the modified z of the remainder.

    Args:
        entries: Those without masks are left out.
        classes: Of the track.
        of_objects: Whether to judge the median area of the connected components, where images show a class any number
            of times.
    """
    masks = [entry for entry in entries if entry.areas]
    if not masks:
        return []
    areas = np.array([entry.object_areas if of_objects else entry.areas for entry in masks], dtype=np.float64)
    ratios = _relative_log_areas(masks, areas)
    what = "the median area of its objects, {:,.0f} pixels," if of_objects else "its area of {:,.0f} pixels"
    found = []
    for index, name in enumerate(classes):
        middle, sigma = middle_and_sigma(ratios[:, index], SMALLEST_AREA_SIGMA)
        scores = outlier_score(np.abs(ratios[:, index] - middle) / sigma)
        for entry, area, ratio, score in zip(masks, areas[:, index], ratios[:, index], scores, strict=True):
            if score > 0:
                times = float(np.exp(ratio - middle))
                reason = f"{what.format(area)} is {times:.2f} times the expected one"
                found.append(Suspicion(entry.sample, name, reason, float(score)))
    return found


def _relative_log_areas(masks: Sequence[Entry], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log areas (n, C) less the medians of their classes and of their images; NaN where a class is absent."""
    scale = np.array([entry.height * entry.width for entry in masks], dtype=np.float64)
    shares = np.where(pixels > 0, pixels, np.nan) / scale[:, None]
    seen = ~np.isnan(shares).all(axis=0)
    logs = np.log(shares)
    logs[:, seen] -= np.nanmedian(logs[:, seen], axis=0)
    several = (~np.isnan(logs)).sum(axis=1) > 2
    logs[several] -= np.nanmedian(logs[several], axis=1, keepdims=True)
    return logs


def missing_suspicions(entries: Sequence[Entry], classes: Sequence[str]) -> list[Suspicion]:
    """Judge classes that are absent where nearly all other samples have them: 0 at 90 % of them, 1 at all."""
    masks = [entry for entry in entries if entry.areas]
    if len(masks) < 2:
        return []
    present = np.array([entry.areas for entry in masks]) > 0
    found = []
    for index, name in enumerate(classes):
        for row in np.flatnonzero(~present[:, index]).tolist():
            share = present[:, index].sum() / (len(masks) - 1)
            score = (share - ALWAYS_FROM) / (1 - ALWAYS_FROM)
            if score > 0:
                reason = f"not labelled here, but in {share:.0%} of the other samples"
                found.append(Suspicion(masks[row].sample, name, reason, float(score)))
    return found


def position_suspicions(entries: Sequence[Entry], classes: Sequence[str], maps: LabelMaps) -> list[Suspicion]:
    """Judge the centres of classes relative to the other classes of their image (see ``position_outliers``)."""
    by_sample = {entry.sample: entry for entry in entries}
    sizes = np.array([(by_sample[sample].height, by_sample[sample].width) for sample in maps.samples], dtype=np.float64)
    if not len(sizes):
        return []
    distances, z = position_outliers(maps.centres * (sizes / sizes.max(axis=1, keepdims=True))[:, None])
    scores = outlier_score(z)
    found = []
    for row, index in np.argwhere(scores > 0).tolist():
        pixels = distances[row, index] * sizes[row].max()
        reason = f"its centre is {pixels:.0f} pixels from where {_expected_from(len(classes))} suggest"
        found.append(Suspicion(maps.samples[row], classes[index], reason, float(scores[row, index])))
    return found


def _expected_from(classes: int) -> str:
    return "the other samples" if classes == 1 else "the other classes"
