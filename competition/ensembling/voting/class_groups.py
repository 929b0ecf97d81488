"""Classes that share their member weights: all of them, or those of each group that a track declares."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.metrics.class_weights import class_means
from competition.tracks.track import Track


@dataclass(frozen=True)
class ClassGroups:
    """Which classes share their weights."""

    names: tuple[str, ...]  # (G,) of the groups; empty text where one group holds all classes
    of_class: NDArray[np.int64]  # (C,): the group of each class
    class_weights: NDArray[np.float64] | None = None  # (C,) of the metric; None where all classes count alike

    def weighted(self, class_weights: NDArray[np.float64] | None) -> "ClassGroups":
        """Return the same groups, whose means count classes as a metric does."""
        return replace(self, class_weights=class_weights)

    def sizes(self) -> NDArray[np.float64]:
        """Return the share of each group in the mean over all classes, (G,), in any scale."""
        return np.bincount(self.of_class, weights=self.class_weights).astype(np.float64)

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean over the classes of each group: (..., C) -> (..., G)."""
        own = [self.of_class == group for group in range(len(self.names))]
        weights = [None if self.class_weights is None else self.class_weights[classes] for classes in own]
        return np.stack([class_means(values[..., at], of) for at, of in zip(own, weights, strict=True)], axis=-1)


def one_group(classes: int) -> ClassGroups:
    """Return one group of all classes."""
    return ClassGroups(("",), np.zeros(classes, dtype=np.int64))


def declared_groups(track: Track) -> ClassGroups:
    """Return the groups that a track declares.

    Raises:
        CompetitionError: It declares none, or a class is in none or in two of them.
    """
    if not track.class_groups:
        raise CompetitionError(f"track {track.name} declares no groups of classes", repair="Omit --by-group")
    grouped = [name for names in track.class_groups.values() for name in names]
    if sorted(grouped) != sorted(track.classes):
        odd = sorted(name for name in {*grouped, *track.classes} if grouped.count(name) != track.classes.count(name))
        raise CompetitionError(f"track {track.name}: {', '.join(odd)} must be in exactly one group of classes")
    of_name = {name: group for group, names in enumerate(track.class_groups.values()) for name in names}
    return ClassGroups(tuple(track.class_groups), np.array([of_name[name] for name in track.classes], dtype=np.int64))
