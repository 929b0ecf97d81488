"""The points of ROC and precision-recall curves, by scikit-learn."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.metrics.tables import auroc


def curve_points(truth: NDArray[np.int64], score: NDArray[np.float64]) -> tuple[pd.DataFrame, float, float]:
    """Return the points of both curves (curve, threshold, x, y), the AUROC and the average precision."""
    # Here, because scikit-learn takes a second to import, and a segmentation does not need it.
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

    false_alarms, caught, thresholds = roc_curve(truth, score)
    precision, recall, cuts = precision_recall_curve(truth, score)
    tables = [
        pd.DataFrame({"curve": "roc", "threshold": thresholds, "x": false_alarms, "y": caught}),
        pd.DataFrame({"curve": "precision-recall", "threshold": [*cuts, np.nan], "x": recall, "y": precision}),
    ]
    return pd.concat(tables, ignore_index=True), auroc(truth, score), float(average_precision_score(truth, score))
