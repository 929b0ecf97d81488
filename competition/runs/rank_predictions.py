"""Predictions that several ranks make together: each those of its share of the samples, and the first joins them."""

import os
from collections import ChainMap
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from competition.data.manifest import Entry
from competition.files import remove_folder, whole_folder
from competition.prediction.histograms import histograms_file, join_histograms, load_histograms, save_histograms
from competition.prediction.probability_maps import (
    INDEX,
    index_file,
    read_index,
    read_scores,
    scores_file,
    write_index,
    write_scores,
)
from competition.training.ranks import Ranks

Store = Callable[[Sequence[Entry], Path], None]
"""Predicts samples into a folder, as ``store_predictions`` does."""


def store_by_ranks(ranks: Ranks, entries: Sequence[Entry], folder: Path, store: Store) -> None:
    """Store the predictions of samples, whole or not at all; the files are those that one rank alone would write.

    Args:
        ranks: Each stores those of its share.
        entries: The samples.
        folder: Receives the predictions.
        store: How they are made.
    """
    if ranks.count == 1:
        with whole_folder(folder, INDEX) as part:
            store(entries, part)
        return
    with whole_folder(folder, INDEX) if ranks.first else nullcontext(folder) as own:
        part = ranks.of_first(own)
        share = part / f"rank{ranks.number}"
        if mine := ranks.share(entries):
            store(mine, share)
        shares = ranks.join([share] if mine else [])
        if ranks.first:
            _join(shares, part, [entry.sample for entry in entries])
    ranks.wait()  # until now the folder may be an earlier one


def _join(shares: Sequence[Path], folder: Path, samples: Sequence[str]) -> None:
    """Move the predictions of several folders into one that holds them; the tables in the order of ``samples``."""
    indices = [read_index(share, "") for share in shares]
    joined = replace(indices[0], samples=tuple(samples))
    if histograms_file(shares[0]).exists():
        counts = ChainMap(*(load_histograms(histograms_file(share)) for share in shares))
        save_histograms(histograms_file(folder), samples, join_histograms(counts, samples, folder))
    if scores_file(shares[0]).exists():
        rows = [read_scores(share, index.samples, index.classes) for share, index in zip(shares, indices, strict=True)]
        write_scores(folder, samples, joined.classes, np.concatenate(rows))
    for share in shares:
        for path in share.iterdir():
            if path not in (index_file(share), histograms_file(share), scores_file(share)):
                os.replace(path, folder / path.name)
        remove_folder(share, INDEX)
    write_index(folder, joined)
