"""Weight vectors tried on images: each is evaluated once, whoever asks for it, and reduced to a few figures."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from competition.console import Ticker
from competition.ensembling.segmentation.thresholds import FoldSums, Window
from competition.ensembling.segmentation.tuning_images import TuningImages
from competition.ensembling.selection.bootstrap import gain_with_error
from competition.ensembling.selection.crossfitting import Excluded, left_out_sets
from competition.ensembling.voting.blend import check_weights, round_weights
from competition.ensembling.voting.class_groups import ClassGroups
from competition.metrics.ratios import Ratios, join

Evaluate = Callable[[NDArray[np.int64], NDArray[np.int64]], Ratios]
"""Weights (C, M) in thousandths and positions of images (n,) -> ratios (n, C, 256), valid in the window."""


class Trials:
    """Remembers the figures of every weight vector that was tried.

    Curves of a vector are looked at once, reduced and dropped, so memory does not grow with k * n * C * 256.

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
        """Try equal weights.

        Args:
            evaluate: Gives curves.
            members: M.
            images: All images.
            rows: Positions of those that are looked at.
            class_groups: Classes that get weights of their own.
            window: Lowest and highest threshold that may be chosen.
            ticker: Advanced once per vector that is tried.
        """
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
        """Try a vector (M,) unless it was tried before.

        Returns:
            Its position in ``vectors``.
        """
        vector = tuple(check_weights(weights.tolist(), len(weights)))
        if vector not in self._position_of:
            self._position_of[vector] = len(self.vectors)
            self.vectors.append(vector)
            self._try(weights)
        return self._position_of[vector]

    def score(self, position: int, excluded: Excluded) -> NDArray[np.float64]:
        """The mean score of each class group (G,) on all folds that are not excluded, at cuts tuned on these folds."""
        return self._scores[position][excluded]

    def gain(self, excluded: Excluded, chosen: dict[int, int], group: int) -> tuple[float, float]:
        """Return what the vectors gain over equal weights on folds that they never saw.

        Args:
            excluded: Folds that are not looked at.
            chosen: Each other fold -> position of the vector that was chosen without it.
            group: The class group that is scored.

        Returns:
            Mean gain and its standard error, clustered by person.
        """
        searched, equal, people = [], [], []
        for fold, position in chosen.items():
            without = excluded | {fold}
            rows = self._held_rows[without]
            here = self.images.folds[rows] == fold
            searched.append(self._held[position][without].take(here))
            equal.append(self._held[0][without].take(here))
            people.append(np.asarray(self.images.groups)[rows][here])
        differences = join(searched).values() - join(equal).values()
        if searched[0].denominators is not None:
            differences = self.class_groups.means(differences)
        return gain_with_error(differences[:, group], np.concatenate(people).tolist())

    def _try(self, weights: NDArray[np.int64]) -> None:
        classes = np.arange(len(self.class_groups.of_class))
        curves = self._evaluate(np.tile(weights, (len(classes), 1)), self._rows)
        sums = FoldSums.of(curves, self.images)
        scores, held = {}, {}
        for excluded, rows in self._held_rows.items():
            cuts = sums.cuts_without(excluded, self._window)
            scores[excluded] = self.class_groups.means(sums.mean_without(excluded)[classes, cuts])
            held[excluded] = self._reduced(curves.at(cuts, rows))
        self._scores.append(scores)
        self._held.append(held)
        self._best = max(self._best, float(scores[frozenset()].mean()))
        self._ticker.advance(f"best {self._best:.4f}")

    def _reduced(self, held: Ratios) -> Ratios:
        """Return scores of units (n, C) by class group (n, G), where they are means and can be reduced at once."""
        return held if held.denominators is not None else Ratios(self.class_groups.means(held.numerators))
