"""Means by stratum, and means re-weighted to another mix of strata."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike


def mean_by_stratum(values: ArrayLike, strata: Sequence[str]) -> dict[str, float]:
    """Return the mean score of the images of each stratum, in alphabetical order.

    Raises:
        ValueError: Not one stratum per value.
    """
    scores, names = np.asarray(values, dtype=np.float64), np.asarray(strata)
    if scores.shape != names.shape:
        raise ValueError(f"{scores.size} values of {names.size} strata")
    return {str(name): float(scores[names == name].mean()) for name in np.unique(names)}


def reweighted_mean(values: ArrayLike, strata: Sequence[str], mix: Mapping[str, float]) -> float | None:
    """Return the mean if the strata had other shares: the sum over strata of share * mean of the stratum.

    (Post-stratification: Cochran, Sampling Techniques, ch. 5A.9.)

    Args:
        values: (n,) one score per image.
        strata: (n,) the stratum of each image; unknown strata, and those outside the mix, do not count.
        mix: Stratum -> its share where the score is to hold; the shares sum to 1.

    Returns:
        The mean, or None where a stratum of the mix has no image here.
    """
    means = mean_by_stratum(values, strata)
    if not set(mix) <= set(means):
        return None
    return float(sum(share * means[name] for name, share in mix.items()))
