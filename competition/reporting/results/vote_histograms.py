"""Histograms of the vote: exact from the stored ones of a single member, otherwise of some blended images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.console import progress
from competition.data.cache import read_cached_planes
from competition.data.manifest import Entry
from competition.ensembling.voting.blend import blend_levels
from competition.masks.bit_planes import unpack_class
from competition.prediction.histograms import (
    LEVELS,
    count_levels,
    histograms_file,
    join_histograms,
    load_histograms,
)
from competition.prediction.opened_maps import open_map
from competition.reporting.inputs import ReportInputs, spread_within

BUDGET = 1_000_000_000
"""Map values that are read where several members vote: some six seconds."""


@dataclass(frozen=True)
class VoteHistograms:
    """Pixels of the vote at every level.

    Attributes:
        entries: The n images that were counted.
        histograms: int64 (n, C, 2, 256), all pixels and those of the truth.
    """

    entries: list[Entry]
    histograms: NDArray[np.int64]


def vote_histograms(inputs: ReportInputs) -> VoteHistograms:
    """Return the histograms of all images of ``inputs.tuning``, or with several members of some, evenly spread.

    Raises:
        CompetitionError: As of ``inputs.tuning``, or a map or histogram is missing or damaged.
    """
    data = inputs.tuning
    if len(data.members) == 1:
        rows = inputs.decision.voters().rows[:, 0]
        stored: dict[str, NDArray[np.int64]] = {}
        for folder in dict.fromkeys(data.folders[0].values()):
            stored |= load_histograms(histograms_file(folder))
        histograms = join_histograms(stored, data.samples, data.members[0].name)[:, rows]
        return VoteHistograms(list(data.entries), histograms)
    entries = spread_within(data.entries, len(data.members) * len(inputs.track.classes), BUDGET)
    histograms = np.zeros((len(entries), len(inputs.track.classes), 2, LEVELS), dtype=np.int64)
    with progress("reliability", len(entries)) as ticker:
        for number, entry in enumerate(entries):
            histograms[number] = _blended(inputs, entry)
            ticker.advance(entry.name)
    return VoteHistograms(entries, histograms)


def _blended(inputs: ReportInputs, entry: Entry) -> NDArray[np.int64]:
    """Return the histogram (C, 2, 256) of an image, with one class in memory at a time."""
    decision = inputs.decision
    voters = decision.voters()
    weights = voters.weights_by_class(decision.class_weights())
    maps = [open_map(folder_of[entry.sample], entry.sample) for folder_of in inputs.tuning.folders]
    planes = read_cached_planes(inputs.workspace, entry.sample)
    histogram = np.zeros((len(weights), 2, LEVELS), dtype=np.int64)
    for index, row in enumerate(weights):
        levels = blend_levels(voters.values(maps, index), row[voters.of(index)].tolist())
        histogram[index] = count_levels(levels), count_levels(levels[unpack_class(planes, index)])
    return histogram
