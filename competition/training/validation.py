"""The score that chooses the best checkpoint: exact, at native size, with the competition's own metric."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from competition.data.cache import read_label_planes
from competition.data.manifest import Entry
from competition.masks.bit_planes import class_areas, intersections, pack_masks
from competition.metrics.counts import dice, measured_mean
from competition.metrics.tables import auroc
from competition.prediction.predictor import Predictor, predict_map, predict_scores
from competition.prediction.probability_maps import CUT_OF_HALF
from competition.workspace import Workspace

# One plain view, because a score every few epochs must not take longer than the training between.
PLAIN = ("identity",)


def held_out_score(predictor: Predictor, workspace: Workspace, held_out: Sequence[Entry]) -> float:
    """Scores a network on the held-out samples.

    Returns:
        Segmentation: mean Dice at threshold 0.5 and native size over images and those classes that the held-out samples
        have, NaN where they have none. Classification: the AUROC of the first class, NaN where the held-out samples are
        all of one kind.
    """
    if predictor.track.task == "classification":
        scores = [predict_scores(predictor, entry, PLAIN)[0] for entry in held_out]
        return auroc(np.array([entry.targets[0] for entry in held_out]), np.array(scores))
    scored = [_class_dice(predictor, workspace, entry) for entry in held_out]
    return measured_mean(np.stack([scores for scores, _ in scored]), np.stack([present for _, present in scored]))


def _class_dice(
    predictor: Predictor, workspace: Workspace, entry: Entry
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Returns the Dice of every class of one image, and whether its truth has the class."""
    classes = len(predictor.track.classes)
    predicted = pack_masks(predict_map(predictor, entry, PLAIN) > CUT_OF_HALF)
    truth = read_label_planes(workspace, predictor.track, entry.sample)
    overlap, areas = intersections(predicted, truth, classes), class_areas(truth, classes)
    return dice(overlap, class_areas(predicted, classes), areas), areas > 0
