"""How far a value lies from the others, on one scale from 0 to 1 for whatever is measured."""

import numpy as np
from numpy.typing import NDArray

DOUBTFUL = 3.5
"""Modified z of Iglewicz and Hoaglin (1993), above which they call a value an outlier: it gets the score 0.5."""

TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution divided by its median absolute deviation."""

FEWEST = 5
"""Values from which a spread is estimated."""


def middle_and_sigma(values: NDArray[np.float64], smallest_sigma: float) -> tuple[float, float]:
    """Return the median of the values (n,) that are not NaN, and their standard deviation from the median deviation.

    ``smallest_sigma`` is the least deviation that is returned, in the units of the values: without it, values that are
    nearly all equal would make the slightest difference an outlier. Both are NaN for fewer than five values.
    """
    known = values[~np.isnan(values)]
    if len(known) < FEWEST:
        return np.nan, np.nan
    middle = float(np.median(known))
    return middle, max(TO_SIGMA * float(np.median(np.abs(known - middle))), smallest_sigma)


def outlier_score(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return scores from 0 (not beyond the median) to 1: 0.5 at 3.5 deviations, 0.75 at 10.5, and 0 for NaN."""
    beyond = np.maximum(np.nan_to_num(z, nan=0.0), 0)
    return np.asarray(beyond / (beyond + DOUBTFUL))
