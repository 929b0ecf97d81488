"""How weight vectors are found. Each method proposes a list, on the folds that it may see; the best of it is picked."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.selection.crossfitting import TIE
from competition.ensembling.selection.weight_search import Propose, Score, candidate_weights
from competition.ensembling.voting.blend import WHOLE, round_weights

# Members are added so often: weights come in steps of 1/20, and M members cost at most 20 M evaluations a search.
ROUNDS = 20


def equal_only(members: int, _: int) -> Propose:
    """No search: equal weights."""
    equal = round_weights(np.ones(members))[None]
    return lambda score: equal


def evenly_spread(members: int, trials: int) -> Propose:
    """Vectors spread over the simplex by an Optuna sampler, which looks at no score."""
    candidates = candidate_weights(members, trials, seed=0)
    return lambda score: candidates


def greedy_selection(members: int, _: int) -> Propose:
    """Forward selection with replacement (Caruana et al., Ensemble selection from libraries of models, 2004).

    It starts from the best member alone and goes on adding the one that helps most (a member may come again), whether
    or not that gains; the proposals are what it had after each step, then each
    member alone. Of members that help equally, one that is in
    already is preferred, then the earlier.
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
        # Each member alone is tried whatever is searched; the first step is only the best on a part of the images.
        steps.extend(np.eye(members, dtype=np.int64) * WHOLE)
        return np.array(list(dict.fromkeys(tuple(row.tolist()) for row in steps)), dtype=np.int64)

    return propose


METHODS: dict[str, Callable[[int, int], Propose]] = {
    "optuna": evenly_spread,
    "greedy": greedy_selection,
    "equal": equal_only,
}
"""Members and trials (what greedy and equal do not ask for) -> method."""


def expected_vectors(method: str, members: int, trials: int) -> int:
    """About how many vectors a method tries; searches that leave out a fold mostly ask for the same ones."""
    return {"optuna": 1 + members + trials, "greedy": ROUNDS * members, "equal": 1}[method] if members > 1 else 1
