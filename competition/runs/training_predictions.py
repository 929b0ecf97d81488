"""A trained fold's predictions of the very samples it learned from, too good by nature.

The aneurysm report took its thresholds from such scores. Nothing else of this project does.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from competition.data.folds import Fold
from competition.data.manifest import Entry
from competition.files import whole_folder
from competition.prediction.probability_maps import INDEX, index_file, read_index, read_scores
from competition.prediction.store import store_predictions
from competition.tracks.track import Track
from competition.training.checkpoints import load_best, open_predictor, weights_hash
from competition.workspace import Workspace, checkpoint_file, training_scores_folder


def training_scores(
    track: Track, workspace: Workspace, run: str, fold: Fold, training: Sequence[Entry]
) -> NDArray[np.float64]:
    """Return probabilities (n, C) of what a fold learned from, by its best weights, predicted now or before.

    Raises:
        CompetitionError: The fold is not trained.
    """
    folder = workspace.fold_folder(run, fold)
    best = load_best(checkpoint_file(folder))
    kept, samples = training_scores_folder(folder), [entry.sample for entry in training]
    made_by = {"weights": weights_hash(best)}
    index = read_index(kept, "Delete it") if index_file(kept).exists() else None
    if index is None or index.made_by != made_by or not set(samples) <= set(index.samples):
        with whole_folder(kept, INDEX) as part:
            title = f"fold {fold}: what it learned from"
            store_predictions(open_predictor([best], track, workspace), training, part, made_by, title)
    return read_scores(kept, samples, track.classes)
