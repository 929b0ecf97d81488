"""How weight vectors are found: each method proposes a list, on the folds that it may see; the best of it is picked."""

import warnings
from collections.abc import Callable

import numpy as np
import optuna
from numpy.typing import NDArray

from competition.ensembling.selection.crossfitting import TIE, Choice
from competition.ensembling.voting.blend import WHOLE, check_weights, round_weights

# Steps of the greedy selection: weights come in steps of 1/20, and M members cost at most 20 M evaluations a search.
ROUNDS = 20

Score = Callable[[NDArray[np.int64]], float]
"""Weights (M,) in thousandths -> score on the folds that may be seen."""

Propose = Callable[[Score], NDArray[np.int64]]
"""Returns candidates int64 (k, M), the first one equal weights."""


def quiet_study(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    """Make an in-memory study that maximises and prints nothing below a warning."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=sampler)


def candidate_weights(members: int, trials: int, seed: int) -> NDArray[np.int64]:
    """List the weight vectors to try: equal, each member alone, then points spread evenly over the simplex.

    The points come from an Optuna Sobol sampler over the unit cube, carried to the simplex by -log u (which makes the
    uniform distribution on it, Devroye, Non-Uniform Random Variate Generation, ch. V). They do not depend on data, so
    one list serves every fold that is left out.

    Returns:
        int64 (k, M), every row summing to 1000, with at most ``trials`` points; duplicates are dropped.
    """
    rows = [round_weights(np.ones(members)), *np.eye(members, dtype=np.int64) * WHOLE]
    with warnings.catch_warnings():
        # Marked experimental since Optuna 3.0 and unchanged through 5.0.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(
            qmc_type="sobol", scramble=True, seed=seed, warn_independent_sampling=False
        )
    study = quiet_study(sampler)
    # Open at both ends: -log 0 is infinite, and all ones would give a sum of 0.
    cube: dict[str, optuna.distributions.BaseDistribution] = {
        f"member {index}": optuna.distributions.FloatDistribution(1e-9, 1.0 - 1e-9) for index in range(members)
    }
    for _ in range(trials if members > 1 else 0):
        trial = study.ask(cube)
        rows.append(round_weights(-np.log([trial.params[name] for name in cube])))
        study.tell(trial, 0.0)
    return _distinct(rows)


def equal_only(members: int, _: int) -> Propose:
    """Propose equal weights alone."""
    equal = round_weights(np.ones(members))[None]
    return lambda score: equal


def evenly_spread(members: int, trials: int) -> Propose:
    """Propose vectors spread evenly over the simplex, which look at no score."""
    candidates = candidate_weights(members, trials, seed=0)
    return lambda score: candidates


def greedy_selection(members: int, _: int) -> Propose:
    """Propose by forward selection with replacement.

    As in Caruana et al., Ensemble selection from libraries of models, 2004: it starts from the best member alone and
    goes on adding the one that helps most (a member may come again), whether or not that gains. The proposals are the
    weights after each step, then each member alone. Of members that help equally, one that is already in is preferred,
    then the earlier.
    """

    def propose(score: Score) -> NDArray[np.int64]:
        votes = np.zeros(members, dtype=np.int64)
        steps = [round_weights(np.ones(members))]
        for _ in range(ROUNDS if members > 1 else 0):
            grown = votes + np.eye(members, dtype=np.int64)
            tried = [round_weights(row.astype(float)) for row in grown]
            scores = np.array([score(weights) for weights in tried])
            best = scores >= scores.max() - TIE
            used = best & (votes > 0)
            added = int(np.argmax(used if used.any() else best))
            votes = grown[added]
            steps.append(tried[added])
        # The first step is the best member only on a part of the images, so each member alone is proposed too.
        return _distinct([*steps, *np.eye(members, dtype=np.int64) * WHOLE])

    return propose


METHODS: dict[str, Callable[[int, int], Propose]] = {
    "optuna": evenly_spread,
    "greedy": greedy_selection,
    "equal": equal_only,
}
"""Members and number of vectors (which greedy and equal ignore) -> method."""


def expected_vectors(method: str, members: int, trials: int) -> int:
    """Return about how many vectors a method tries; searches without different folds mostly ask for the same ones."""
    return {"optuna": 1 + members + trials, "greedy": ROUNDS * members, "equal": 1}[method] if members > 1 else 1


def check_candidates(candidates: NDArray[np.int64]) -> None:
    """Make sure that every candidate is convex and the first is equal weights, which the search falls back to."""
    for row in candidates:
        check_weights(row.tolist(), candidates.shape[1])
    if candidates[0].tolist() != round_weights(np.ones(candidates.shape[1])).tolist():
        raise ValueError("the first candidate must be equal weights")


def explain(choice: Choice, candidates: NDArray[np.int64]) -> str:
    """Say in a clause why weights were chosen among candidates (k, M)."""
    if candidates.shape[1] == 1:
        return "one member: nothing to weigh"
    if len(candidates) == 1:
        equal = candidates[0].tolist() == round_weights(np.ones(candidates.shape[1])).tolist()
        return "equal weights: nothing was searched" if equal else "weights as they were given"
    return f"{'equal weights kept' if choice.index == 0 else 'searched weights taken'}: {choice.reason}"


def _distinct(rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the rows (k, M) in order, without duplicates."""
    return np.array(list(dict.fromkeys(tuple(row.tolist()) for row in rows)), dtype=np.int64)
