"""What every tuning ends in: weighted members and the honest numbers of a decision."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from competition.data.folds import Folds
from competition.ensembling.decision import Member, Scores
from competition.ensembling.members import TrainedMember


def weigh(members: Sequence[TrainedMember], weights: Sequence[int], folds: Folds) -> tuple[Member, ...]:
    """The members as a decision names them, with their weights in thousandths."""
    return tuple(
        Member(
            name=m.name,
            folds=m.folds,
            weight=weight,
            config_hash=m.config_hash,
            fold_hash=folds.hash(),
            classes=m.classes,
        )
        for m, weight in zip(members, weights, strict=True)
    )


def honest_scores(
    by_fold: Sequence[float],
    oof: float,
    crossfit: float | None,
    interval: tuple[float | None, float | None],
    reweighted: float | None = None,
) -> Scores:
    """The honest numbers; with one member of a ranking metric nothing was tuned, so ``crossfit`` may equal ``oof``.

    The interval is that of ``crossfit``: an optimistic figure gets none.
    """
    return Scores(
        fold_mean=number(np.mean(by_fold)) if by_fold else None,
        fold_sd=number(np.std(by_fold, ddof=1)) if len(by_fold) > 1 else None,
        oof=number(oof),
        oof_crossfit=None if crossfit is None else number(crossfit),
        interval_low=None if crossfit is None else interval[0],
        interval_high=None if crossfit is None else interval[1],
        oof_reweighted=reweighted,
    )


def number(value: float | np.floating[Any]) -> float | None:
    """A figure for JSON, where NaN does not exist."""
    return None if np.isnan(value) else float(value)
