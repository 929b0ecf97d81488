"""Areas under curves of many selections of the same rows at once, for a bootstrap that takes thousands of them."""

import numpy as np
from numpy.typing import NDArray


def weighted_aurocs(
    truth: NDArray[np.integer], score: NDArray[np.floating], times: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Compute the AUROC of many selections of the same rows at once.

    It is ``metrics.auroc`` of the rows repeated ``times``, sorted once instead of once per selection: for 200 draws of
    1,127 patients 6 ms against 317 ms.

    Args:
        truth: 0/1 (n,).
        score: (n,), higher means more likely positive.
        times: (selections, n) how often each row is taken.

    Returns:
        float64 (selections,); nan where a selection holds one class only.
    """
    order = np.argsort(score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) > 0, True))  # last row of each run of equal scores
    positive = np.asarray(truth)[order].astype(bool)
    taken = times[:, order]
    # Whole numbers up to here, so only the last division rounds.
    positives = np.diff(np.cumsum(taken * positive, axis=1)[:, ends], axis=1, prepend=0)
    negatives_up_to = np.cumsum(taken * ~positive, axis=1)[:, ends]
    negatives = np.diff(negatives_up_to, axis=1, prepend=0)
    doubled = np.sum(positives * (2 * negatives_up_to - negatives), axis=1)  # pairs won twice, ties once
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return np.where(pairs > 0, doubled / (2.0 * np.maximum(pairs, 1)), np.nan)


def weighted_average_precisions(
    truth: NDArray[np.integer], score: NDArray[np.floating], times: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Compute the average precision of many selections of the same rows at once.

    It is the sum over distinct scores, the highest first, of the gained recall times the precision down to it: that of
    scikit-learn, without interpolation. Arguments as for ``weighted_aurocs``.

    Returns:
        float64 (selections,); nan where a selection holds no positive row.
    """
    order = np.argsort(-np.asarray(score, dtype=np.float64), kind="stable")
    ends = np.flatnonzero(np.append(np.diff(np.asarray(score)[order]) < 0, True))
    taken = times[:, order]
    called = np.cumsum(taken, axis=1)[:, ends]
    caught = np.cumsum(taken * np.asarray(truth)[order].astype(bool), axis=1)[:, ends]
    positives = caught[:, -1]
    areas = np.sum(np.diff(caught, axis=1, prepend=0) * caught / np.maximum(called, 1), axis=1)
    return np.where(positives > 0, areas / np.maximum(positives, 1), np.nan)
