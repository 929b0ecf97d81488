"""Tuning a table by any metric: weights, then the rule that makes decisions of the blend, cross-fitted together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from competition.ensembling.classification.rules import ChosenRule, choose_rule, rules_of
from competition.ensembling.classification.weight_search import (
    TableSamples,
    WeightSearch,
    member_contributions,
    search_weights,
)
from competition.ensembling.selection.bootstrap import (
    Difference,
    MemberContribution,
    figure_interval,
    paired_difference,
    table_figure,
)
from competition.ensembling.selection.crossfitting import crossfit_parts, fold_names
from competition.ensembling.selection.weight_methods import Propose
from competition.ensembling.voting.blend import round_weights
from competition.ensembling.voting.combination import Combination, blend_tables
from competition.errors import CompetitionError
from competition.metrics.tables import TableMetric


@dataclass(frozen=True)
class TunedTable:
    """What was chosen; scores are nan where they are not defined."""

    search: WeightSearch
    rule: ChosenRule
    fold_scores: dict[int, float]  # of the mean of probabilities at equal weights, without tuning
    oof: float  # of everything chosen, on the samples it was chosen on
    crossfit: float | None  # everything chosen on the other parts (``crossfit_parts``); None with one part
    interval: tuple[float, float] | None  # 95 %, group bootstrap, of the cross-fitted score, or ``oof`` without one
    # likewise of ``search.crossfit``, by the rule that weights are compared with
    vote_interval: tuple[float, float] | None
    gain: Difference | None  # the cross-fitted score less that of equal weights without tuning; None with one part
    contributions: list[MemberContribution] | None  # of each member; None where the score is not defined
    class_scores: NDArray[np.float64]  # (C,) of each class, cross-fitted where that is possible


def check_combination(combination: Combination, metric: TableMetric) -> None:
    """Reject ranks for a metric that needs probabilities.

    Raises:
        CompetitionError: It does.
    """
    if combination == "rank" and metric.outputs != "order":
        what = f"--combine rank makes ranks, and {metric.title} needs probabilities"
        raise CompetitionError(what, repair="Tune with --combine mean or logit")


def tune_table(
    tables: NDArray[np.float64],
    truth: NDArray[np.int64],
    metric: TableMetric,
    folds: NDArray[np.int64],
    groups: Sequence[str],
    propose: Propose,
    combination: Combination = "mean",
    given: Sequence[int] | None = None,
) -> TunedTable:
    """Choose weights, then a rule, on out-of-fold probabilities (M, n, C) and a truth 0/1 (n, C).

    Args:
        tables: Of each member.
        truth: 0/1, one-hot where classes exclude each other.
        metric: What is to be highest.
        folds: (n,).
        groups: (n,).
        propose: How weights are searched.
        combination: How the members become one.
        given: Weights in thousandths that are not to be searched.

    Raises:
        CompetitionError: The metric needs probabilities and the combination makes ranks, or one is not a number.
    """
    check_combination(combination, metric)
    exclusive, members = metric.targets != "multilabel", len(tables)
    blend, parts = blend_tables(combination, tables, exclusive), crossfit_parts(folds, groups)
    samples = TableSamples(metric, truth, parts, groups, rules_of(metric, truth.shape[1]).fit)
    search = search_weights(blend, members, samples, propose, given)
    without = {fold: blend(weights) for fold, weights in search.weights_without.items()}
    rule = choose_rule(metric, truth, blend(search.weights), parts, groups, without)
    decided = rule.rule.decide(blend(search.weights))
    honest = decided if rule.crossfit is None else rule.crossfit
    plain = metric.plain(blend_tables("mean", tables)(round_weights(np.ones(members)).tolist()))
    of_honest, of_plain = table_figure(metric, truth, honest), table_figure(metric, truth, plain)
    gain = None if rule.crossfit is None else paired_difference(of_honest, of_plain, groups, seed=0)
    return TunedTable(
        search=search,
        rule=rule,
        fold_scores={
            fold: metric.score_table(truth[folds == fold], plain[folds == fold]) for fold in fold_names(folds)
        },
        oof=metric.score_table(truth, decided),
        crossfit=None if rule.crossfit is None else metric.score_table(truth, rule.crossfit),
        interval=figure_interval(of_honest, groups, seed=0),
        vote_interval=None
        if search.crossfit_outputs is None
        else figure_interval(table_figure(metric, truth, search.crossfit_outputs), groups, seed=0),
        gain=gain if gain and np.isfinite([gain.value, gain.low, gain.high]).all() else None,
        contributions=member_contributions(search, samples),
        class_scores=metric.class_scores(truth, honest),
    )
