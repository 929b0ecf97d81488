"""Thresholds per class: the exact sweep that decides, its Optuna counterpart, and their cross-fitted worth.

The mean Dice is a sum over classes, so each class is solved alone. A joint study of 29 thresholds with 300 TPE trials
ended below 0.5 everywhere (0.951 against 0.957; the optimum was 0.966).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray

from competition.ensembling.nested import TIE
from competition.ensembling.studies import quiet_study
from competition.errors import CompetitionError

Window = tuple[float, float]

WINDOW: Window = (0.05, 0.95)
HALF = 127  # the cut of threshold 0.5


def threshold_of(cuts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Gives the thresholds (cut + 0.5) / 255 of cuts; 127 is 0.5."""
    return (np.asarray(cuts, dtype=np.float64) + 0.5) / 255.0


def window_cuts(window: Window) -> tuple[int, int]:
    """Gives the lowest and highest cut whose threshold lies in a window.

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
    """Dice curves summed per fold, so that any folds can be left out without touching the images again.

    Attributes:
        sums: Fold -> float64 (C, 256), summed over its images.
        counts: Fold -> number of images.
    """

    sums: dict[int, NDArray[np.float64]]
    counts: dict[int, int]

    @classmethod
    def of(cls, curves: NDArray[np.float64], folds: NDArray[np.integer]) -> "FoldSums":
        """Sums curves (n, C, 256) by fold (n,)."""
        if len(curves) != len(folds) or len(folds) == 0:
            raise ValueError(f"{len(curves)} curves for {len(folds)} images with a fold")
        rows_of = {int(fold): np.flatnonzero(folds == fold) for fold in np.unique(folds)}
        return cls(
            {fold: curves[rows].sum(axis=0) for fold, rows in rows_of.items()},
            {fold: len(rows) for fold, rows in rows_of.items()},
        )

    def mean_without(self, excluded: Collection[int]) -> NDArray[np.float64]:
        """Gives the mean curve (C, 256) over the images of all folds that are not excluded."""
        kept = [fold for fold in self.sums if fold not in excluded]
        total: NDArray[np.float64] = np.sum([self.sums[fold] for fold in kept], axis=0)
        return total / sum(self.counts[fold] for fold in kept)


def best_cuts_of_mean(mean: NDArray[np.float64], window: Window = WINDOW) -> NDArray[np.int64]:
    """Gives each class's best cut on a mean curve.

    Args:
        mean: float64 (C, 256).
        window: Lowest and highest threshold that may be chosen.

    Returns:
        int64 (C,). Of equal cuts the one nearest to 127, and of two equally near ones the lower.
    """
    lowest, highest = window_cuts(window)
    cuts = np.arange(lowest, highest + 1)
    # From the nearest to 127 outwards, so that the first of equals is the wanted one.
    cuts = cuts[np.argsort(np.abs(cuts - HALF), kind="stable")]
    admissible = mean[:, cuts]
    best: NDArray[np.int64] = cuts[np.argmax(admissible >= admissible.max(axis=1, keepdims=True) - TIE, axis=1)]
    return best


def best_cuts(curves: NDArray[np.float64], window: Window = WINDOW) -> NDArray[np.int64]:
    """Gives each class's best cut over images, exactly.

    Args:
        curves: float64 (n, C, 256) of ``dice_curves``.
        window: Lowest and highest threshold that may be chosen.

    Returns:
        int64 (C,): the cut of the highest mean Dice; ties as in ``best_cuts_of_mean``.
    """
    return best_cuts_of_mean(curves.mean(axis=0), window)


def scores_at(curves: NDArray[np.float64], cuts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Reads the Dice of every image and class at given cuts.

    Args:
        curves: float64 (n, C, 256).
        cuts: (C,) for all images, or (n, C).

    Returns:
        float64 (n, C).
    """
    images, classes, _ = curves.shape
    chosen = np.broadcast_to(cuts, (images, classes))
    return curves[np.arange(images)[:, None], np.arange(classes), chosen]


def study_cuts(curves: NDArray[np.float64], trials: int, seed: int, window: Window = WINDOW) -> NDArray[np.int64]:
    """Searches each class's cut with a one-dimensional Optuna study; ``best_cuts`` decides, this is its check.

    Args:
        curves: float64 (n, C, 256).
        trials: Trials per class; 0.5 is tried first. On 40 classes of blurred discs the best of 50 was up to 0.002
            below the optimum, the best of 100 always equal to it.
        seed: Of the sampler.
        window: Lowest and highest threshold that may be chosen.

    Returns:
        int64 (C,).
    """
    lowest, highest = window_cuts(window)
    found = []
    for index, mean in enumerate(curves.mean(axis=0)):
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


def crossfit_cuts(
    curves: NDArray[np.float64], folds: NDArray[np.integer], window: Window = WINDOW
) -> NDArray[np.int64] | None:
    """Gives each image the cuts tuned on all other folds.

    Args:
        curves: float64 (n, C, 256).
        folds: (n,).
        window: Lowest and highest threshold that may be chosen.

    Returns:
        int64 (n, C), or None with fewer than two folds, where nothing can be tuned without the image's own fold.
    """
    sums = FoldSums.of(curves, folds)
    if len(sums.sums) < 2:
        return None
    cuts = np.empty(curves.shape[:2], dtype=np.int64)
    for fold in sums.sums:
        cuts[folds == fold] = best_cuts_of_mean(sums.mean_without({fold}), window)
    return cuts


def crossfit(
    curves: NDArray[np.float64], folds: NDArray[np.integer], window: Window = WINDOW
) -> NDArray[np.float64] | None:
    """Scores each image at the cuts tuned on all other folds.

    Returns:
        Dice float64 (n, C), or None with fewer than two folds.
    """
    cuts = crossfit_cuts(curves, folds, window)
    return None if cuts is None else scores_at(curves, cuts)
