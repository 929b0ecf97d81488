"""The decision of a classification, with its tables: by the aneurysm score, or by any other table metric."""

from collections.abc import Sequence

import numpy as np

from competition.console import say
from competition.data.manifest import Entry, target_matrix
from competition.ensembling.classification.table_tuning import TunedTable, tune_table
from competition.ensembling.classification.thresholds import NEVER
from competition.ensembling.classification.tuning import TunedClassification, tune_classification
from competition.ensembling.classification.weight_search import WeightSearch
from competition.ensembling.decision import AloneScore, Decision
from competition.ensembling.selection.weight_methods import Propose
from competition.ensembling.tuning_data import TuningData
from competition.ensembling.tuning_result import Rows, Tuning, alone_score, honest_scores, member_rows, number, weigh
from competition.ensembling.voting.combination import Combination
from competition.metrics.tables import AUROC, AneurysmMetric, TableMetric
from competition.runs.members import Member
from competition.runs.out_of_fold_scores import member_scores
from competition.tracks.track import Track


def decide_classification(
    data: TuningData, propose: Propose, combination: Combination, given: tuple[int, ...] | None
) -> Tuning:
    """Tune a classification: the decision, with the table trials.csv; arguments as for ``tune_classification``."""
    track, members, entries = data.track, data.members, data.entries
    tables = np.stack([member_scores(folder_of, data.samples, track.classes) for folder_of in data.folders])
    truth = target_matrix(entries)
    if not isinstance(track.metric, AneurysmMetric):
        assert isinstance(track.metric, TableMetric)  # of a classification
        found = tune_table(tables, truth, track.metric, data.folds, data.groups, propose, combination, given)
        return _table_tuning(data, found, combination)
    tuned = tune_classification(tables, truth, data.folds, data.groups, propose, combination, given)
    if combination == "rank":
        say(f"{track.classes[0]}: mean of ranks among these {len(entries)} samples; thresholds remain probabilities")
    say(tuned.search.reason)
    if without := [str(fold) for fold, value in tuned.fold_aurocs.items() if np.isnan(value)]:
        say(f"folds {', '.join(without)} have samples of one class only, so no AUROC: the fold mean leaves them out")
    dataset = data.workspace.dataset
    decision = build_decision(tuned, members, track.classes, len(entries), combination, track.name, dataset)
    _say_locations(tuned)
    rows, of_members = _location_rows(track, entries, tuned), member_rows(decision, tuned.contributions)
    return Tuning(decision, rows, of_members, {"trials.csv": _tried_rows(members, tuned.search)})


def build_decision(
    tuned: TunedClassification,
    members: Sequence[Member],
    classes: Sequence[str],
    samples: int,
    combination: Combination,
    track: str,
    dataset: str,
) -> Decision:
    """Return what was tuned on a number of samples as a decision; the members are in the order of the tables."""
    crossfit = None if tuned.crossfit is None else tuned.crossfit.auroc
    known = [value for value in tuned.fold_aurocs.values() if not np.isnan(value)]
    names = [member.name for member in members]
    return Decision(
        track=track,
        dataset=dataset,
        task="classification",
        classes=tuple(classes),
        members=weigh(members, tuned.search.weights),
        levels={},
        thresholds=dict(zip(classes[1:], tuned.locations.rule.thresholds.tolist(), strict=True)),
        gate=tuned.locations.rule.gate,
        combine=combination,
        operations={},
        scores=honest_scores(known, tuned.oof.auroc, crossfit, tuned.interval or (None, None), tuned.gain),
        coverage=samples,
        reason=tuned.search.reason,
        vote=_vote(tuned.search, tuned.interval),
        alone=dict(zip(names, map(alone_score, tuned.contributions), strict=True)) if tuned.contributions else {},
        metric=AUROC.key,
    )


def _table_tuning(data: TuningData, tuned: TunedTable, combination: Combination) -> Tuning:
    """Print what was chosen by any other metric; return the decision and its tables."""
    track, metric = data.track, data.track.metric
    say(tuned.search.reason)
    say(tuned.rule.reason)
    if without := [str(fold) for fold, value in tuned.fold_scores.items() if np.isnan(value)]:
        say(f"folds {', '.join(without)} have no {metric.label}: the fold mean leaves them out")
    decision = build_table_decision(
        tuned, data.members, track.classes, metric.key, combination, track.name, data.workspace.dataset
    )
    positives, rule = target_matrix(data.entries).sum(axis=0), tuned.rule.rule
    columns = {"thresholds": "threshold", "argmax": "offset"}
    values = rule.values if rule.kind in columns else (None,) * len(track.classes)
    rows = [
        {"class": name, "positives": int(count), "score": number(value), columns.get(rule.kind, "threshold"): own}
        for name, count, value, own in zip(track.classes, positives, tuned.class_scores, values, strict=True)
    ]
    of_members = member_rows(decision, tuned.contributions)
    return Tuning(decision, rows, of_members, {"trials.csv": _tried_rows(data.members, tuned.search)})


def build_table_decision(
    tuned: TunedTable,
    members: Sequence[Member],
    classes: Sequence[str],
    metric: str,
    combination: Combination,
    track: str,
    dataset: str,
) -> Decision:
    """Return what was tuned by any metric as a decision; the members are in the order of the tables."""
    known = [value for value in tuned.fold_scores.values() if not np.isnan(value)]
    rule, found = tuned.rule.rule, zip(members, tuned.contributions or [], strict=False)
    thresholds = dict(zip(classes, rule.values, strict=True)) if rule.kind == "thresholds" else {}
    return Decision(
        track=track,
        dataset=dataset,
        task="classification",
        classes=tuple(classes),
        members=weigh(members, tuned.search.weights),
        levels={},
        thresholds=thresholds,
        rule=rule,
        combine=combination,
        operations={},
        scores=honest_scores(known, tuned.oof, tuned.crossfit, tuned.interval or (None, None), tuned.gain),
        coverage=len(tuned.search.vote),
        reason=f"{tuned.search.reason}; {tuned.rule.reason}",
        vote=_vote(tuned.search, tuned.vote_interval),
        alone={member.name: alone_score(contribution) for member, contribution in found},
        metric=metric,
    )


def _vote(search: WeightSearch, interval: tuple[float, float] | None) -> AloneScore | None:
    """Return the vote's score, which the members alone are compared with; None where it is not defined."""
    score = search.oof if search.crossfit is None else search.crossfit
    if np.isnan(score):
        return None
    low, high = (None, None) if search.crossfit is None or interval is None else interval
    return AloneScore(score=score, low=low, high=high)


def _say_locations(tuned: TunedClassification) -> None:
    honest = tuned.oof if tuned.crossfit is None else tuned.crossfit
    thresholds, gate = tuned.locations.rule.thresholds, tuned.locations.rule.gate
    say(tuned.locations.reason)
    used = f"{np.sum(thresholds < NEVER)} of {len(thresholds)} locations can be 1"
    behind = "" if gate is None else f", for patients above {gate:.3f}"
    gained = f"{honest.cells_gained:+.0f} cells gained"
    say(f"locations: accuracy {honest.accuracy:.5f}, all zero {honest.all_zero_accuracy:.5f}: {gained}; {used}{behind}")


def _location_rows(track: Track, entries: Sequence[Entry], tuned: TunedClassification) -> Rows:
    positives = target_matrix(entries).sum(axis=0)
    aurocs = (tuned.oof.auroc, *tuned.oof.location_aurocs)
    thresholds = [None, *(round(float(value), 4) for value in tuned.locations.rule.thresholds)]
    return [
        {"class": name, "positives": int(count), "auroc": number(value), "threshold": threshold}
        for name, count, value, threshold in zip(track.classes, positives, aurocs, thresholds, strict=True)
    ]


def _tried_rows(members: Sequence[Member], search: WeightSearch) -> Rows:
    """Return what was tried, with its score on all samples, the best first."""
    tried = sorted(search.tried.items(), key=lambda item: -item[1])
    return [
        {member.name: weight / 1000 for member, weight in zip(members, vector, strict=True)} | {"score": number(score)}
        for vector, score in tried
    ]
