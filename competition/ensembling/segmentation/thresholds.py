"""Thresholds per class: the exact sweep that decides, its Optuna counterpart, and the pull to 0.5 where data is thin.

The mean Dice is a sum over classes, so each class is solved alone. A joint study of 29 thresholds with 300 TPE trials
ended below 0.5 everywhere (0.951 against 0.957; the optimum was 0.966).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache

import numpy as np
import optuna
from numpy.typing import NDArray

from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.selection.crossfitting import TIE
from competition.ensembling.selection.optuna_study import quiet_study
from competition.errors import CompetitionError
from competition.metrics.ratios import Ratios, divide

Window = tuple[float, float]

WINDOW: Window = (0.05, 0.95)
HALF = 127  # the cut of threshold 0.5

# A threshold tuned on n people is believed n / (n + 4). Measured on discs whose maps are too large or too small by
# about 0 to 1 pixel for a whole class and by 0.5 to 2 pixels for a person (12 mixtures, 400 draws each, two images a
# person): mean Dice lost on new people against the best threshold, in 1e-4, for this constant at 0 (never pulled), 1,
# 2, 4, 8, 16 and for 0.5 itself: 2 people 290, 137, 105, 94, 99, 108, 126; 8 people 89, 71, 63, 57, 61, 75, 126;
# 32 people 25, 24, 23, 23, 24, 31, 126; 150 people 7, 7, 7, 7, 7, 8, 126. So 4 was best throughout.
SHRINK_PEOPLE = 4


def threshold_of(cuts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the thresholds (cut + 0.5) / 255 of cuts; 127 is 0.5."""
    return (np.asarray(cuts, dtype=np.float64) + 0.5) / 255.0


def window_cuts(window: Window) -> tuple[int, int]:
    """Return the lowest and highest cut whose threshold lies in a window.

    Args:
        window: Lowest and highest threshold, within 0..1.

    Raises:
        CompetitionError: No cut lies in it.
    """
    low, high = window
    inside = np.flatnonzero((threshold_of(np.arange(255)) >= low) & (threshold_of(np.arange(255)) <= high))
    if len(inside) == 0:
        raise CompetitionError(
            "no threshold between", f"{low} and {high}", "Give the lower end first, both within 0 and 1: 0.2:0.8"
        )
    return int(inside[0]), int(inside[-1])


@dataclass(frozen=True)
class FoldSums:
    """Curves summed per fold, so that any folds can be left out without touching the images again.

    Attributes:
        sums: Fold -> sums of numerators float64 (C, 256) and of denominators over its images.
        images: What the curves are of.
        nothing: The score where the denominators sum to 0.
    """

    sums: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]
    images: TuningImages
    nothing: float

    @classmethod
    def of(cls, curves: Ratios, images: TuningImages) -> "FoldSums":
        """Return the sums of curves (n, C, 256) by fold."""
        if len(curves) != len(images.folds) or len(curves) == 0:
            raise ValueError(f"{len(curves)} curves for {len(images.folds)} images with a fold")
        sums = {fold: curves.take(images.folds == fold).sums() for fold in images.names}
        return cls(sums, images, curves.nothing)

    def mean_without(self, excluded: Collection[int]) -> NDArray[np.float64]:
        """Return the score (C, 256) on the images of all folds that are not excluded."""
        kept = [self.sums[fold] for fold in self.sums if fold not in excluded]
        numerators = np.sum([numerator for numerator, _ in kept], axis=0)
        return divide(numerators, np.sum([denominator for _, denominator in kept], axis=0), self.nothing)

    def cuts_without(self, excluded: Collection[int], window: Window) -> NDArray[np.int64]:
        """Return each class's best cut (C,) on all folds that are not excluded, shrunk as its people there allow."""
        best = best_cuts_of_mean(self.mean_without(excluded), window)
        return shrink_cuts(best, self.images.people_without(excluded))


def shrink_cuts(cuts: NDArray[np.integer], people: NDArray[np.integer]) -> NDArray[np.int64]:
    """Draw tuned cuts to 0.5 where few people speak for them: by n / (n + 4) of the way from 0.5.

    It is what the mean of a normal prior around 0.5 does to an estimate (Gelman et al., Bayesian Data Analysis, ch. 2),
    with a prior that is worth 4 people.

    Args:
        cuts: (C,) of ``best_cuts_of_mean``.
        people: (C,), in whose truth the class occurs among the images that the cuts were tuned on.

    Returns:
        int64 (C,), whole cuts; halves are rounded to 0.5.
    """
    distance = np.asarray(cuts, dtype=np.int64) - HALF
    kept = np.abs(distance) * people / (people + SHRINK_PEOPLE)
    shrunk: NDArray[np.int64] = HALF + np.sign(distance) * np.ceil(kept - 0.5).astype(np.int64)
    return shrunk


def best_cuts_of_mean(mean: NDArray[np.float64], window: Window = WINDOW) -> NDArray[np.int64]:
    """Return each class's best cut on a mean curve.

    Args:
        mean: float64 (C, 256).
        window: Lowest and highest threshold that may be chosen.

    Returns:
        int64 (C,). Of equal cuts the one nearest to 127, and of two equally near ones the lower.
    """
    cuts = _outwards(window)
    admissible = mean[:, cuts]
    best: NDArray[np.int64] = cuts[np.argmax(admissible >= admissible.max(axis=1, keepdims=True) - TIE, axis=1)]
    return best


@cache
def _outwards(window: Window) -> NDArray[np.int64]:
    """Return the cuts of a window from the nearest to 127 outwards, so that the first of equals is the wanted one."""
    lowest, highest = window_cuts(window)
    cuts = np.arange(lowest, highest + 1)
    return cuts[np.argsort(np.abs(cuts - HALF), kind="stable")]


def best_cuts(curves: Ratios, window: Window = WINDOW) -> NDArray[np.int64]:
    """Return each class's best cut over images, exactly.

    Args:
        curves: (n, C, 256).
        window: Lowest and highest threshold that may be chosen.

    Returns:
        int64 (C,): the cut of the highest score; ties as in ``best_cuts_of_mean``.
    """
    return best_cuts_of_mean(curves.scores(), window)


def study_cuts(curves: Ratios, trials: int, seed: int, window: Window = WINDOW) -> NDArray[np.int64]:
    """Search each class's cut with a one-dimensional Optuna study; ``best_cuts`` decides, this is its check.

    Args:
        curves: (n, C, 256).
        trials: Trials per class; 0.5 is tried first. On 40 classes of blurred discs the best of 50 was up to 0.002
            below the optimum, the best of 100 always equal to it.
        seed: Of the sampler.
        window: Lowest and highest threshold that may be chosen.

    Returns:
        int64 (C,).
    """
    lowest, highest = window_cuts(window)
    found = []
    for index, mean in enumerate(curves.scores()):
        # One dimension and one worker: neither option would change anything, but their defaults did in Optuna 5.
        sampler = optuna.samplers.TPESampler(seed=seed + index, multivariate=False, constant_liar=False)
        study = quiet_study(sampler)
        if lowest <= HALF <= highest:
            study.enqueue_trial({"cut": HALF})
        study.optimize(_cut_objective(mean, lowest, highest), n_trials=trials)
        found.append(int(study.best_params["cut"]))
    return np.array(found, dtype=np.int64)


def _cut_objective(mean: NDArray[np.float64], lowest: int, highest: int) -> Callable[[optuna.Trial], float]:
    def objective(trial: optuna.Trial) -> float:
        return float(mean[trial.suggest_int("cut", lowest, highest)])

    return objective
