"""Whether tuned thresholds are used at all: only where their gain over 0.5 shows on folds that they never saw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.segmentation.thresholds import HALF, FoldSums, Window, best_cuts_of_mean
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.selection.bootstrap import gain_with_error
from competition.ensembling.selection.crossfitting import Choice, Excluded, choose, first_best
from competition.metrics.ratios import Ratios


@dataclass(frozen=True)
class ChosenCuts:
    """The cuts of all classes.

    Attributes:
        cuts: int64 (C,) that apply: ``shrunk``, or 127 for every class.
        raw: int64 (C,), the best of the sweep.
        shrunk: int64 (C,), ``raw`` drawn to 0.5 where few people speak for it.
        choice: Candidate 0 is 0.5, candidate 1 ``shrunk``.
    """

    cuts: NDArray[np.int64]
    raw: NDArray[np.int64]
    shrunk: NDArray[np.int64]
    choice: Choice

    @property
    def reason(self) -> str:
        """Return why these, for people."""
        return f"thresholds: {'tuned ones taken' if self.choice.index else '0.5 kept'} ({self.choice.reason})"


def choose_cuts(curves: Ratios, images: TuningImages, window: Window, excluded: Excluded = frozenset()) -> ChosenCuts:
    """Choose between tuned cuts and 0.5, for all classes together.

    Args:
        curves: (n, C, 256).
        images: What they are of.
        window: Lowest and highest threshold that may be chosen.
        excluded: At most one fold, which the choice must not see.

    Returns:
        Tuned cuts where their cross-fitted gain over 0.5 exceeds one standard error, otherwise 0.5.
    """
    sums = FoldSums.of(curves, images)
    remaining = [fold for fold in images.names if fold not in excluded]

    def better(without: Excluded) -> int:
        mean = sums.mean_without(without)
        tuned = np.take_along_axis(mean, sums.cuts_without(without, window)[:, None], axis=1).mean()
        return first_best(np.array([mean[:, HALF].mean(), tuned]))

    def gain(_: Excluded, chosen: dict[int, int]) -> tuple[float, float]:
        cuts = np.full(curves.numerators.shape[:2], HALF)
        for fold in (fold for fold, index in chosen.items() if index):
            cuts[images.folds == fold] = sums.cuts_without(excluded | {fold}, window)
        kept = np.isin(images.folds, remaining)
        tuned, plain = curves.at(cuts).take(kept), curves.at(HALF).take(kept)
        differences = (tuned.values() - plain.values()).mean(axis=1)
        return gain_with_error(differences, np.asarray(images.groups)[kept].tolist())

    others = [excluded | {fold} for fold in remaining] if len(remaining) > 1 else []
    choice = choose({without: better(without) for without in [excluded, *others]}, gain, images.names, excluded)
    raw, shrunk = best_cuts_of_mean(sums.mean_without(excluded), window), sums.cuts_without(excluded, window)
    return ChosenCuts(shrunk if choice.index else np.full_like(shrunk, HALF), raw, shrunk, choice)


def crossfit_cuts(curves: Ratios, images: TuningImages, window: Window) -> NDArray[np.int64] | None:
    """Return each image the cuts that are chosen without its own fold.

    Args:
        curves: (n, C, 256).
        images: What they are of.
        window: Lowest and highest threshold that may be chosen.

    Returns:
        int64 (n, C), or None with fewer than two folds, where nothing can be tuned without the image's own fold.
    """
    if len(images.names) < 2:
        return None
    cuts = np.empty(curves.numerators.shape[:2], dtype=np.int64)
    for fold in images.names:
        cuts[images.folds == fold] = choose_cuts(curves, images, window, frozenset({fold})).cuts
    return cuts
