"""Validation of a fold at native size: ours against the loop of the competition's baseline, without the network.

Both get the same stored logits on a quarter of the grid. The baseline reads PNG and polygons, fills the 29 masks,
enlarges the logits, and takes the Dice of dense floats. Ours reads the cached image and its label planes. The loss that
the baseline computes as well is left out.
"""

from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from competition.data.grid import GridReader
from competition.prediction.predictor import Predictor
from competition.settings import Experiment
from competition.text import size_text
from competition.tracks.hand_bone.track import HAND_BONE
from competition.training.loop import held_out_score
from pipelines.benchmarks import rivals
from pipelines.benchmarks.hand_files import prepared_image, write_raw
from pipelines.benchmarks.synthetic_images import SHARP_PX, draw_probs
from pipelines.benchmarks.timed_pairs import Row, Scale, require_equal, time_pair

FOLD = 160
"""Images that a fold of the competition holds out."""
TIMED = 2
SHRUNK = 4
AGREEMENT = 0.01
"""Of the mean Dice: the baseline enlarges logits, ours enlarges probabilities."""


class Stored(nn.Module):
    """A network that always gives the same logits."""

    def __init__(self, logits: torch.Tensor) -> None:
        """Keep the logits (C, h, w)."""
        super().__init__()
        self.logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return them for every image."""
        return self.logits.expand(len(images), -1, -1, -1)


def measure_validation(scale: Scale, masks: NDArray[np.bool_]) -> list[Row]:
    """Time the validation of a fold."""
    side = scale.size // SHRUNK
    shrunk = [cv2.resize(mask.view(np.uint8) * 255, (side, side), interpolation=cv2.INTER_AREA) > 127 for mask in masks]
    logits = torch.from_numpy(np.stack(list(draw_probs(np.stack(shrunk), SHARP_PX, seed=0)))).logit()
    with prepared_image(masks) as (workspace, entry):
        raw = workspace.root / "raw.png", workspace.root / "raw.json"
        write_raw(*raw, masks)
        reader = GridReader(workspace, HAND_BONE, side, budget_bytes=0, labels=False)
        experiment = Experiment.model_validate({"data": {"size": side}})
        predictor = Predictor((Stored(logits),), experiment, HAND_BONE, reader, torch.device("cpu"), None)
        ours = partial(held_out_score, predictor, workspace, [entry] * TIMED)
        rival = partial(rivals.baseline_score, *raw, logits, TIMED)
        work = f"validation of {FOLD} x {size_text(masks.shape)} at native size"
        require_equal(abs(ours() - rival()) < AGREEMENT, work)
        seconds, theirs = (FOLD / TIMED * each for each in time_pair(ours, rival, min(scale.rounds, 3)))
    note = f"{TIMED} images are timed, without the network and without the baseline's loss"
    return [Row(work, "s", seconds, theirs, target=10, note=note)]
