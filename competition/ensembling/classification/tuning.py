"""Tuning a classification ensemble: weights by the AUROC of the first class, thresholds of the others by cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.classification.locations import ChosenLocations, choose_locations
from competition.ensembling.classification.weight_search import (
    TableSamples,
    WeightSearch,
    member_contributions,
    search_weights,
)
from competition.ensembling.selection.bootstrap import (
    Difference,
    MemberContribution,
    auroc_interval,
    auroc_of,
    paired_difference,
)
from competition.ensembling.selection.crossfitting import crossfit_parts, fold_names
from competition.ensembling.selection.weight_methods import Propose
from competition.ensembling.voting.blend import round_weights
from competition.ensembling.voting.combination import Combination, blend_tables, combine, mean_of
from competition.metrics.tables import AUROC, AneurysmScore, auroc, score_aneurysm


@dataclass(frozen=True)
class TunedClassification:
    """What was chosen."""

    search: WeightSearch  # weights, chosen by the AUROC of the ranked class
    # Of the mean of probabilities at equal weights; nan where a fold's samples are all of one class.
    fold_aurocs: dict[int, float]
    locations: ChosenLocations  # thresholds and gate of the other classes, which are submitted as 0 or 1
    oof: AneurysmScore  # of everything chosen, on the samples it was chosen on
    crossfit: AneurysmScore | None  # everything chosen on the other parts (``crossfit_parts``); None with one part
    interval: tuple[float, float] | None  # 95 %, group bootstrap, of the cross-fitted AUROC, or ``oof`` without one
    # The cross-fitted AUROC less that of the mean of probabilities at equal weights; None with one part, or where a
    # bootstrap finds no AUROC.
    gain: Difference | None
    contributions: list[MemberContribution] | None  # of each member; None where the truth is of one class


def tune_classification(
    tables: NDArray[np.float64],
    truth: NDArray[np.int64],
    folds: NDArray[np.int64],
    groups: Sequence[str],
    propose: Propose,
    combination: Combination = "mean",
    given: Sequence[int] | None = None,
) -> TunedClassification:
    """Choose weights, then thresholds and a gate, on out-of-fold probabilities (M, n, C) and a truth 0/1 (n, C).

    ``given`` are weights in thousandths that are not to be searched.
    """
    scores, wanted = tables[:, :, 0], truth[:, 0]
    parts = crossfit_parts(folds, groups)
    # Only the first column has weights; ranks of the others are not needed.
    first, samples = tables[:, :, :1], TableSamples(AUROC, truth[:, :1], parts, groups)
    search = search_weights(blend_tables(combination, first), len(tables), samples, propose, given)
    plain = mean_of(scores)(round_weights(np.ones(len(tables))).tolist())
    chosen = combine(combination, tables, search.weights)
    without = {fold: combine(combination, tables, weights).probs for fold, weights in search.weights_without.items()}
    locations = choose_locations(truth[:, 1:], chosen.probs, parts, groups, without)
    oof = score_aneurysm(truth, np.column_stack([chosen.score, locations.rule.decide(chosen.probs)]))
    crossfit, gain, ranked = None, None, chosen.score
    if search.crossfit_outputs is not None and locations.crossfit is not None:
        ranked = search.crossfit_outputs[:, 0]
        crossfit = score_aneurysm(truth, np.column_stack([ranked, locations.crossfit]))
        gain = paired_difference(auroc_of(wanted, ranked), auroc_of(wanted, plain), groups, seed=0)
    return TunedClassification(
        search=search,
        fold_aurocs={fold: auroc(wanted[folds == fold], plain[folds == fold]) for fold in fold_names(folds)},
        locations=locations,
        oof=oof,
        crossfit=crossfit,
        interval=auroc_interval(wanted, ranked, groups, seed=0),
        gain=gain if gain and np.isfinite([gain.value, gain.low, gain.high]).all() else None,
        contributions=member_contributions(search, samples),
    )
