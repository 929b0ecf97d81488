"""Thresholds per class: the exact sweep, its Optuna counterpart, and the pull to 0.5 where data is scarce.

A level is a threshold in map values 0..254: a pixel is positive where its value is greater. The mean score is a sum
over classes, so each class is solved alone. A joint study of 29 thresholds with 300 TPE trials ended below 0.5
everywhere (0.951 against 0.957; the optimum was 0.966).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache

import numpy as np
import optuna
from numpy.typing import NDArray

from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.selection.crossfitting import TIE
from competition.ensembling.selection.weight_methods import quiet_study
from competition.errors import CompetitionError
from competition.metrics.ratios import Ratios, divide
from competition.prediction.probability_maps import HALF_LEVEL, threshold_of

Window = tuple[float, float]
"""Lowest and highest threshold that may be chosen, within 0..1."""

WINDOW: Window = (0.05, 0.95)

FindLevels = Callable[[NDArray[np.float64], Window], NDArray[np.int64]]
"""Mean curves (C, 256) and a window -> each class's best level (C,)."""

# A threshold tuned on n groups is moved n / (n + 4) of the way from 0.5. Measured on discs whose maps are too large or
# too small by about 0 to 1 pixel for a whole class and by 0.5 to 2 pixels for a group (12 mixtures, 400 draws each, two
# images a group): mean Dice lost on new groups against the best threshold, in 1e-4, for this constant at 0 (never
# pulled), 1, 2, 4, 8, 16 and for 0.5 itself: 2 groups 290, 137, 105, 94, 99, 108, 126; 8 groups 89, 71, 63, 57, 61, 75,
# 126; 32 groups 25, 24, 23, 23, 24, 31, 126; 150 groups 7, 7, 7, 7, 7, 8, 126. So 4 was best throughout.
SHRINK_GROUPS = 4

# Of each class's study. On 40 classes of blurred discs the best of 50 was up to 0.002 below the optimum, the best of
# 100 always equal to it.
STUDY_TRIALS = 100


def window_levels(window: Window) -> tuple[int, int]:
    """Return the lowest and highest level whose threshold lies in a window.

    Raises:
        CompetitionError: No level lies in it.
    """
    low, high = window
    inside = np.flatnonzero((threshold_of(np.arange(255)) >= low) & (threshold_of(np.arange(255)) <= high))
    if len(inside) == 0:
        raise CompetitionError(
            "no threshold between", f"{low} and {high}", "Give the lower end first, both within 0 and 1: 0.2:0.8"
        )
    return int(inside[0]), int(inside[-1])


def best_levels(mean: NDArray[np.float64], window: Window = WINDOW) -> NDArray[np.int64]:
    """Return each class's best level (C,) on mean curves (C, 256), by an exact sweep.

    Of equal levels the one nearest to 127 is taken, and of two equally near ones the lower.
    """
    levels = _outwards(window)
    admissible = mean[:, levels]
    best: NDArray[np.int64] = levels[np.argmax(admissible >= admissible.max(axis=1, keepdims=True) - TIE, axis=1)]
    return best


@cache
def _outwards(window: Window) -> NDArray[np.int64]:
    """Return the levels of a window from the nearest to 127 outwards, so that the first of equals is the wanted one."""
    lowest, highest = window_levels(window)
    levels = np.arange(lowest, highest + 1)
    return levels[np.argsort(np.abs(levels - HALF_LEVEL), kind="stable")]


def study_levels(
    mean: NDArray[np.float64], window: Window = WINDOW, trials: int = STUDY_TRIALS, seed: int = 0
) -> NDArray[np.int64]:
    """Search each class's best level (C,) on mean curves (C, 256) with a one-dimensional Optuna study; 0.5 is first."""
    lowest, highest = window_levels(window)
    found = []
    for index, curve in enumerate(mean):
        # One dimension and one worker: neither option would change anything, but their defaults did in Optuna 5.
        study = quiet_study(optuna.samplers.TPESampler(seed=seed + index, multivariate=False, constant_liar=False))
        if lowest <= HALF_LEVEL <= highest:
            study.enqueue_trial({"level": HALF_LEVEL})

        def score(trial: optuna.Trial, curve: NDArray[np.float64] = curve) -> float:
            return float(curve[trial.suggest_int("level", lowest, highest)])

        study.optimize(score, n_trials=trials)
        found.append(int(study.best_params["level"]))
    return np.array(found, dtype=np.int64)


THRESHOLDS: dict[str, FindLevels] = {"sweep": best_levels, "optuna": study_levels}
"""How each class's best level is found."""


@dataclass(frozen=True)
class FoldSums:
    """Curves summed per fold, so that any folds can be left out without touching the images again."""

    # Fold -> sums of numerators (C, 256) and of denominators over its images.
    sums: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]
    images: TuningImages  # what the curves are of
    nothing: float  # the score where the denominators sum to 0

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

    def levels_without(self, excluded: Collection[int], window: Window) -> NDArray[np.int64]:
        """Return each class's best level (C,) on all folds that are not excluded, shrunk as its groups there allow."""
        return shrink_levels(best_levels(self.mean_without(excluded), window), self.images.groups_without(excluded))


def shrink_levels(levels: NDArray[np.integer], groups: NDArray[np.integer]) -> NDArray[np.int64]:
    """Pull tuned levels to 0.5 where few groups support them: to n / (n + 4) of the distance from it.

    It is what the mean of a normal prior around 0.5 does to an estimate (Gelman et al., Bayesian Data Analysis, ch. 2),
    with a prior that counts as 4 groups. ``groups`` (C,) have the class in their truth, among the images that the
    levels (C,) were tuned on. Halves of levels are rounded towards 127.
    """
    distance = np.asarray(levels, dtype=np.int64) - HALF_LEVEL
    kept = np.abs(distance) * groups / (groups + SHRINK_GROUPS)
    shrunk: NDArray[np.int64] = HALF_LEVEL + np.sign(distance) * np.ceil(kept - 0.5).astype(np.int64)
    return shrunk
