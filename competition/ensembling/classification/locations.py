"""Which locations of a patient are submitted as 1: thresholds and a gate, kept only where they gain cells.

The score counts correct cells, and 97 % of all cells are 0, so a location is only called where that wins more cells
than it loses. Rules of growing freedom are tried in turn (``RULES``), and a freer one replaces a simpler one only where
its cross-fitted gain exceeds one standard error. In simulations a threshold for each location, fitted to 72 patients of
a weak model, lost 38 cells per 1,000 new patients where one for all lost 2; fitted to 1,127 patients of a good model
whose locations were badly calibrated against each other it won 213 where one for all won 159, behind gates 244 and 197.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.classification.thresholds import NEVER, best_threshold
from competition.ensembling.selection.bootstrap import gain_with_error
from competition.ensembling.selection.crossfitting import Excluded, crossfit_rows, freest_that_gains, left_out_sets
from competition.errors import CompetitionError
from competition.metrics.labels import Counts

# Gates that are tried: the deciles of the patients' scores. Finer steps fit the patients at hand, not the next ones.
GATE_QUANTILES = np.arange(1, 10) / 10


@dataclass(frozen=True)
class LocationRule:
    """How probabilities become 0 and 1."""

    gate: float | None  # all are 0 where the patient's own score is not greater; None lets every patient pass
    thresholds: NDArray[np.float64]  # (L,): a location is 1 where its probability is greater; 1.0 is never

    def decide(self, probs: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Decide the locations bool (n, L) of probabilities (n, 1 + L), the patient's own score first."""
        called: NDArray[np.bool_] = probs[:, 1:] > self.thresholds
        return called if self.gate is None else called & (probs[:, :1] > self.gate)


@dataclass(frozen=True)
class ChosenLocations:
    """The rule that was chosen."""

    rule: LocationRule  # fitted on all samples
    # (n, L), each sample decided by a rule that was chosen and fitted on the other folds; None with fewer than two.
    crossfit: NDArray[np.bool_] | None
    reason: str  # why this rule, as a clause


Fit = Callable[[NDArray[np.integer], NDArray[np.float64]], LocationRule]
Thresholds = Callable[[NDArray[np.integer], NDArray[np.float64]], NDArray[np.float64]]


def _one_threshold(truth: NDArray[np.integer], probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for all locations the one threshold with the most correct cells; as ``location_thresholds``."""
    return np.full(truth.shape[1], location_thresholds(truth.reshape(-1, 1), probs.reshape(-1, 1))[0])


def location_thresholds(truth: NDArray[np.integer], probs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return for each location the threshold with the most correct cells.

    Args:
        truth: 0/1 (n, L).
        probs: Out-of-fold probabilities (n, L).

    Returns:
        float64 (L,): midpoints between neighbouring probabilities (below the lowest: halfway to 0), or 1.0 ("never")
        where no threshold has more correct cells than all zeros. Of equal thresholds the highest. A cell is positive
        where its probability is greater.

    Raises:
        CompetitionError: A probability is not a number.
    """
    pairs = zip(truth.T, _numbers(probs).T, strict=True)
    return np.array([best_threshold(column, own, _cells_right) for column, own in pairs], dtype=np.float64)


def _cells_right(both: Counts, called: Counts) -> Counts:
    """Return the correct cells above all zeros: one more for each positive that is called, one less for the others."""
    return 2 * both - called


def _without_gate(thresholds: Thresholds) -> Fit:
    return lambda truth, probs: LocationRule(None, thresholds(truth, probs[:, 1:]))


def _with_gate(thresholds: Thresholds) -> Fit:
    """Return a rule of thresholds behind the gate with the most correct cells; of equal gates the lowest, at best none.

    The thresholds are fitted to the patients who pass: behind a gate they can be lower.
    """

    def fit(truth: NDArray[np.integer], probs: NDArray[np.float64]) -> LocationRule:
        best = _without_gate(thresholds)(truth, probs)
        most = int(cells_gained(truth, best.decide(probs)).sum())
        for gate in np.quantile(probs[:, 0], GATE_QUANTILES):
            passing = probs[:, 0] > gate
            if not passing.any():
                break
            rule = LocationRule(float(gate), thresholds(truth[passing], probs[passing, 1:]))
            gained = int(cells_gained(truth, rule.decide(probs)).sum())
            if gained > most:
                best, most = rule, gained
        return best

    return fit


RULES: dict[str, Fit] = {
    "never 1": lambda truth, _: LocationRule(None, np.full(truth.shape[1], NEVER)),  # right for most cells
    "one threshold": _without_gate(_one_threshold),
    "one threshold behind a gate": _with_gate(_one_threshold),
    "a threshold each": _without_gate(location_thresholds),
    "a threshold each behind a gate": _with_gate(location_thresholds),
}
"""From the simplest to the freest."""


def cells_gained(truth: NDArray[np.integer], decided: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return each sample's correct cells above all zeros, int64 (n,), from (n, L) each."""
    return np.asarray((decided * (2 * truth.astype(np.int64) - 1)).sum(axis=1), dtype=np.int64)


def choose_locations(
    truth: NDArray[np.integer],
    probs: NDArray[np.floating],
    folds: NDArray[np.integer],
    groups: Sequence[str],
    probs_without: Mapping[int, NDArray[np.floating]] | None = None,
) -> ChosenLocations:
    """Choose a rule on out-of-fold probabilities.

    Args:
        truth: 0/1 (n, L) of the locations.
        probs: (n, 1 + L), the patient's own score first.
        folds: (n,).
        groups: (n,).
        probs_without: Fold -> (n, 1 + L) of all samples, blended with weights that were chosen without it. A rule that
            was fitted to ``probs`` would have seen a left-out fold through the weights; None where nothing was weighed.

    Returns:
        The rule; "never 1" where no other is shown to gain cells, and with a single fold, where nothing can be shown.

    Raises:
        CompetitionError: A probability is not a number.
    """
    rule, reason = _freest_that_gains(truth, _numbers(probs), folds, groups)

    def decided(without: Excluded) -> NDArray[np.bool_]:
        (fold,) = without
        seen = _numbers(probs if probs_without is None else probs_without[fold])
        others, held = folds != fold, folds == fold
        own, _ = _freest_that_gains(truth[others], seen[others], folds[others], np.asarray(groups)[others].tolist())
        return own.decide(seen[held])

    return ChosenLocations(rule, crossfit_rows(np.zeros(truth.shape, np.bool_), folds, decided), reason)


def _numbers(probs: NDArray[np.floating]) -> NDArray[np.float64]:
    if not np.isfinite(probs).all():
        raise CompetitionError("a probability is not a number", "out-of-fold predictions", "Train the fold again")
    return np.asarray(probs, dtype=np.float64)


def _freest_that_gains(
    truth: NDArray[np.integer], probs: NDArray[np.float64], folds: NDArray[np.integer], groups: Sequence[str]
) -> tuple[LocationRule, str]:
    """Return the freest rule that gained over a simpler one on folds it was not fitted to, fitted to all, and why."""
    cells = {name: _crossfitted_cells(fit, truth, probs, folds) for name, fit in RULES.items()}

    def gain(name: str, than: str) -> tuple[float, float]:
        return gain_with_error(cells[name] - cells[than], groups)

    parts = left_out_sets(folds.tolist())
    chosen, reason = freest_that_gains(list(RULES), gain, parts, folds.tolist(), "cells per sample")
    return RULES[chosen](truth, probs), f"locations: {chosen} ({reason})"


def _crossfitted_cells(
    fit: Fit, truth: NDArray[np.integer], probs: NDArray[np.float64], folds: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return the cells gained by each sample (n,), decided by the rule that was fitted without its fold."""

    def gained(without: Excluded) -> NDArray[np.int64]:
        held = np.isin(folds, list(without))
        return cells_gained(truth[held], fit(truth[~held], probs[~held]).decide(probs[held]))

    cells = np.zeros(len(truth))
    crossfit_rows(cells, folds, gained)
    return cells
