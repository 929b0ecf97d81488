"""Samples of a classification to look at: the worst, middle and best, all views beside truth and probability."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure
from competition.reporting.pictures import gallery
from competition.reporting.sample_pictures import patient_picture
from competition.text import shortened_middle

EACH = 4


def patient_cases(inputs: ReportInputs) -> list[Figure]:
    """Return the positive samples with the lowest and the negative ones with the highest probability, and the rest.

    Raises:
        CompetitionError: As of ``inputs.tuning``, or an image is missing or damaged.
    """
    judged = inputs.judged
    truth, probabilities = inputs.judged_cells
    items, rows = [], []
    for index, kind in sorted_cases(truth, probabilities).items():
        entry = inputs.tuning.entries[index]
        name, truth_text = shortened_middle(entry.name), _truth_text(inputs, index)
        of_class = "" if inputs.located else f" of {inputs.track.classes[judged[index]]}"
        caption = f"{kind}: {name}, truth {truth_text}, probability{of_class} {probabilities[index]:.3f}"
        items.append((patient_picture(inputs.track, inputs.workspace, entry), caption))
        judged_by = {} if inputs.located else {"class": inputs.track.classes[judged[index]]}
        rows.append({"kind": kind, "sample": entry.sample, **judged_by, "probability": float(probabilities[index])})
    what = inputs.track.classes[0] if inputs.located else "the class that is furthest off"
    if inputs.track.one_of_classes:
        what = "the true class"
    sentence = (
        f"Out-of-fold probabilities of {what} beside the truth: up to {EACH} missed and {EACH} "
        f"false alarms, the most confident first, {EACH} samples nearest to the median error, and {EACH} of the best. "
        "Look first whether the label is right, then whether the finding is visible at this size at all."
    )
    return [Figure("cases", "Worst, median and best samples", sentence, gallery(items), pd.DataFrame(rows))]


def sorted_cases(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[int, str]:
    """Return positions to show with their kind; none is shown twice."""
    error = np.abs(truth - probabilities)
    worst = np.argsort(-error, kind="stable").tolist()
    kinds: dict[int, str] = {}
    for kind, positive in (("missed", 1), ("false alarm", 0)):
        kinds |= dict.fromkeys([i for i in worst if truth[i] == positive and error[i] > 0.5][:EACH], kind)
    middle = np.argsort(np.abs(error - np.median(error)), kind="stable").tolist()
    for kind, order in (("best", worst[::-1]), ("median", middle)):
        kinds |= dict.fromkeys([index for index in order if index not in kinds][:EACH], kind)
    ranks = {"missed": 0, "false alarm": 1, "median": 2, "best": 3}
    return dict(sorted(kinds.items(), key=lambda item: ranks[item[1]]))


def _truth_text(inputs: ReportInputs, index: int) -> str:
    positive = [name for name, target in zip(inputs.track.classes, inputs.targets[index], strict=True) if target]
    return ", ".join(positive[:4]) or "negative"
