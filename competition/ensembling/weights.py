"""Member weights: candidates that never looked at data, and a search that believes only cross-fitted gains."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray

from competition.ensembling.evidence import gain_with_error
from competition.ensembling.nested import Choice, Excluded, choose, left_out_sets
from competition.ensembling.studies import low_discrepancy_sampler, quiet_study
from competition.ensembling.thresholds import WINDOW, FoldSums, Window, best_cuts_of_mean, scores_at
from competition.ensembling.voting import WHOLE, check_weights, round_weights

Evaluate = Callable[[NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True)
class WeightSearch:
    """What a search over member weights found.

    Attributes:
        weights: Thousandths per member, 1000 in sum.
        cuts: int64 (C,), tuned on all images for these weights.
        oof: Dice float64 (n, C) of these weights at these cuts: optimistic, because both were tuned on the same images.
        crossfit: Dice float64 (n, C), each image scored with weights and cuts chosen on the other folds by the same
            rule; None with fewer than two folds.
        candidates: int64 (k, M), the first one equal weights.
        candidate_scores: float64 (k,), mean Dice of each candidate at its own tuned cuts on all images.
        gain: Cross-fitted gain of searching over equal weights; None where it was not measured.
        error: Its standard error, clustered by group.
        reason: Why these weights, for people.
    """

    weights: tuple[int, ...]
    cuts: NDArray[np.int64]
    oof: NDArray[np.float64]
    crossfit: NDArray[np.float64] | None
    candidates: NDArray[np.int64]
    candidate_scores: NDArray[np.float64]
    gain: float | None
    error: float | None
    reason: str


def candidate_weights(members: int, trials: int, seed: int) -> NDArray[np.int64]:
    """Lists the weight vectors to try: equal, each member alone, then points spread evenly over the simplex.

    The points come from an Optuna Sobol sampler over the unit cube, carried to the simplex by -log u (which makes the
    uniform distribution on it, Devroye, Non-Uniform Random Variate Generation, ch. V). They do not depend on data, so
    one list serves every fold that is left out.

    Args:
        members: M.
        trials: How many points are drawn beside the equal and the single ones; doubles are dropped.
        seed: Of the sampler.

    Returns:
        int64 (k, M), every row summing to 1000.
    """
    rows = [round_weights(np.ones(members)), *np.eye(members, dtype=np.int64) * WHOLE]
    study = quiet_study(low_discrepancy_sampler(seed))
    # Open at both ends: -log 0 is infinite, and all ones would give a sum of 0.
    cube: dict[str, optuna.distributions.BaseDistribution] = {
        f"member {index}": optuna.distributions.FloatDistribution(1e-9, 1.0 - 1e-9) for index in range(members)
    }
    for _ in range(trials if members > 1 else 0):
        trial = study.ask(cube)
        rows.append(round_weights(-np.log([trial.params[name] for name in cube])))
        study.tell(trial, 0.0)
    return np.array(list(dict.fromkeys(tuple(int(weight) for weight in row) for row in rows)), dtype=np.int64)


def check_candidates(candidates: NDArray[np.int64]) -> None:
    """Makes sure that every candidate is convex and the first is equal weights, which the search falls back to."""
    for row in candidates:
        check_weights(row.tolist(), candidates.shape[1])
    if candidates[0].tolist() != round_weights(np.ones(candidates.shape[1])).tolist():
        raise ValueError("the first candidate must be equal weights")


def search_weights(
    evaluate: Evaluate,
    candidates: NDArray[np.int64],
    folds: NDArray[np.integer],
    groups: Sequence[str],
    window: Window = WINDOW,
) -> WeightSearch:
    """Chooses member weights and cuts on out-of-fold predictions.

    Each candidate's curves are looked at once, reduced to a few figures and dropped, so memory does not grow with
    k * n * C * 256. The chosen candidates (one per fold at most, and the final one) are evaluated a second time.

    Args:
        evaluate: Weights (M,) -> curves float64 (n, C, 256), valid within the window.
        candidates: int64 (k, M) of ``candidate_weights``.
        folds: (n,) fold of each image.
        groups: (n,) person of each image.
        window: Lowest and highest threshold that may be chosen.

    Returns:
        The chosen weights and cuts with their honest scores; equal weights where the cross-fitted gain over them is
        within one standard error.
    """
    check_candidates(candidates)
    names = [int(fold) for fold in np.unique(folds)]
    group_of = np.asarray(groups)
    sets = left_out_sets(names)
    rows_of = {excluded: np.flatnonzero(np.isin(folds, list(excluded))) for excluded in sets}
    scores = {excluded: np.empty(len(candidates)) for excluded in sets}
    held = {excluded: np.empty((len(candidates), len(rows))) for excluded, rows in rows_of.items()}
    for position, weights in enumerate(candidates):
        curves = evaluate(weights)
        sums = FoldSums.of(curves, folds)
        for excluded, rows in rows_of.items():
            mean = sums.mean_without(excluded)
            cuts = best_cuts_of_mean(mean, window)
            scores[excluded][position] = np.take_along_axis(mean, cuts[:, None], axis=1).mean()
            # One index picks rows, classes and cuts together; curves[rows] would copy all 256 levels.
            held[excluded][position] = curves[rows[:, None], np.arange(len(cuts)), cuts].mean(axis=1)

    def gain(excluded: Excluded, chosen: dict[int, int]) -> tuple[float, float]:
        differences, people = [], []
        for fold, index in chosen.items():
            without = excluded | {fold}
            here = folds[rows_of[without]] == fold
            differences.append(held[without][index, here] - held[without][0, here])
            people.append(group_of[rows_of[without]][here])
        return gain_with_error(np.concatenate(differences), np.concatenate(people).tolist())

    final = choose(scores, gain, names)
    by_fold = {fold: choose(scores, gain, names, frozenset({fold})).index for fold in names} if len(names) > 1 else {}
    cuts, oof, crossfit = _score_chosen(evaluate, candidates, folds, final, by_fold, window)
    return WeightSearch(
        weights=tuple(candidates[final.index].tolist()),
        cuts=cuts,
        oof=oof,
        crossfit=crossfit,
        candidates=candidates,
        candidate_scores=scores[frozenset()],
        gain=final.gain,
        error=final.error,
        reason=explain(final, candidates),
    )


def _score_chosen(
    evaluate: Evaluate,
    candidates: NDArray[np.int64],
    folds: NDArray[np.integer],
    final: Choice,
    by_fold: dict[int, int],
    window: Window,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64] | None]:
    """Evaluates the chosen candidates again, for scores per image and class."""
    held = {}
    for index in [*sorted({*by_fold.values()} - {final.index}), final.index]:
        curves = evaluate(candidates[index])
        sums = FoldSums.of(curves, folds)
        for fold in (fold for fold, chosen in by_fold.items() if chosen == index):
            held[fold] = scores_at(curves[folds == fold], best_cuts_of_mean(sums.mean_without({fold}), window))
    cuts = best_cuts_of_mean(sums.mean_without(()), window)
    oof = scores_at(curves, cuts)
    if not by_fold:
        return cuts, oof, None
    crossfit = np.empty_like(oof)
    for fold, dice in held.items():
        crossfit[folds == fold] = dice
    return cuts, oof, crossfit


def explain(choice: Choice, candidates: NDArray[np.int64]) -> str:
    """Says in a sentence why weights were chosen."""
    if candidates.shape[1] == 1:
        return "one member: nothing to weigh"
    return f"{'equal weights kept' if choice.index == 0 else 'searched weights taken'}: {choice.reason}"
