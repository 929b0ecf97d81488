"""The loop that predicts a list of samples and stores the result; every stage that predicts calls it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.console import progress
from competition.data.manifest import Entry
from competition.prediction.histograms import histograms_file, image_histogram, save_histograms
from competition.prediction.predictor import Predictor, predict_map, predict_scores
from competition.prediction.probability_maps import MapFolder, map_file, write_index, write_map, write_scores

WriteMap = Callable[[Path, str, NDArray[np.uint8]], None]
"""(folder, sample, probability map uint8 (C, H, W)) -> None."""


def store_predictions(
    predictor: Predictor,
    entries: Sequence[Entry],
    folder: Path,
    made_by: dict[str, Any],
    title: str,
    truth: Callable[[str], NDArray[np.uint8]] | None = None,
    write: WriteMap = write_map,
    known: Mapping[str, NDArray[np.float64]] | None = None,
) -> None:
    """Predict samples one at a time and store maps, or a table of scores for classification.

    A sample whose map is already in the folder is not predicted again, so an interrupted run continues where it
    stopped. Memory does not grow with the number of samples.

    Args:
        predictor: Networks, and the test-time views of their experiment.
        entries: The samples.
        folder: Receives the maps or scores, and index.json last.
        made_by: What the predictions depend on, for the index.
        title: Of the progress bar.
        truth: Sample -> label planes; where given, the histograms of the maps against it are stored too.
        write: Stores a map.
        known: Sample -> scores (C,) of a classification that need not be predicted.
    """
    known = known or {}
    views = predictor.experiment.predict.views
    classes, samples = predictor.track.classes, [entry.sample for entry in entries]
    scores, histograms = [], []
    with progress(title, len(entries)) as ticker:
        for entry in entries:
            if predictor.track.task == "classification":
                said = known.get(entry.sample)
                scores.append(predict_scores(predictor, entry, views) if said is None else said)
            elif not map_file(folder, entry.sample).exists():
                levels = predict_map(predictor, entry, views)
                write(folder, entry.sample, levels)
                if truth is not None:
                    histograms.append(image_histogram(levels, truth(entry.sample)))
            ticker.advance(entry.sample)
    if scores:
        write_scores(folder, samples, classes, np.stack(scores))
    if histograms:
        save_histograms(histograms_file(folder), samples, np.stack(histograms))
    write_index(folder, MapFolder(classes, tuple(samples), made_by))
