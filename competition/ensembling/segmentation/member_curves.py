"""From member weights to scores at every threshold, by the fastest way that is exact for the weights in question.

In all functions ``parts`` (n,) are what choices are cross-fitted over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import Ticker, say
from competition.ensembling.segmentation.contested import (
    CONTESTED_LIMIT,
    check_contested_share,
    contest_all,
    contested_curves,
)
from competition.ensembling.segmentation.out_of_fold import TuningMaps
from competition.ensembling.segmentation.thresholds import Window
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.segmentation.weight_search import Evaluate
from competition.ensembling.voting.blend import WHOLE, round_weights
from competition.ensembling.voting.class_votes import blend
from competition.metrics.ratios import Ratios
from competition.prediction.histograms import image_histogram, threshold_counts


@dataclass(frozen=True)
class MemberCurves:
    """How weights become scores at every threshold."""

    evaluate: Evaluate  # weights and units -> curves
    images: TuningImages  # facts about the units of the metric: the images, or the groups whose images it pools
    window: Window  # thresholds between which the curves are valid
    contested: float | None  # share of contested pixels between them; None where it does not matter


def curves_of_one(data: TuningMaps, parts: NDArray[np.int64], window: Window) -> MemberCurves:
    """Return the curves of a single member, from the histograms that its training stored.

    Raises:
        CompetitionError: No member predicts some class, or an image has no histogram.
    """
    histograms = data.histograms()
    curves = _curves(data, histograms)
    return MemberCurves(lambda _, units: curves.take(units), _units(data, parts, _present(histograms)), window, None)


def curves_of_given(
    data: TuningMaps, parts: NDArray[np.int64], window: Window, given: Sequence[int], ticker: Ticker
) -> MemberCurves:
    """Return the curves of given weights, of equal ones and of each member alone, and of no others.

    Each of them is blended once per image, which is exact at all thresholds, however many pixels are contested.

    Raises:
        CompetitionError: A map is missing or damaged.
    """
    voters, equal = data.voters(), round_weights(np.ones(len(given)))
    alone = WHOLE * np.eye(len(given), dtype=np.int64)
    counted: dict[tuple[int, ...], list[NDArray[np.int64]]] = {
        tuple(row): [] for row in [list(given), equal.tolist(), *alone.tolist()]
    }
    for sample in data.samples:
        maps, truth = data.open_maps(sample), data.truth(sample)
        for weights, found in counted.items():
            found.append(image_histogram(blend(maps, weights, voters), truth))
        ticker.advance(sample)
    curves = {weights: _curves(data, np.stack(found)) for weights, found in counted.items()}

    def evaluate(weights: NDArray[np.int64], units: NDArray[np.int64]) -> Ratios:
        return curves[tuple(weights[0].tolist())].take(units)

    return MemberCurves(evaluate, _units(data, parts, _present(np.stack(counted[tuple(given)]))), window, None)


def curves_of_any(
    data: TuningMaps, parts: NDArray[np.int64], windows: Sequence[Window], folder: Path | None, ticker: Ticker
) -> MemberCurves:
    """Return the curves of any weights, from the pixels that they can still decide.

    Where too many pixels are contested in a window, the next one is tried. The contested pixels of each image are kept
    in ``folder``, or in memory.

    Raises:
        CompetitionError: A map is missing or damaged, or too many pixels are contested in the last window.
    """
    voters = data.voters()
    for window, narrower in zip_longest(windows, windows[1:]):
        kept = contest_all(data, window, folder, ticker)
        if kept.share <= CONTESTED_LIMIT or narrower is None:
            break
        span = f"{narrower[0]} to {narrower[1]}" if narrower[0] < narrower[1] else f"{narrower[0]} alone"
        say(
            f"the members' weights decide {kept.share:.1%} of the pixels at thresholds {window[0]} to {window[1]}, "
            f"more than the {CONTESTED_LIMIT:.0%} that are kept: trying {span}"
        )
        ticker.extend(len(kept.images))
    looked_at = "" if len(kept.images) == len(data.samples) else f" ({len(kept.images)} were looked at)"
    where = f"{len(data.names)} members on {len(data.samples)} images{looked_at}"
    check_contested_share(kept.share, window, where, data.names)
    if kept.made < len(kept.images):
        say(f"using cached contested pixels of {len(kept.images) - kept.made} of {len(kept.images)} images")

    unit_of, first = data.metric.units(data.groups)
    images_of = [[kept.images[image] for image in np.flatnonzero(unit_of == unit)] for unit in range(len(first))]

    def evaluate(weights: NDArray[np.int64], units: NDArray[np.int64]) -> Ratios:
        by_class = voters.weights_by_class(weights)
        return contested_curves([images_of[unit] for unit in units], by_class, data.metric)

    return MemberCurves(evaluate, _units(data, parts, kept.present), window, kept.share)


def _curves(data: TuningMaps, histograms: NDArray[np.int64]) -> Ratios:
    """Return the scores of the units of images with histograms (n, C, 2, 256)."""
    return data.metric.ratios(*threshold_counts(data.metric.pool(histograms, data.groups)))


def _present(histograms: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(histograms[:, :, 1].sum(axis=2) > 0)


def _units(data: TuningMaps, parts: NDArray[np.int64], present: NDArray[np.bool_]) -> TuningImages:
    """Return facts about the units of images whose truth has some classes, bool (n, C)."""
    _, first = data.metric.units(data.groups)
    pooled = data.metric.pool(present.astype(np.int64), data.groups) > 0
    return TuningImages(parts[first], [data.groups[image] for image in first], pooled, data.metric.class_weights)
