"""Tables as answers of the race: a CSV of probabilities for each fold, scored by the track's metric."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.data.folds import Fold
from competition.data.manifest import Entry, target_matrix
from competition.ensembling.selection.bootstrap import Statistic, table_figure
from competition.errors import CompetitionError
from competition.metrics.tables import TableMetric
from competition.prediction.probability_maps import read_scores
from competition.runs.run import Run
from competition.settings import Experiment
from competition.workspace import Workspace, out_of_fold_folder
from pipelines.benchmarks.race_answers import Answers


class TableAnswers(Answers):
    """A probability of each class of each held-out sample: OUT/fold{fold}.csv, with the columns key and the classes."""

    rivals: ClassVar[Mapping[str, str]] = {
        "notebook": "pipelines.benchmarks.plain_table_notebook",
        "forest": "pipelines.benchmarks.colour_forest",
    }

    @property
    def metric(self) -> str:
        """Return the name of the track's metric."""
        return self._metric.title

    @property
    def _metric(self) -> TableMetric:
        assert isinstance(self.track.metric, TableMetric)
        return self.track.metric

    def write_truth(self, workspace: Workspace, entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
        """Return the targets, 0 or 1 of each class; TASK.json holds them all, so there is nothing to write."""
        return {entry.sample: {"targets": list(entry.targets or ())} for entry in entries}

    def network(self, experiment: Experiment) -> dict[str, Any]:
        """Return what people take for small pictures without pretrained weights; ours counts, which is our own idea."""
        return {"encoder": "resnet18"}

    def write_ours(self, run: Run, fold: Fold, out: Path) -> None:
        """Write the probabilities of a fold."""
        samples, classes = [entry.sample for entry in run.held_out(fold)], list(self.track.classes)
        probs = read_scores(out_of_fold_folder(run.folder(fold)), samples, classes)
        pd.DataFrame(probs, pd.Index(samples, name="key"), classes).to_csv(out / f"fold{fold}.csv")

    def statistic(self, entries: Sequence[Entry], out: Path) -> Statistic:
        """Return the metric of the samples of all folds, pooled."""
        probs = read_probabilities(out, [entry.sample for entry in entries], self.track.classes)
        return table_figure(self._metric, target_matrix(entries), self._metric.plain(probs))


def read_probabilities(folder: Path, samples: Sequence[str], classes: Sequence[str]) -> NDArray[np.float64]:
    """Return the probabilities (n, C) in the CSV files of a folder, joined by key.

    Raises:
        CompetitionError: A sample is not in exactly one row, or has no probability of a class.
    """
    read = [pd.read_csv(path, dtype={"key": str}) for path in sorted(folder.glob("fold*.csv"))]
    rows = pd.concat([pd.DataFrame(columns=["key", *classes]), *read]).set_index("key")
    for sample in samples:
        if (count := int((rows.index == sample).sum())) != 1:
            raise CompetitionError(f"sample {sample!r} has {count} rows of probabilities, not one", folder)
    probs = rows.loc[list(samples), list(classes)].to_numpy(np.float64)
    if not ((probs >= 0) & (probs <= 1)).all():
        raise CompetitionError("a probability is missing or not from 0 to 1", folder)
    return probs
