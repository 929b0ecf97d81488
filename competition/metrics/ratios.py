"""Ratios of sums: the one form that every count metric has, so that any set of units is scored from sums.

A unit is what the metric counts pixels in: an image, a person, or everything at once. The score of a class on a set of
units is sum(numerator) / sum(denominator). A metric that is a mean over images has the image's own score as numerator
and 1 as denominator; one that leaves out empty images has 0 / 0 there; a pooled metric has the counts themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ratios:
    """Numerators and denominators of n units and C classes, perhaps at each of several thresholds or operations."""

    numerators: NDArray[np.float64]  # (n, C) or (n, C, K)
    denominators: NDArray[np.float64] | None = None  # likewise; None where all are 1: a plain mean over units
    nothing: float = 1.0  # the score where the denominators sum to 0

    def __len__(self) -> int:
        """Return n."""
        return len(self.numerators)

    def _picked(self, entries: Any) -> "Ratios":
        denominators = None if self.denominators is None else self.denominators[entries]
        return Ratios(self.numerators[entries], denominators, self.nothing)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Ratios":
        """Return some of the units: positions, or a bool mask (n,)."""
        return self._picked(rows)

    def classes(self, chosen: NDArray[np.integer] | NDArray[np.bool_]) -> "Ratios":
        """Return some of the classes: positions, or a bool mask (C,)."""
        return self._picked((slice(None), chosen))

    def at(self, chosen: NDArray[np.integer] | int, rows: NDArray[np.integer] | None = None) -> "Ratios":
        """Return one of the K per unit and class.

        Args:
            chosen: A number, (C,) for all units, or (n, C).
            rows: Positions of the units that are wanted; None for all. To take them first would copy all K.

        Returns:
            Ratios (n, C).
        """
        rows = np.arange(len(self)) if rows is None else rows
        classes = self.numerators.shape[1]
        return self._picked((rows[:, None], np.arange(classes), np.broadcast_to(chosen, (len(rows), classes))))

    def sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the sums over units: of numerators (C,) or (C, K), and of denominators likewise, or n as (1,)."""
        if self.denominators is None:
            return self.numerators.sum(axis=0), np.array([float(len(self))])
        return self.numerators.sum(axis=0), self.denominators.sum(axis=0)

    def scores(self) -> NDArray[np.float64]:
        """Return the score of every class on all units, (C,) or (C, K)."""
        return divide(*self.sums(), self.nothing)

    def values(self) -> NDArray[np.float64]:
        """Return values of single units whose mean is the score, of the shape of the numerators.

        For a plain mean over units these are the units' own scores. Otherwise the ratio is linearised: score +
        (numerator - score * denominator) / mean(denominator), the usual approximation of a ratio estimate (Cochran,
        Sampling Techniques, ch. 6), from which errors and intervals of differences follow as for a mean.
        """
        if self.denominators is None:
            return self.numerators
        scores, mean = self.scores(), self.denominators.mean(axis=0)
        moved = self.numerators - scores * self.denominators
        return np.asarray(scores + np.divide(moved, mean, out=np.zeros_like(moved), where=mean > 0))


def divide(numerators: NDArray[np.float64], denominators: NDArray[np.float64], nothing: float) -> NDArray[np.float64]:
    """Return numerators / denominators, and ``nothing`` where a denominator is 0."""
    filled = np.broadcast_to(denominators, numerators.shape)
    scores: NDArray[np.float64] = np.full(numerators.shape, nothing)
    return np.divide(numerators, filled, out=scores, where=filled > 0)


def join(parts: Sequence[Ratios]) -> Ratios:
    """Return the units of all parts one after the other; all parts are of one metric."""
    numerators = np.concatenate([part.numerators for part in parts])
    denominators = [part.denominators for part in parts if part.denominators is not None]
    return Ratios(numerators, np.concatenate(denominators) if denominators else None, parts[0].nothing)
