"""Member weights: a search that proposes without seeing a fold, and believes only what pays on it.

A search is run for every set of folds that is left out. The candidates that it may pick for a set come from the other
folds alone, so a cross-fitted score never rests on the fold that it is measured on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray

from competition.console import progress
from competition.ensembling.segmentation.thresholds import WINDOW, Window
from competition.ensembling.segmentation.trials import Evaluate, Trials
from competition.ensembling.segmentation.tuning_images import SEARCH_IMAGES, TuningImages, search_rows
from competition.ensembling.selection.crossfitting import Choice, Excluded, choose, first_best
from competition.ensembling.selection.optuna_study import low_discrepancy_sampler, quiet_study
from competition.ensembling.voting.blend import WHOLE, check_weights, round_weights
from competition.ensembling.voting.class_groups import ClassGroups

# Of a search on a part of the images so many of its candidates are scored on all of them.
SHORTLIST = 20

Score = Callable[[NDArray[np.int64]], float]
"""Weights (M,) -> mean Dice on the folds that may be seen."""

Propose = Callable[[Score], NDArray[np.int64]]
"""Gives candidates int64 (k, M), the first one equal weights."""

Picks = Mapping[tuple[Excluded, int], Sequence[int]]
"""Left-out folds and class group -> positions of the candidates among the trials."""


@dataclass(frozen=True)
class WeightSearch:
    """What a search over member weights found.

    Attributes:
        weights: int64 (C, M), each class's weights in thousandths; the classes of a group share theirs.
        without: Fold -> int64 (C, M), chosen on the other folds by the same rule; empty with fewer than two folds.
        choices: Of each class group: why these weights.
        tried: What was tried on the images of the search, and what was tried again on all of them if those were fewer.
        class_groups: Which classes share their weights.
        reason: Why these weights, for people.
    """

    weights: NDArray[np.int64]
    without: dict[int, NDArray[np.int64]]
    choices: tuple[Choice, ...]
    tried: tuple[Trials, ...]
    class_groups: ClassGroups
    reason: str


def candidate_weights(members: int, trials: int, seed: int) -> NDArray[np.int64]:
    """List the weight vectors to try: equal, each member alone, then points spread evenly over the simplex.

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
    """Make sure that every candidate is convex and the first is equal weights, which the search falls back to."""
    for row in candidates:
        check_weights(row.tolist(), candidates.shape[1])
    if candidates[0].tolist() != round_weights(np.ones(candidates.shape[1])).tolist():
        raise ValueError("the first candidate must be equal weights")


def search_weights(
    evaluate: Evaluate,
    propose: Propose,
    members: int,
    images: TuningImages,
    class_groups: ClassGroups,
    window: Window = WINDOW,
    search_limit: int = SEARCH_IMAGES,
    expected: int = 1,
) -> WeightSearch:
    """Choose member weights on out-of-fold predictions.

    Args:
        evaluate: Gives the curves of weights on images.
        propose: Searches; it is called once for every class group and set of left-out folds.
        members: M.
        images: What ``evaluate`` knows.
        class_groups: Classes that get weights of their own. The mean Dice is a mean over classes, so each group is
            searched alone, and one evaluation of a weight vector serves all of them.
        window: Lowest and highest threshold that may be chosen.
        search_limit: The search looks at no more images than this.
        expected: About how many vectors ``propose`` will try, for the progress that is shown.

    Returns:
        For each class group the weights that are picked on all folds, or equal weights where the cross-fitted gain
        over them is within one standard error.
    """
    everything = np.arange(len(images.folds))
    rows = search_rows(images, seed=0, limit=search_limit)
    with progress(f"weights, on {len(rows)} images", expected) as ticker:
        trials = Trials(evaluate, members, images, rows, class_groups, window, ticker)
        proposed, tried = _propose_all(trials, propose), [trials]
    if len(rows) < len(everything):
        best = _shortlists(trials, proposed)
        distinct = {vector for vectors in best.values() for vector in vectors}
        with progress(f"the best weights, on {len(everything)} images", len(distinct)) as ticker:
            exact = Trials(evaluate, members, images, everything, class_groups, window, ticker)
            proposed = {key: [exact.position(np.array(vector)) for vector in best[key]] for key in best}
        tried.append(exact)
    picked = {key: _pick(tried[-1], key, positions) for key, positions in proposed.items()}
    final = _choose_all(tried[-1], picked, frozenset())
    left_out = images.names if len(images.names) > 1 else []
    without = {fold: _choose_all(tried[-1], picked, frozenset({fold})) for fold in left_out}
    named = zip(class_groups.names, final, strict=True)
    reasons = [(f"{name}: " if name else "") + explain(choice, np.array(trials.vectors)) for name, choice in named]
    return WeightSearch(
        weights=_weights_of(tried[-1], final),
        without={fold: _weights_of(tried[-1], choices) for fold, choices in without.items()},
        choices=final,
        tried=tuple(tried),
        class_groups=class_groups,
        reason="; ".join(reasons),
    )


def given_weights(
    evaluate: Evaluate, weights: Sequence[int], images: TuningImages, class_groups: ClassGroups, window: Window
) -> WeightSearch:
    """Take given weights for what a search would have found: nothing is chosen, so they hold without any fold.

    Args:
        evaluate: Gives the curves of these weights and of equal ones.
        weights: One per member, in thousandths, 1000 in sum.
        images: What ``evaluate`` knows.
        class_groups: Which classes share their weights.
        window: Lowest and highest threshold that may be chosen.

    Returns:
        The weights, tried beside equal ones.
    """
    with progress("given and equal weights", 2) as ticker:
        trials = Trials(evaluate, len(weights), images, np.arange(len(images.folds)), class_groups, window, ticker)
        given = trials.position(np.array(weights))
    choice = Choice(given, None, None, "as they were given")
    by_class = np.tile(np.array(weights, dtype=np.int64), (len(class_groups.of_class), 1))
    return WeightSearch(
        weights=by_class,
        without=dict.fromkeys(images.names, by_class) if len(images.names) > 1 else {},
        choices=(choice,) * len(class_groups.names),
        tried=(trials,),
        class_groups=class_groups,
        reason="weights as they were given",
    )


def _weights_of(trials: Trials, choices: Sequence[Choice]) -> NDArray[np.int64]:
    """Return the weights (C, M) that were chosen for the class groups."""
    of_group = np.array([trials.vectors[choice.index] for choice in choices], dtype=np.int64)
    return of_group[trials.class_groups.of_class]


def _propose_all(trials: Trials, propose: Propose) -> Picks:
    """Search without each set of folds, for each class group; the score it is given sees no left-out fold."""
    proposed = {}
    for excluded in trials.sets:
        for group in range(len(trials.class_groups.names)):

            def score(weights: NDArray[np.int64], excluded: Excluded = excluded, group: int = group) -> float:
                return float(trials.score(trials.position(weights), excluded)[group])

            candidates = propose(score)
            check_candidates(candidates)
            proposed[excluded, group] = [trials.position(row) for row in candidates]
    return proposed


def _shortlists(trials: Trials, proposed: Picks) -> dict[tuple[Excluded, int], list[tuple[int, ...]]]:
    """Return the best candidates of each search, and equal weights.

    A set of left-out folds gets its own shortlist: another's was made on the folds that are left out here.
    """
    shortlists = {}
    for (excluded, group), positions in proposed.items():
        scores = np.array([trials.score(position, excluded)[group] for position in positions])
        best = sorted({0, *np.argsort(-scores, kind="stable")[:SHORTLIST].tolist()})
        shortlists[excluded, group] = [trials.vectors[positions[place]] for place in best]
    return shortlists


def _pick(trials: Trials, key: tuple[Excluded, int], positions: Sequence[int]) -> int:
    """Return the first of the best candidates of a class group, by the folds that are not excluded."""
    excluded, group = key
    return positions[first_best(np.array([trials.score(position, excluded)[group] for position in positions]))]


def _choose_all(trials: Trials, picked: Mapping[tuple[Excluded, int], int], excluded: Excluded) -> tuple[Choice, ...]:
    """Return the choice of each class group on the folds that are not excluded (at most one is)."""
    choices = []
    for group in range(len(trials.class_groups.names)):
        own = {without: position for (without, of), position in picked.items() if of == group}

        def gain(without: Excluded, chosen: dict[int, int], group: int = group) -> tuple[float, float]:
            return trials.gain(without, chosen, group)

        choices.append(choose(own, gain, trials.images.names, excluded))
    return tuple(choices)


def explain(choice: Choice, candidates: NDArray[np.int64]) -> str:
    """Says in a sentence why weights were chosen."""
    if candidates.shape[1] == 1:
        return "one member: nothing to weigh"
    if len(candidates) == 1:
        equal = candidates[0].tolist() == round_weights(np.ones(candidates.shape[1])).tolist()
        return "equal weights: nothing was searched" if equal else "weights as they were given"
    return f"{'equal weights kept' if choice.index == 0 else 'searched weights taken'}: {choice.reason}"
