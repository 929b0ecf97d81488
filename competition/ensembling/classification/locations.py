"""Which locations of a patient are handed in as 1: thresholds and a gate that must earn their place.

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

from competition.ensembling.selection.bootstrap import gain_with_error
from competition.ensembling.selection.crossfitting import TIE
from competition.errors import CompetitionError

NEVER = 1.0  # no probability is greater

# Gates that are tried: the deciles of the patients' scores. Finer steps fit the patients at hand, not the next ones.
GATE_QUANTILES = np.arange(1, 10) / 10


@dataclass(frozen=True)
class LocationRule:
    """How probabilities become 0 and 1.

    Attributes:
        gate: All locations are 0 where the patient's own score is not greater; None lets every patient pass.
        thresholds: float64 (L,): a location is 1 where its probability is greater; 1.0 is never.
    """

    gate: float | None
    thresholds: NDArray[np.float64]

    def decide(self, probs: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Decide the locations bool (n, L) of probabilities (n, 1 + L), the patient's own score first."""
        called: NDArray[np.bool_] = probs[:, 1:] > self.thresholds
        return called if self.gate is None else called & (probs[:, :1] > self.gate)


@dataclass(frozen=True)
class ChosenLocations:
    """What was chosen and what it is worth.

    Attributes:
        rule: Fitted on all samples.
        crossfit: bool (n, L), each sample decided by a rule that was chosen and fitted on the other folds; None with
            fewer than two folds.
        reason: For people.
    """

    rule: LocationRule
    crossfit: NDArray[np.bool_] | None
    reason: str


Fit = Callable[[NDArray[np.integer], NDArray[np.float64]], LocationRule]
Cuts = Callable[[NDArray[np.integer], NDArray[np.float64]], NDArray[np.float64]]


def never(truth: NDArray[np.integer], _: NDArray[np.float64]) -> LocationRule:
    """Return all locations of all patients are 0, which is what most entries are worth."""
    return LocationRule(None, np.full(truth.shape[1], NEVER))


def one_cut(truth: NDArray[np.integer], probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return all locations the one threshold with the most correct cells; arguments as for ``location_cuts``."""
    return np.full(truth.shape[1], location_cuts(truth.reshape(-1, 1), probs.reshape(-1, 1))[0])


def location_cuts(truth: NDArray[np.integer], probs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return each location the threshold with the most correct cells.

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
    return np.array([_cut(column, column_probs) for column, column_probs in pairs], dtype=np.float64)


def _cut(truth: NDArray[np.integer], probs: NDArray[np.float64]) -> float:
    levels, members = np.unique(probs, return_inverse=True)
    worth = np.bincount(members, weights=2.0 * truth - 1.0)  # calling a cell positive gains or loses one
    gains = np.cumsum(worth[::-1])[::-1]  # entry i: everything from level i up is positive
    below = np.concatenate([[0.0], levels[:-1]])
    gains[below >= levels] = 0.0  # a probability of 0 is never greater than a threshold
    best = len(gains) - 1 - int(np.argmax(gains[::-1]))
    if gains[best] <= 0:
        return NEVER
    middle = float(below[best] + (levels[best] - below[best]) / 2)
    # Between two neighbouring floats there is no middle; "greater than the lower one" is the same cut.
    return middle if middle < levels[best] else float(below[best])


def without_gate(cuts: Cuts) -> Fit:
    """Return a rule of thresholds alone."""

    def fit(truth: NDArray[np.integer], probs: NDArray[np.float64]) -> LocationRule:
        return LocationRule(None, cuts(truth, probs[:, 1:]))

    return fit


def with_gate(cuts: Cuts) -> Fit:
    """Return a rule of thresholds behind the gate with the most correct cells; of equal gates the lowest, at best none.

    The thresholds are fitted to the patients who pass: behind a gate they can be lower.
    """

    def fit(truth: NDArray[np.integer], probs: NDArray[np.float64]) -> LocationRule:
        best = without_gate(cuts)(truth, probs)
        most = int(cells_gained(truth, best.decide(probs)).sum())
        for gate in np.quantile(probs[:, 0], GATE_QUANTILES):
            passing = probs[:, 0] > gate
            if not passing.any():
                break
            rule = LocationRule(float(gate), cuts(truth[passing], probs[passing, 1:]))
            gained = int(cells_gained(truth, rule.decide(probs)).sum())
            if gained > most:
                best, most = rule, gained
        return best

    return fit


RULES: dict[str, Fit] = {
    "never 1": never,
    "one threshold": without_gate(one_cut),
    "one threshold behind a gate": with_gate(one_cut),
    "a threshold each": without_gate(location_cuts),
    "a threshold each behind a gate": with_gate(location_cuts),
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
        groups: (n,) person of each sample.
        probs_without: Fold -> (n, 1 + L) of all samples, blended with weights that were chosen without it. A rule that
            was fitted to ``probs`` would know a left-out fold by the weights; None where nothing was weighed.

    Returns:
        The rule; "never 1" where no other is shown to gain cells, and with a single fold, where nothing can be shown.

    Raises:
        CompetitionError: A probability is not a number.
    """
    rule, reason = _climb(truth, _numbers(probs), folds, groups)
    names = [int(fold) for fold in np.unique(folds)]
    if len(names) < 2:
        return ChosenLocations(rule, None, reason)
    crossfit = np.zeros(truth.shape, dtype=np.bool_)
    for fold in names:
        seen = _numbers(probs if probs_without is None else probs_without[fold])
        others, held = folds != fold, folds == fold
        theirs, _ = _climb(truth[others], seen[others], folds[others], np.asarray(groups)[others].tolist())
        crossfit[held] = theirs.decide(seen[held])
    return ChosenLocations(rule, crossfit, reason)


def _numbers(probs: NDArray[np.floating]) -> NDArray[np.float64]:
    if not np.isfinite(probs).all():
        raise CompetitionError("a probability is not a number", "out-of-fold predictions", "Train the fold again")
    return np.asarray(probs, dtype=np.float64)


def _climb(
    truth: NDArray[np.integer], probs: NDArray[np.float64], folds: NDArray[np.integer], groups: Sequence[str]
) -> tuple[LocationRule, str]:
    """Return the freest rule that was worth a step on folds it was not fitted to, fitted to all samples, and why."""
    names = [int(fold) for fold in np.unique(folds)]
    chosen = next(iter(RULES))
    if len(names) < 2:
        reason = f"locations: {chosen}, because a gain can't be cross-fitted on one part"
        return RULES[chosen](truth, probs), reason
    gained = {name: _crossfitted_cells(fit, truth, probs, folds) for name, fit in RULES.items()}
    reason = "no rule gains more than one standard error"
    for name in RULES:
        mean, error = gain_with_error(gained[name] - gained[chosen], groups)
        if mean - error > TIE:  # one cell alone is exactly one standard error
            figures = f"{mean * len(groups):+.0f} cells, standard error {error * len(groups):.1f}"
            reason = f"cross-fitted gain over {chosen!r} {figures}"
            chosen = name
    return RULES[chosen](truth, probs), f"locations: {chosen} ({reason})"


def _crossfitted_cells(
    fit: Fit, truth: NDArray[np.integer], probs: NDArray[np.float64], folds: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Cells gained by each sample (n,), decided by the rule that was fitted without its fold."""
    cells = np.zeros(len(truth))
    for fold in np.unique(folds).tolist():
        held = folds == fold
        cells[held] = cells_gained(truth[held], fit(truth[~held], probs[~held]).decide(probs[held]))
    return cells
