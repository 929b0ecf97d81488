"""All labels that may be wrong, ranked: unusual areas and places, missing classes, contradicted by predictions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from competition.data.checks.label_maps import LabelMaps
from competition.data.checks.label_outliers import (
    Suspicion,
    area_suspicions,
    missing_suspicions,
    position_suspicions,
)
from competition.data.manifest import Entry, target_matrix
from competition.ensembling.decision import Decision
from competition.ensembling.tuning_data import TuningData
from competition.review.disagreement import mask_suspicions, target_suspicions
from competition.review.out_of_fold import measure_agreement, out_of_fold_probabilities
from competition.tracks.track import Track


def find_suspicious(
    track: Track,
    training: Sequence[Entry],
    maps: LabelMaps | None = None,
    data: TuningData | None = None,
    decision: Decision | None = None,
) -> list[Suspicion]:
    """Rank the labels of training samples by how likely they are wrong.

    Args:
        track: Its classes.
        training: The training samples.
        maps: Where the classes of some or all of them lie, for a segmentation; None leaves positions out.
        data: The out-of-fold predictions of the members of ``decision``; None where nothing is tuned.
        decision: Thresholds and weights.

    Returns:
        The most suspicious first: of each sample and class its worst, and none with the score 0.

    Raises:
        CompetitionError: Predictions are missing or damaged.
    """
    found: list[Suspicion] = []
    if track.task == "segmentation":
        found += area_suspicions(training, track.classes, track.compares_objects)
        found += missing_suspicions(training, track.classes)
        if maps is not None and not track.compares_objects:  # objects may lie anywhere
            found += position_suspicions(training, track.classes, maps)
        if data is not None and decision is not None:
            found += mask_suspicions(measure_agreement(data, decision), track.classes)
    elif data is not None and decision is not None:
        probabilities = out_of_fold_probabilities(data, decision)
        found += target_suspicions(data.samples, target_matrix(data.entries), probabilities, track.classes)
    return rank(found)


def rank(found: Sequence[Suspicion]) -> list[Suspicion]:
    """Return of each sample and class the suspicion with the largest score, the largest first."""
    worst: dict[tuple[str, str], Suspicion] = {}
    for suspicion in found:
        place = suspicion.sample, suspicion.label
        if place not in worst or suspicion.score > worst[place].score:
            worst[place] = suspicion
    return sorted(worst.values(), key=lambda suspicion: (-suspicion.score, suspicion.sample, suspicion.label))


def rank_samples(ranked: Sequence[Suspicion]) -> list[Suspicion]:
    """Return the first suspicion of each sample in a ranked list: the order in which to look at the samples."""
    first: dict[str, Suspicion] = {}
    for suspicion in ranked:
        first.setdefault(suspicion.sample, suspicion)
    return list(first.values())


def suspicion_table(ranked: Sequence[Suspicion], entries: Sequence[Entry]) -> pd.DataFrame:
    """Return the columns rank, sample, name, class, score (four digits) and reason."""
    names = {entry.sample: entry.name for entry in entries}
    rows = [
        (number, each.sample, names[each.sample], each.label, float(np.round(each.score, 4)), each.reason)
        for number, each in enumerate(ranked, start=1)
    ]
    return pd.DataFrame(rows, columns=["rank", "sample", "name", "class", "score", "reason"])
