"""Weights of classes in the mean over classes: ``weights: {spleen: 2}``; classes that are not named count 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.text import nearest_hint


@dataclass(frozen=True)
class ClassWeights:
    """Weights by the name of the class, and the classes of a track in their order."""

    by_name: tuple[tuple[str, float], ...]
    classes: tuple[str, ...] = ()  # empty until the classes of the track are known

    @property
    def array(self) -> NDArray[np.float64]:
        """Return the weight of each class, (C,).

        Raises:
            ValueError: The classes are not known.
        """
        if not self.classes:
            raise ValueError("weights of classes need the names of the classes (CountMetric.for_classes)")
        known = dict(self.by_name)
        return np.array([known.get(name, 1.0) for name in self.classes])

    def ordered(self, classes: Sequence[str]) -> "ClassWeights":
        """Return the weights for a track of these classes; one narrowed to some of them drops the others.

        Raises:
            CompetitionError: A weight is of a class that the track never had.
        """
        for name, _ in self.by_name:
            if name not in classes and not self.classes:
                raise CompetitionError(f"metric: weights name {name!r}, no class{nearest_hint(name, list(classes))}")
        return ClassWeights(self.by_name, tuple(classes))

    def __str__(self) -> str:
        """Return the weights as a decision records them."""
        return "weights " + " ".join(f"{name}={weight:g}" for name, weight in self.by_name)


def weigh_classes(weights: Mapping[str, float] | None) -> ClassWeights | None:
    """Return declared weights; None where none are declared.

    Raises:
        ValueError: They are no mapping, or a weight is no positive number.
    """
    if weights is None:
        return None
    if not isinstance(weights, Mapping) or not weights:
        raise ValueError(f"weights are a mapping of classes to numbers, such as {{disc: 2}}, not {weights!r}")
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < 1e6:
            raise ValueError(f"the weight of {name} must be a number above 0, not {weight!r}")
    return ClassWeights(tuple(sorted((str(name), float(weight)) for name, weight in weights.items())))


def class_means(values: NDArray[np.float64], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return means over the last axis, the classes, weighted by (C,) or plain."""
    if weights is None:
        return np.asarray(values.mean(axis=-1))
    return np.asarray(np.average(values, axis=-1, weights=weights))
