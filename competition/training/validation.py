"""The score that chooses the best checkpoint: exact, at native size, by the competition's own metric."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from competition.data.cache import read_label_planes
from competition.data.manifest import Entry
from competition.masks.bit_planes import class_areas, intersections, pack_masks
from competition.metrics.tables import TableMetric
from competition.prediction.predictor import Predictor, predict_map, predict_scores
from competition.prediction.probability_maps import HALF_LEVEL
from competition.workspace import Workspace

# One plain view, because a score every few epochs must not take longer than the training between.
PLAIN = ("identity",)


def held_out_score(predictor: Predictor, workspace: Workspace, held_out: Sequence[Entry]) -> float:
    """Return a network's score on held-out samples.

    Segmentation: the count metric at threshold 0.5 and native size over those classes that the samples have.
    Classification: the table metric of the first class. NaN where it is undefined.
    """
    metric = predictor.track.metric
    if isinstance(metric, TableMetric):
        scores = [predict_scores(predictor, entry, PLAIN)[0] for entry in held_out]
        return metric.score(np.array([entry.targets[0] for entry in held_out]), np.array(scores))
    counts = np.stack([_counts(predictor, workspace, entry) for entry in held_out])
    return metric.score(counts, [entry.group for entry in held_out])


def _counts(predictor: Predictor, workspace: Workspace, entry: Entry) -> NDArray[np.int64]:
    """Return the pixels of one image in both, predicted and true: (3, C)."""
    classes = len(predictor.track.classes)
    predicted = pack_masks(predict_map(predictor, entry, PLAIN) > HALF_LEVEL)
    truth = read_label_planes(workspace, predictor.track, entry.sample)
    overlap = intersections(predicted, truth, classes)
    return np.stack([overlap, class_areas(predicted, classes), class_areas(truth, classes)])
