"""What a trained fold says about the very samples it learned from: too good to be true, and only there to show it.

The aneurysm report took its thresholds from such scores. Nothing else of this project does.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from competition.console import progress
from competition.data.folds import Fold
from competition.data.manifest import Entry
from competition.prediction.predictor import make_predictor, predict_scores
from competition.prediction.probability_maps import MapFolder, read_index, read_scores, write_index, write_scores
from competition.tracks.track import Track
from competition.training.checkpoints import load_best, load_network, weights_hash
from competition.training.precision import AUTOCAST
from competition.workspace import Workspace, checkpoint_file, training_scores_folder, whole_folder


def training_scores(
    track: Track, workspace: Workspace, run: str, fold: Fold, training: Sequence[Entry]
) -> NDArray[np.float64]:
    """Predicts what a fold learned from with its best weights, or reads what was predicted before.

    Args:
        track: A classification.
        workspace: Where the prepared images and the run are.
        run: Name of the run.
        fold: A trained fold of it.
        training: The samples it learned from.

    Returns:
        Probabilities (n, C) in the order of ``training``, over the views of the experiment.

    Raises:
        CompetitionError: The fold is not trained.
    """
    folder = workspace.fold_folder(run, fold)
    best = load_best(checkpoint_file(folder))
    kept, samples = training_scores_folder(folder), [entry.sample for entry in training]
    made_by = {"weights": weights_hash(best)}
    index = read_index(kept, "Delete it") if (kept / "index.json").exists() else None
    if index is None or index.made_by != made_by or not set(samples) <= set(index.samples):
        network = load_network(best, track)
        predictor = make_predictor([network], best.experiment, track, workspace, AUTOCAST[best.precision])
        scores = []
        with (
            whole_folder(kept, "index.json") as part,
            progress(f"fold {fold}: what it learned from", len(samples)) as ticker,
        ):
            for entry in training:
                scores.append(predict_scores(predictor, entry, best.experiment.predict.views))
                ticker.advance(entry.sample)
            write_scores(part, samples, track.classes, np.stack(scores))
            write_index(part, MapFolder(track.classes, tuple(samples), made_by))
    return read_scores(kept, samples, track.classes)
