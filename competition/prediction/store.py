"""The loop that predicts a list of samples and stores the result; every stage that predicts calls it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.background import one_behind, read_ahead
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

    While the network works on a sample the next one is read and the last map is written. Without ``truth`` a sample
    whose map is already in the folder is not predicted again, so an interrupted run continues where it stopped. Memory
    does not grow with the number of samples.

    Args:
        predictor: Networks, and the test-time views of their experiment.
        entries: The samples.
        folder: Receives the maps or scores, and index.json last.
        made_by: What the predictions depend on, for the index.
        title: Of the progress bar.
        truth: Sample -> label planes; where given, every sample is predicted, and the histograms of the maps against it
            are stored too.
        write: Stores a map.
        known: Sample -> scores (C,) of a classification that need not be predicted.
    """
    known = known or {}
    views = predictor.experiment.predict.views
    classes, samples = predictor.track.classes, [entry.sample for entry in entries]
    scores, histograms = dict(known), list[NDArray[np.int64]]()

    def store(sample: str, levels: NDArray[np.uint8]) -> None:
        write(folder, sample, levels)
        if truth is not None:
            histograms.append(image_histogram(levels, truth(sample)))

    of_table = predictor.track.task == "classification"
    missing = [
        entry
        for entry in entries
        if truth is not None or not (entry.sample in known if of_table else map_file(folder, entry.sample).exists())
    ]
    with progress(title, len(entries)) as ticker, one_behind() as run_behind:
        for _ in range(len(entries) - len(missing)):
            ticker.advance()
        for entry, read in read_ahead(predictor.reader.read, missing):
            if of_table:
                scores[entry.sample] = predict_scores(predictor, entry, views, read)
            else:
                run_behind(partial(store, entry.sample, predict_map(predictor, entry, views, read)))
            ticker.advance(entry.sample)
    if of_table and entries:
        write_scores(folder, samples, classes, np.stack([scores[sample] for sample in samples]))
    if histograms:
        save_histograms(histograms_file(folder), samples, np.stack(histograms))
    write_index(folder, MapFolder(classes, tuple(samples), made_by))
