"""How a blend of probabilities becomes what is submitted, chosen by what the metric scores.

none        the probabilities themselves (AUROC, average precision, log loss, RMSE of the mean grade).
thresholds  a class is 1 where its probability is greater (independent classes).
argmax      the class of the highest log p + offset (classes that exclude each other).
cut points  the grade is the number of cut points that the mean grade reaches (ordered classes).

Rules of growing freedom are tried in turn, and a freer one replaces a simpler one only where its cross-fitted gain
exceeds one standard error. ``locations.LocationRule`` is the aneurysm track's own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from competition.ensembling.classification.offsets import best_offsets, log_probs
from competition.ensembling.classification.thresholds import (
    HALF,
    cells_metric,
    cut_points,
    one_threshold,
    thresholds_each,
)
from competition.ensembling.selection.bootstrap import table_gain
from competition.ensembling.selection.crossfitting import (
    Excluded,
    crossfit_rows,
    freest_that_gains,
    left_out_sets,
)
from competition.errors import CompetitionError
from competition.metrics.labels import F1, Kappa, LabelMetric
from competition.metrics.probabilities import ProbabilisticF1
from competition.metrics.tables import TableMetric, mean_grades, one_hot

RuleKind = Literal["none", "thresholds", "argmax", "cut points"]


class TableRule(BaseModel):
    """A rule with its numbers, as decision.json records it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: RuleKind
    values: tuple[float, ...] = ()  # thresholds (C,), offsets (C,), or ascending cut points (C - 1,); none of "none"

    def decide(self, probs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return what is submitted (n, C) of probabilities (n, C): themselves, 0/1 cells, or one-hot rows."""
        given, values = np.asarray(probs, dtype=np.float64), np.array(self.values)
        if self.kind == "thresholds":
            return (given > values).astype(np.float64)
        if self.kind == "argmax":
            return one_hot(np.argmax(log_probs(given) + values, axis=1), given.shape[1]).astype(np.float64)
        if self.kind == "cut points":
            grades = np.searchsorted(values, mean_grades(given), side="right")
            return one_hot(grades, given.shape[1]).astype(np.float64)
        return given

    def fault(self, classes: int) -> str | None:
        """Return why the rule can't be applied to a number of classes; None if it can."""
        needed = {"none": 0, "thresholds": classes, "argmax": classes, "cut points": classes - 1}[self.kind]
        if len(self.values) != needed:
            return f"the rule {self.kind!r} of {classes} classes has {needed} values, not {len(self.values)}"
        if self.kind == "thresholds" and not all(0 <= value <= 1 for value in self.values):
            return "a threshold is from 0 to 1"
        if self.kind == "cut points" and list(self.values) != sorted(self.values):
            return "cut points ascend"
        return None


Fit = Callable[[NDArray[np.integer], NDArray[np.float64]], TableRule]
"""Truth 0/1 (n, C) and probabilities (n, C) -> the rule with the highest score on them."""

NONE = TableRule(kind="none")


@dataclass(frozen=True)
class RuleChoice:
    """The rules that fit a metric, from the simplest, which looks at no truth, to the freest."""

    rules: Mapping[str, Fit]
    searched: str  # the rule with which weight vectors are compared

    @property
    def fit(self) -> Fit | None:
        """Return the rule with which weight vectors are compared; None where it leaves probabilities as they are."""
        return None if self.searched == "probabilities" else self.rules[self.searched]


@dataclass(frozen=True)
class ChosenRule:
    """The rule that was chosen."""

    rule: TableRule  # fitted on all samples
    # (n, C), each sample decided by a rule that was chosen and fitted on the other folds; None with fewer than two
    crossfit: NDArray[np.float64] | None
    reason: str  # why this rule, as a clause


def rules_of(metric: TableMetric, classes: int) -> RuleChoice:
    """Return the rules that are tried for a metric of a number of classes."""
    if isinstance(metric, Kappa):
        rounded = TableRule(kind="cut points", values=tuple(grade + HALF for grade in range(classes - 1)))
        cuts = _fit("cut points", cut_points, metric)
        return RuleChoice({"the rounded mean grade": lambda *_: rounded, "cut points": cuts}, "cut points")
    plain = TableRule(kind="argmax", values=(0.0,) * classes)
    if isinstance(metric, LabelMetric) and metric.targets != "multilabel":
        ordered = metric.targets == "ordinal" and not isinstance(metric, F1)
        rules: dict[str, Fit] = {"the most probable class": lambda *_: plain}
        rules |= {"cut points": _fit("cut points", cut_points, metric)} if ordered else {}
        return RuleChoice(rules | {"offsets": _fit("argmax", best_offsets, metric)}, "the most probable class")
    if isinstance(metric, LabelMetric | ProbabilisticF1) and metric.targets == "multilabel":
        cells = cells_metric(metric)
        half = TableRule(kind="thresholds", values=(HALF,) * classes)
        several = int((metric.class_weights(classes) > 0).sum()) > 1
        free = {"one threshold": _fit("thresholds", one_threshold, cells)} if several else {}
        free |= {"a threshold each": _fit("thresholds", thresholds_each, cells)}
        if isinstance(metric, ProbabilisticF1):
            return RuleChoice({"probabilities": lambda *_: NONE, **free}, "probabilities")
        return RuleChoice({"threshold 0.5": lambda *_: half, **free}, "a threshold each")
    return RuleChoice({"probabilities": lambda *_: NONE}, "probabilities")


def plain_rule(metric: TableMetric, classes: int) -> TableRule:
    """Return the simplest rule of a metric, which needs no truth."""
    simplest = next(iter(rules_of(metric, classes).rules.values()))
    return simplest(np.empty((0, classes), dtype=np.int64), np.empty((0, classes)))


def _fit(kind: RuleKind, search: Callable[..., Sequence[float]], metric: LabelMetric) -> Fit:
    return lambda truth, probs: TableRule(kind=kind, values=tuple(search(metric, truth, probs)))


def choose_rule(
    metric: TableMetric,
    truth: NDArray[np.integer],
    probs: NDArray[np.floating],
    folds: NDArray[np.integer],
    groups: Sequence[str],
    probs_without: Mapping[int, NDArray[np.floating]],
) -> ChosenRule:
    """Choose a rule on out-of-fold probabilities; arguments as for ``locations.choose_locations``, (n, C) each.

    Raises:
        CompetitionError: A probability is not a number.
    """
    rules = rules_of(metric, truth.shape[1]).rules

    def chosen(rows: NDArray[np.bool_], seen: NDArray[np.floating]) -> tuple[TableRule, str]:
        if not np.isfinite(seen).all():
            raise CompetitionError("a probability is not a number", "out-of-fold predictions", "Train the fold again")
        exact, kept = np.asarray(seen, dtype=np.float64)[rows], np.asarray(groups)[rows].tolist()
        return _freest(rules, metric, truth[rows], exact, folds[rows], kept)

    def decided(without: Excluded) -> NDArray[np.float64]:
        (fold,) = without
        seen = np.asarray(probs_without.get(fold, probs), dtype=np.float64)
        return chosen(folds != fold, seen)[0].decide(seen[folds == fold])

    rule, reason = chosen(np.ones(len(folds), dtype=np.bool_), probs)
    return ChosenRule(rule, crossfit_rows(np.zeros(truth.shape), folds, decided), reason)


def _freest(
    rules: Mapping[str, Fit],
    metric: TableMetric,
    truth: NDArray[np.integer],
    probs: NDArray[np.float64],
    folds: NDArray[np.integer],
    groups: Sequence[str],
) -> tuple[TableRule, str]:
    """Return the freest rule that gained over a simpler one on folds it was not fitted to, fitted to all, and why."""
    outputs: dict[str, NDArray[Any]] = {}

    def crossfitted(name: str) -> NDArray[Any]:
        if name not in outputs:
            table = np.zeros(truth.shape)
            for fold in np.unique(folds).tolist():
                held = folds == fold
                # of a single fold nothing is left to fit on, and ``freest_that_gains`` asks for no gain
                table[held] = rules[name](truth[~held], probs[~held]).decide(probs[held])
            outputs[name] = table
        return outputs[name]

    def gain(name: str, than: str) -> tuple[float, float]:
        return table_gain(metric, truth, crossfitted(name), crossfitted(than), groups)

    parts = left_out_sets(folds.tolist())
    chosen, reason = freest_that_gains(list(rules), gain, parts, folds.tolist(), metric.label)
    return rules[chosen](truth, probs), f"decided by {chosen}" + (f" ({reason})" if len(rules) > 1 else "")
