"""The images that everything is chosen on: their folds, their groups, and the classes that occur in them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.selection.crossfitting import fold_names
from competition.metrics.class_weights import class_means
from competition.metrics.counts import measured_means

# The search looks at no more images than this: 500 weight vectors of 800 images of 29 x 2048 x 2048 would take an hour.
SEARCH_IMAGES = 120


@dataclass(frozen=True)
class TuningImages:
    """Facts about n images of C classes."""

    folds: NDArray[np.integer]  # (n,) that held each image out, or the part that replaces it (``crossfit_parts``)
    groups: Sequence[str]  # (n,); all images of a group are in one fold
    present: NDArray[np.bool_]  # (n, C): whether the class occurs in the image's truth
    class_weights: NDArray[np.float64] | None = None  # (C,) of the metric; None where all classes count alike

    def class_mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean over all classes: (..., C) -> (...)."""
        return class_means(values, self.class_weights)

    def measured_means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each image's mean (n,) of values (n, C) over the classes that occur in any image."""
        return measured_means(values, self.present, self.class_weights)

    @cached_property
    def names(self) -> list[int]:
        """Return the folds, ascending."""
        return fold_names(self.folds)

    def take(self, rows: NDArray[np.integer]) -> "TuningImages":
        """Return the images at some positions."""
        groups = np.asarray(self.groups)[rows].tolist()
        return TuningImages(self.folds[rows], groups, self.present[rows], self.class_weights)

    def groups_without(self, excluded: Collection[int]) -> NDArray[np.int64]:
        """Return for each class (C,) the number of groups in whose truth it occurs, without those of some folds."""
        kept = [groups for fold, groups in self._groups.items() if fold not in excluded]
        total: NDArray[np.int64] = np.sum(kept, axis=0, dtype=np.int64)
        return total

    @cached_property
    def _groups(self) -> dict[int, NDArray[np.int64]]:
        group_of = np.asarray(self.groups)
        groups = {}
        for fold in self.names:
            here = self.folds == fold
            members = np.unique(group_of[here], return_inverse=True)[1]
            holds = np.zeros((members.max() + 1, self.present.shape[1]), dtype=np.bool_)
            np.logical_or.at(holds, members, self.present[here])
            groups[fold] = holds.sum(axis=0)
        return groups


def search_rows(images: TuningImages, seed: int, limit: int = SEARCH_IMAGES) -> NDArray[np.int64]:
    """Sample the images that a search looks at: whole groups, of every fold at most an equal share of the limit.

    The sample depends on no truth and no prediction.

    Returns:
        Positions int64 (k,), ascending. All of them where there are no more than ``limit``, or where no group of some
        fold fits into its share.
    """
    everything = np.arange(len(images.folds))
    if len(everything) <= limit:
        return everything
    random = np.random.default_rng(seed)
    group_of, share = np.asarray(images.groups), limit // len(images.names)
    taken: list[NDArray[np.int64]] = []
    for fold in images.names:
        room = share
        for group in random.permutation(np.unique(group_of[images.folds == fold])):
            rows = np.flatnonzero(group_of == group)
            if len(rows) <= room:
                taken.append(rows)
                room -= len(rows)
        if room == share:
            return everything
    return np.sort(np.concatenate(taken))
