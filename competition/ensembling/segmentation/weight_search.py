"""Member weights of masks: a search proposes without seeing a fold, and counts only for what it gains on that fold.

A search is run for every set of folds that is left out. The candidates that it may pick for a set come from the other
folds alone, so a cross-fitted score never rests on the fold that it is measured on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.console import Ticker, progress
from competition.ensembling.segmentation.thresholds import WINDOW, FoldSums, Window
from competition.ensembling.segmentation.tuning_images import SEARCH_IMAGES, TuningImages, search_rows
from competition.ensembling.selection.bootstrap import gain_with_error
from competition.ensembling.selection.crossfitting import Choice, Excluded, choose, crossfit, first_best, left_out_sets
from competition.ensembling.selection.weight_methods import Propose, check_candidates, explain
from competition.ensembling.voting.blend import check_weights, round_weights
from competition.ensembling.voting.class_groups import ClassGroups
from competition.metrics.ratios import Ratios, join

# Of a search on a part of the images so many of its candidates are scored on all of them.
SHORTLIST = 20

Evaluate = Callable[[NDArray[np.int64], NDArray[np.int64]], Ratios]
"""Weights (C, M) in thousandths and positions of images (n,) -> ratios (n, C, 256), valid in the window."""

Picks = Mapping[tuple[Excluded, int], Sequence[int]]
"""Left-out folds and class group -> positions of the candidates among the vectors."""


class TriedWeights:
    """The figures of every weight vector that was tried on images, each evaluated once.

    Curves of a vector are reduced and dropped, so memory does not grow with k * n * C * 256.

    Attributes:
        images: What the vectors are tried on.
        class_groups: Classes that get weights of their own; one evaluation serves all groups.
        sets: The sets of folds that are left out in turn.
        vectors: The vectors in the order they were tried, each a tuple of thousandths. The first one is equal weights.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        members: int,
        images: TuningImages,
        rows: NDArray[np.int64],
        class_groups: ClassGroups,
        window: Window,
        ticker: Ticker,
    ) -> None:
        """Try equal weights on the images at ``rows``; the ticker is advanced once per vector."""
        self.images = images.take(rows)
        self.class_groups = class_groups
        self.sets = left_out_sets(self.images.names)
        self.vectors: list[tuple[int, ...]] = []
        self._position_of: dict[tuple[int, ...], int] = {}
        self._evaluate, self._rows, self._window, self._ticker = evaluate, rows, window, ticker
        self._held_rows = {
            excluded: np.flatnonzero(np.isin(self.images.folds, list(excluded))) for excluded in self.sets
        }
        self._scores: list[dict[Excluded, NDArray[np.float64]]] = []
        self._held: list[dict[Excluded, Ratios]] = []
        self._best = 0.0
        self.position(round_weights(np.ones(members)))

    def position(self, weights: NDArray[np.int64]) -> int:
        """Return the position of a vector (M,) in ``vectors``; it is tried unless it was before."""
        vector = tuple(check_weights(weights.tolist(), len(weights)))
        if vector not in self._position_of:
            self._position_of[vector] = len(self.vectors)
            self.vectors.append(vector)
            self._try(weights)
        return self._position_of[vector]

    def score(self, position: int, excluded: Excluded) -> NDArray[np.float64]:
        """Return the mean score of each class group (G,) on the folds not excluded, at levels tuned on these."""
        return self._scores[position][excluded]

    def gain(self, excluded: Excluded, chosen: dict[int, int], group: int) -> tuple[float, float]:
        """Return the mean gain of a class group over equal weights, and its standard error clustered by images' groups.

        ``chosen`` maps each fold that is not excluded to the position of the vector that was chosen without it.
        """
        searched, equal, groups = [], [], []
        for fold, position in chosen.items():
            without = excluded | {fold}
            rows = self._held_rows[without]
            here = self.images.folds[rows] == fold
            searched.append(self._held[position][without].take(here))
            equal.append(self._held[0][without].take(here))
            groups.append(np.asarray(self.images.groups)[rows][here])
        differences = join(searched).values() - join(equal).values()
        if searched[0].denominators is not None:
            differences = self.class_groups.means(differences)
        return gain_with_error(differences[:, group], np.concatenate(groups).tolist())

    def _try(self, weights: NDArray[np.int64]) -> None:
        classes = np.arange(len(self.class_groups.of_class))
        curves = self._evaluate(np.tile(weights, (len(classes), 1)), self._rows)
        sums = FoldSums.of(curves, self.images)
        scores, held = {}, {}
        for excluded, rows in self._held_rows.items():
            levels = sums.levels_without(excluded, self._window)
            scores[excluded] = self.class_groups.means(sums.mean_without(excluded)[classes, levels])
            own = curves.at(levels, rows)
            # Means over images are reduced to class groups at once; other ratios only after they are joined.
            held[excluded] = own if own.denominators is not None else Ratios(self.class_groups.means(own.numerators))
        self._scores.append(scores)
        self._held.append(held)
        self._best = max(self._best, float(scores[frozenset()].mean()))
        self._ticker.advance(f"best {self._best:.4f}")


@dataclass(frozen=True)
class WeightSearch:
    """What a search over member weights found."""

    weights: NDArray[np.int64]  # (C, M), each class's weights in thousandths; the classes of a group share theirs
    without: dict[int, NDArray[np.int64]]  # fold -> (C, M), chosen on the others; empty with fewer than two folds
    choices: tuple[Choice, ...]  # of each class group: why these weights
    tried: tuple[TriedWeights, ...]  # on the images of the search, and again on all of them if those were fewer
    class_groups: ClassGroups  # which classes share their weights
    reason: str  # why these weights, as a clause


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

    The mean score is a mean over classes, so each class group is searched alone, and one evaluation of a weight vector
    serves all of them. ``propose`` is called once for every class group and set of left-out folds, on no more than
    ``search_limit`` images; ``expected`` is about how many vectors it will try, for the progress that is shown.

    Returns:
        For each class group the weights that are picked on all folds, or equal weights where the cross-fitted gain
        over them is within one standard error.
    """
    everything = np.arange(len(images.folds))
    rows = search_rows(images, seed=0, limit=search_limit)
    with progress(f"weights, on {len(rows)} images", expected) as ticker:
        searched = exact = TriedWeights(evaluate, members, images, rows, class_groups, window, ticker)
        proposed = _propose_all(searched, propose)
    if len(rows) < len(everything):
        best = _shortlists(searched, proposed)
        distinct = {vector for vectors in best.values() for vector in vectors}
        with progress(f"the best weights, on {len(everything)} images", len(distinct)) as ticker:
            exact = TriedWeights(evaluate, members, images, everything, class_groups, window, ticker)
            proposed = {key: [exact.position(np.array(vector)) for vector in best[key]] for key in best}
    picked = {
        (excluded, group): positions[first_best(_scores(exact, positions, excluded, group))]
        for (excluded, group), positions in proposed.items()
    }
    final = _choose_all(exact, picked, frozenset())
    named = zip(class_groups.names, final, strict=True)
    reasons = [(f"{name}: " if name else "") + explain(choice, np.array(searched.vectors)) for name, choice in named]
    return WeightSearch(
        weights=_weights_of(exact, final),
        without=crossfit(images.names, lambda without: _weights_of(exact, _choose_all(exact, picked, without))),
        choices=final,
        tried=(searched,) if exact is searched else (searched, exact),
        class_groups=class_groups,
        reason="; ".join(reasons),
    )


def given_weights(
    evaluate: Evaluate, weights: Sequence[int], images: TuningImages, class_groups: ClassGroups, window: Window
) -> WeightSearch:
    """Take given weights (M,) in thousandths as the result of a search: they hold without any fold."""
    with progress("given and equal weights", 2) as ticker:
        everything = np.arange(len(images.folds))
        tried = TriedWeights(evaluate, len(weights), images, everything, class_groups, window, ticker)
        position = tried.position(np.array(weights))
    by_class = np.tile(np.array(weights, dtype=np.int64), (len(class_groups.of_class), 1))
    return WeightSearch(
        weights=by_class,
        without=crossfit(images.names, lambda _: by_class),
        choices=(Choice(position, None, None, "as they were given"),) * len(class_groups.names),
        tried=(tried,),
        class_groups=class_groups,
        reason="weights as they were given",
    )


def _scores(tried: TriedWeights, positions: Sequence[int], excluded: Excluded, group: int) -> NDArray[np.float64]:
    """Return a class group's scores of vectors (k,) on the folds that are not excluded."""
    return np.array([tried.score(position, excluded)[group] for position in positions])


def _weights_of(tried: TriedWeights, choices: Sequence[Choice]) -> NDArray[np.int64]:
    """Return the weights (C, M) that were chosen for the class groups."""
    of_group = np.array([tried.vectors[choice.index] for choice in choices], dtype=np.int64)
    return of_group[tried.class_groups.of_class]


def _propose_all(tried: TriedWeights, propose: Propose) -> Picks:
    """Search without each set of folds, for each class group; the score it is given sees no left-out fold."""
    proposed = {}
    for excluded in tried.sets:
        for group in range(len(tried.class_groups.names)):

            def score(weights: NDArray[np.int64], excluded: Excluded = excluded, group: int = group) -> float:
                return float(tried.score(tried.position(weights), excluded)[group])

            candidates = propose(score)
            check_candidates(candidates)
            proposed[excluded, group] = [tried.position(row) for row in candidates]
    return proposed


def _shortlists(tried: TriedWeights, proposed: Picks) -> dict[tuple[Excluded, int], list[tuple[int, ...]]]:
    """Return the best candidates of each search, and equal weights.

    A set of left-out folds gets its own shortlist: another's was made on the folds that are left out here.
    """
    shortlists = {}
    for (excluded, group), positions in proposed.items():
        scores = _scores(tried, positions, excluded, group)
        best = sorted({0, *np.argsort(-scores, kind="stable")[:SHORTLIST].tolist()})
        shortlists[excluded, group] = [tried.vectors[positions[place]] for place in best]
    return shortlists


def _choose_all(
    tried: TriedWeights, picked: Mapping[tuple[Excluded, int], int], excluded: Excluded
) -> tuple[Choice, ...]:
    """Return the choice of each class group on the folds that are not excluded (at most one is)."""
    choices = []
    for group in range(len(tried.class_groups.names)):
        own = {without: position for (without, of), position in picked.items() if of == group}

        def gain(without: Excluded, chosen: dict[int, int], group: int = group) -> tuple[float, float]:
            return tried.gain(without, chosen, group)

        choices.append(choose(own, gain, tried.images.names, excluded))
    return tuple(choices)
