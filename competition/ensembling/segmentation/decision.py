"""The decision of a segmentation: weights, thresholds and post-processing, with a row for each class and member."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.console import say
from competition.data.manifest import Entry
from competition.ensembling.decision import ClassGroup, Contestant, Decision, Scores
from competition.ensembling.segmentation.confusions import neighbour_rows, worst_neighbours
from competition.ensembling.segmentation.out_of_fold import OutOfFold, TuningMaps
from competition.ensembling.segmentation.thresholds import threshold_of
from competition.ensembling.segmentation.tuning import Search, TunedSegmentation, tune_segmentation
from competition.ensembling.selection.bootstrap import bootstrap_interval, mean_of, paired_difference
from competition.ensembling.selection.weight_search import SHORTLIST, WeightSearch
from competition.ensembling.tuning_data import TuningData
from competition.ensembling.tuning_result import Rows, Tuning, contestant, honest_scores, member_rows, weigh
from competition.ensembling.voting.blend import round_weights
from competition.metrics.counts import measured, measured_mean
from competition.metrics.strata import reweighted_mean
from competition.runs.members import Member
from competition.tracks.track import Track, count_metric


def decide_segmentation(data: TuningData, search: Search) -> Tuning:
    """Tune a segmentation.

    Args:
        data: The members and the samples that all of them cover.
        search: What may be tried.

    Returns:
        The decision, a row per class, a row per member, and the tables trials.csv and neighbours.csv.
    """
    track, workspace, members = data.track, data.workspace, data.members
    metric = count_metric(track)
    samples = OutOfFold(members, data.folders, workspace, data.samples, data.folds, data.groups, track.classes, metric)
    found = tune_segmentation(samples, search, workspace.contested_folder())
    _say_search(found)
    decision = build_decision(found, samples, members, track.name, workspace.dataset)
    if found.images.present.any():
        reweighted = _reweighted(track, _honest(found).mean(axis=1), data.entries)
        scores = decision.scores.model_copy(update={"oof_reweighted": reweighted})
        decision = decision.model_copy(update={"scores": scores})
    for sentence in worst_neighbours(track.classes, found.owners, found.areas):
        say(sentence)
    tables = {
        "trials.csv": _trial_rows(members, found.tuned.search),
        "neighbours.csv": neighbour_rows(track.classes, found.owners, found.false_positives),
    }
    return Tuning(decision, _class_rows(track, found), member_rows(decision, found.worth), tables)


def build_decision(
    found: TunedSegmentation, data: TuningMaps, members: Sequence[Member], track: str, dataset: str
) -> Decision:
    """Return what was tuned as a decision.

    Args:
        found: The tuning.
        data: What it was made on.
        members: Who votes, in the order of the maps.
        track: Name of the track.
        dataset: Name of the data set.
    """
    classes, weights, cuts = data.classes, found.tuned.search, found.tuned.chosen
    return Decision(
        track=track,
        dataset=dataset,
        task="segmentation",
        classes=classes,
        members=weigh(members, round_weights(weights.weights.mean(axis=0)).tolist()),
        class_groups=_group_weights(classes, members, weights),
        cuts=dict(zip(classes, cuts.cuts.tolist(), strict=True)),
        thresholds=dict(zip(classes, threshold_of(cuts.cuts).tolist(), strict=True)),
        operations=dict(zip(classes, found.operations, strict=True)),
        scores=_scores(data, found),
        coverage=len(data.samples),
        unmeasured=tuple(name for name, area in zip(classes, found.areas, strict=True) if not area),
        reason=f"{weights.reason}; {cuts.reason}",
        vote=_vote(found.images.groups, found),
        alone=_alone(members, found),
        metric=data.metric.key,
    )


def _say_search(found: TunedSegmentation) -> None:
    weights = found.tuned.search
    if found.contested is not None:
        low, high = found.window
        say(f"{found.contested:.2%} of the pixels are contested between thresholds {low} and {high}")
    drawn, exact = weights.tried[0], weights.tried[-1]
    if drawn is not exact and len(drawn.vectors) > 1:
        say(
            f"weights were searched on {len(drawn.images.folds)} of {len(exact.images.folds)} images (whole people of "
            f"every fold); the best {SHORTLIST} of each search, {len(exact.vectors)} in all, were scored on all images"
        )
    say(weights.reason)
    say(found.tuned.chosen.reason)


def _vote(groups: Sequence[str], found: TunedSegmentation) -> Contestant | None:
    """Return the vote before post-processing, as the members are scored; None where no image has a class."""
    tuned, present = found.tuned, found.images.present
    if not present.any():
        return None
    if tuned.crossfit is None:
        return Contestant(score=measured_mean(tuned.oof, present), low=None, high=None)
    scores = measured(tuned.crossfit, present).mean(axis=1)
    low, high = bootstrap_interval(scores, groups, seed=0)
    return Contestant(score=float(scores.mean()), low=low, high=high)


def _alone(members: Sequence[Member], found: TunedSegmentation) -> dict[str, Contestant]:
    """Return what each member scores alone, where any class that it votes on occurs."""
    if not found.worth:
        return {}
    worths = dict(zip((member.name for member in members), found.worth, strict=True))
    return {name: contestant(worth) for name, worth in worths.items() if not np.isnan(worth.alone)}


def _honest(found: TunedSegmentation) -> NDArray[np.float64]:
    """Return the cross-fitted values of the classes that occur, or the tuned ones where nothing could be held back."""
    return measured(found.oof if found.crossfit is None else found.crossfit, found.images.present)


def _scores(data: TuningMaps, found: TunedSegmentation) -> Scores:
    # Where people stand in for folds, the images of the search have parts; the fold mean is one of trained folds.
    _, first = data.metric.units(data.groups)
    at_half, present, groups = found.tuned.at_half, found.images.present, found.images.groups
    if not present.any():
        return honest_scores([], float("nan"), None, (None, None))
    by_fold = [measured_mean(at_half[rows], present[rows]) for rows in _rows_of_folds(data.folds[first])]
    best = _honest(found)
    per_image = best.mean(axis=1)
    gain = None
    if found.crossfit is not None:
        equal = measured(at_half, present).mean(axis=1)
        gain = paired_difference(mean_of(per_image), mean_of(equal), groups, seed=0)
    return honest_scores(
        [score for score in by_fold if not np.isnan(score)],
        measured_mean(found.oof, present),
        None if found.crossfit is None else best.mean(),
        bootstrap_interval(per_image, groups, seed=0),
        gain=gain,
    )


def _rows_of_folds(folds: NDArray[np.integer]) -> list[NDArray[np.bool_]]:
    return [folds == fold for fold in np.unique(folds)]


def _reweighted(track: Track, per_image: NDArray[np.float64], entries: Sequence[Entry]) -> float | None:
    """Return the mean with the strata in the test's shares; what is left out of it, or why it can't be had, is said."""
    if track.test_mix is None or count_metric(track).unit != "image":  # a stratum is one of images
        return None
    strata = [entry.stratum for entry in entries]
    if absent := [stratum for stratum in track.test_mix if stratum not in strata]:
        which = " and none ".join(absent)
        say(f"no score re-weighted to the test's mix: of {len(strata)} samples none is known to be {which}")
    elif unknown := sum(stratum not in track.test_mix for stratum in strata):
        say(f"the re-weighted score leaves out {unknown} of {len(strata)} samples whose stratum is not known")
    return reweighted_mean(per_image, strata, track.test_mix)


def _group_weights(classes: Sequence[str], members: Sequence[Member], search: WeightSearch) -> dict[str, ClassGroup]:
    """Return the weights of each class group for people to read; empty where all classes share theirs."""
    groups = search.class_groups
    if groups.names == ("",):
        return {}
    written = {}
    for index, name in enumerate(groups.names):
        own = np.flatnonzero(groups.of_class == index)
        weights = {member.name: int(weight) for member, weight in zip(members, search.weights[own[0]], strict=True)}
        written[name] = ClassGroup(classes=tuple(classes[int(place)] for place in own), weights=weights)
    return written


def _class_rows(track: Track, found: TunedSegmentation) -> Rows:
    rows = []
    tuned, cuts = found.tuned, found.tuned.chosen
    for index, name in enumerate(track.classes):
        known = bool(found.areas[index])
        crossfit = round(float(found.crossfit[:, index].mean()), 6) if known and found.crossfit is not None else None
        pooled = round(float(found.pooled_crossfit[index]), 6) if known and found.pooled_crossfit is not None else None
        rows.append(
            {
                "class": name,
                "at_half": round(float(tuned.at_half[:, index].mean()), 6) if known else None,
                "oof": round(float(found.oof[:, index].mean()), 6) if known else None,
                "oof_crossfit": crossfit,
                "oof_crossfit_pooled": pooled,
                "threshold": round(float(threshold_of(cuts.cuts)[index]), 4),
                "raw_threshold": round(float(threshold_of(cuts.raw)[index]), 4),
                "shrunk_threshold": round(float(threshold_of(cuts.shrunk)[index]), 4),
                "optuna_threshold": round(float(threshold_of(found.study)[index]), 4),
                "operation": found.operations[index],
            }
        )
    return rows


def _trial_rows(members: Sequence[Member], search: WeightSearch) -> Rows:
    """Return what was tried, on how many images, with its mean Dice at its own cuts; also of each class group."""
    groups, nothing = search.class_groups, frozenset[int]()
    sizes = np.bincount(groups.of_class)
    rows: Rows = []
    for trials in search.tried:
        for position, vector in enumerate(trials.vectors):
            scores = trials.score(position, nothing)
            row: dict[str, Any] = {
                member.name: weight / 1000 for member, weight in zip(members, vector, strict=True)
            } | {"images": len(trials.images.folds), "score": float(np.average(scores, weights=sizes))}
            if len(groups.names) > 1:
                row |= {f"score_{name}": float(score) for name, score in zip(groups.names, scores, strict=True)}
            rows.append(row)
    return sorted(rows, key=lambda row: (-row["images"], -row["score"]))
