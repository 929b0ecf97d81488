"""Weight vectors tried on scores of samples: each is blended once, whoever asks for it, and its AUROCs are kept."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.selection.bootstrap import group_draws, weighted_aurocs
from competition.ensembling.selection.crossfitting import Excluded, left_out_sets
from competition.ensembling.voting.combination import Blend

# An AUROC is no mean over images, so its standard error is bootstrapped; 200 draws settle it to about 5 %.
DRAWS = 200


class AurocTrials:
    """Remembers the AUROCs of every weight vector that was tried.

    Attributes:
        sets: The sets of folds that are left out in turn.
        vectors: The vectors in the order they were tried, each a tuple of thousandths. The first one is the simplest,
            which is kept where no gain is shown.
    """

    def __init__(
        self,
        blend: Blend,
        simplest: Sequence[int],
        truth: NDArray[np.integer],
        folds: NDArray[np.integer],
        groups: Sequence[str],
        seed: int,
    ) -> None:
        """Try the simplest vector.

        Args:
            blend: Weights in thousandths -> scores (n,).
            simplest: The vector that is kept where no gain is shown.
            truth: 0/1 (n,).
            folds: (n,) fold of each sample.
            groups: (n,) person of each sample.
            seed: Of the bootstrap.
        """
        self.sets = left_out_sets([int(fold) for fold in np.unique(folds)])
        self.vectors: list[tuple[int, ...]] = []
        self._position_of: dict[tuple[int, ...], int] = {}
        self._blend, self._truth, self._folds, self._groups = blend, truth, folds, np.asarray(groups)
        self._seed = seed
        self._kept = {excluded: ~np.isin(folds, list(excluded)) for excluded in self.sets}
        self._taken = np.stack(list(self._kept.values())).astype(np.int64)
        self._scores: list[NDArray[np.float64]] = []
        self._aurocs: list[dict[Excluded, float]] = []
        self.position(simplest)

    def position(self, weights: Sequence[int]) -> int:
        """Try a vector (M,) unless it was tried before.

        Returns:
            Its position in ``vectors``.
        """
        vector = tuple(int(weight) for weight in weights)
        if vector not in self._position_of:
            scores = self._blend(vector)
            aurocs = weighted_aurocs(self._truth, scores, self._taken)
            self._position_of[vector] = len(self.vectors)
            self.vectors.append(vector)
            self._scores.append(scores)
            self._aurocs.append(dict(zip(self.sets, aurocs.tolist(), strict=True)))
        return self._position_of[vector]

    def scores(self, position: int) -> NDArray[np.float64]:
        """Return the blended scores of all samples (n,)."""
        return self._scores[position]

    def auroc(self, position: int, excluded: Excluded = frozenset()) -> float:
        """Return the AUROC of the samples in folds that are not excluded; nan where these are of one class."""
        return self._aurocs[position][excluded]

    def joined(self, chosen: dict[int, int]) -> NDArray[np.float64]:
        """Score (n,), each fold's by the vector at the position that was chosen without it; elsewhere the simplest."""
        scores = self._scores[0].copy()
        for fold, position in chosen.items():
            held = self._folds == fold
            scores[held] = self._scores[position][held]
        return scores

    def gain(self, excluded: Excluded, chosen: dict[int, int]) -> tuple[float, float]:
        """Return what the chosen vectors gain over the simplest on folds that they never saw.

        Args:
            excluded: Folds that are not looked at.
            chosen: Each other fold -> position of the vector that was chosen without it.

        Returns:
            Gain of AUROC and its standard error, bootstrapped by group.
        """
        kept = self._kept[excluded]
        times, members = group_draws(self._groups[kept].tolist(), DRAWS, self._seed)
        # The first row is the samples themselves, the others are drawn from them.
        rows = np.concatenate([np.ones((1, len(members)), dtype=np.int64), times[:, members]])
        truth, searched, simplest = self._truth[kept], self.joined(chosen)[kept], self._scores[0][kept]
        gains = weighted_aurocs(truth, searched, rows) - weighted_aurocs(truth, simplest, rows)
        drawn = gains[1:][np.isfinite(gains[1:])]  # a draw of one class only has no AUROC
        return float(gains[0]), float(drawn.std(ddof=1)) if len(drawn) > 1 else float("inf")
