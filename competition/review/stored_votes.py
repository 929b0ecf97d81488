"""The vote of a decision on one image, by stored maps of any samples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.decision import Decision
from competition.ensembling.segmentation.postprocessing import decide_image
from competition.prediction.opened_maps import open_map


def vote_stored(decision: Decision, folders: Sequence[Path], sample: str) -> NDArray[np.uint8]:
    """Return the decision's masks of a sample as label planes (H, W, P), by the maps in each member's folder.

    Raises:
        CompetitionError: A map is missing or damaged.
    """
    voters = decision.voters()
    weights = voters.weights_by_class(decision.class_weights())
    maps = [open_map(folder, sample) for folder in folders]
    return decide_image(maps, voters, weights, decision.level_array(), decision.operation_list())
