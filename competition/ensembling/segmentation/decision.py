"""The decision of a segmentation, with a row for each class and member, and which class is taken for which.

Networks that were trained for long with horizontal flips began to label index and ring finger at once; by the Dice of
each bone alone this looks like any other error. So a table has the pixels that each class claims wrongly.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.console import say
from competition.data.manifest import Entry
from competition.ensembling.decision import AloneScore, ClassGroup, Decision, ObjectPrecision, ObjectSplit, Scores
from competition.ensembling.segmentation.object_choice import ObjectChoice
from competition.ensembling.segmentation.out_of_fold import OutOfFold, TuningMaps
from competition.ensembling.segmentation.reranking import Values
from competition.ensembling.segmentation.true_objects import find_true_objects
from competition.ensembling.segmentation.tuning import Search, TunedSegmentation, tune_segmentation
from competition.ensembling.segmentation.weight_search import SHORTLIST, WeightSearch
from competition.ensembling.selection.bootstrap import bootstrap_interval, mean_of, paired_difference
from competition.ensembling.tuning_data import TuningData
from competition.ensembling.tuning_result import Rows, Tuning, alone_score, honest_scores, member_rows, weigh
from competition.ensembling.voting.blend import round_weights
from competition.ensembling.voting.class_groups import ClassGroups
from competition.metrics.counts import measured_mean
from competition.metrics.strata import reweighted_mean
from competition.prediction.probability_maps import threshold_of
from competition.runs.members import Member
from competition.tracks.track import Track, count_metric, metric_of_masks


def decide_segmentation(data: TuningData, search: Search) -> Tuning:
    """Tune a segmentation: the decision, with the tables trials.csv and confusions.csv."""
    track, workspace, members = data.track, data.workspace, data.members
    metric = count_metric(track)
    objects = find_true_objects(track, workspace)
    samples = OutOfFold(
        members, data.folders, workspace, data.samples, data.folds, data.groups, track.classes, metric, objects
    )
    found = tune_segmentation(samples, search, workspace.contested_folder())
    say_search(found)
    decision = build_decision(found, samples, members, track.name, workspace.dataset)
    if found.images.present.any():
        reweighted = reweighted_score(track, _honest_means(found, _ranking(found)), data.entries)
        scores = decision.scores.model_copy(update={"oof_reweighted": reweighted})
        decision = decision.model_copy(update={"scores": scores})
    _say_objects(decision)
    for sentence in worst_confusions(track.classes, found.owners, found.areas):
        say(sentence)
    tables = {
        "trials.csv": _tried_rows(members, found.tuned.search),
        "confusions.csv": confusion_rows(track.classes, found.owners, found.false_positives),
    }
    return Tuning(decision, _class_rows(track, found), member_rows(decision, found.contributions), tables, found.vote)


def build_decision(
    found: TunedSegmentation, data: TuningMaps, members: Sequence[Member], track: str, dataset: str
) -> Decision:
    """Return what was tuned on ``data`` as a decision; the members are in the order of the maps."""
    classes, searched, chosen = data.classes, found.tuned.search, found.tuned.chosen
    names = [member.name for member in members]
    weights, levels, operations = searched.weights, chosen.levels, list(found.operations)
    reason, counted = f"{searched.reason}; {chosen.reason}", None
    if (reranked := found.reranked) is not None:
        weights, levels = np.array(reranked.chosen.weights), np.array(reranked.chosen.levels)
        operations, reason = list(reranked.chosen.operations), f"{reason}; {reranked.reason}"
        counted = _scores(found, reranked.counted)
    return Decision(
        track=track,
        dataset=dataset,
        task="segmentation",
        classes=classes,
        members=weigh(members, round_weights(weights.mean(axis=0)).tolist()),
        class_groups=_group_weights(classes, names, searched.class_groups, weights),
        levels=dict(zip(classes, levels.tolist(), strict=True)),
        thresholds=dict(zip(classes, threshold_of(levels).tolist(), strict=True)),
        operations=dict(zip(classes, operations, strict=True)),
        scores=_scores(found, _ranking(found)),
        coverage=len(data.samples),
        unmeasured=tuple(name for name, area in zip(classes, found.areas, strict=True) if not area),
        reason=reason,
        count_scores=counted,
        proposed_by=data.metric.key if counted is not None else "",
        objects=_object_splits(classes, found.objects),
        object_precision=_object_precision(found),
        vote=_vote(found),
        # Without a class that it votes on a member has no score; without any class there are no contributions.
        alone={
            name: alone_score(own)
            for name, own in zip(names, found.contributions, strict=False)
            if not np.isnan(own.alone)
        },
        metric=data.metric.key,
    )


def say_search(found: TunedSegmentation) -> None:
    """Print how weights, thresholds and post-processing were chosen, and what each gained."""
    weights = found.tuned.search
    if found.contested is not None:
        low, high = found.window
        say(f"the members' weights decide {found.contested:.2%} of the pixels at thresholds {low} to {high}")
    searched, exact = weights.tried[0], weights.tried[-1]
    if searched is not exact and len(searched.vectors) > 1:
        say(
            f"weights were searched on {len(searched.images.folds)} of {len(exact.images.folds)} images (whole groups "
            f"of every fold); the best {SHORTLIST} of each search, {len(exact.vectors)} in all, were scored on all "
            "images"
        )
    say(weights.reason)
    say(found.tuned.chosen.reason)
    if found.reranked is None and (gains := found.operation_gains):
        most = f" to {max(gains):.5f}" if len(gains) > 1 else ""
        processed = f"{len(gains)} of {len(found.operations)} classes"
        say(f"post-processing of {processed}: cross-fitted gain {min(gains):.5f}{most}, more than one standard error")
    if found.reranked is not None:
        say(found.reranked.reason)


def _say_objects(decision: Decision) -> None:
    """Print how masks become objects, and what that gives."""
    for name, rule in decision.objects.items():
        split = "connected components"
        if rule.distance is not None:
            split = f"split where peaks are {rule.distance:g} radii apart (smoothing {rule.smoothing:g} pixels)"
        say(f"objects of {name}: {split}" + (f", of {rule.smallest} pixels at least" if rule.smallest else ""))
    if (precision := decision.object_precision) is not None:
        figures = f"{precision.crossfit:.4f} cross-fitted, {precision.components:.4f} by plain components"
        before = " before re-ranking" if decision.proposed_by else ""
        say(f"object AP over IoU 0.5:0.95{before}: {figures}")


def _ranking(found: TunedSegmentation) -> Values:
    """Return the values by the metric that ranks: the one of the re-ranking, else the count metric."""
    if found.reranked is not None:
        return found.reranked.values
    return Values(found.tuned.at_half, found.oof, found.crossfit, found.by_fold)


def _object_splits(classes: Sequence[str], objects: ObjectChoice | None) -> dict[str, ObjectSplit]:
    if objects is None:
        return {}
    return {name: ObjectSplit(**asdict(rule)) for name, rule in zip(classes, objects.rules, strict=True)}


def _object_precision(found: TunedSegmentation) -> ObjectPrecision | None:
    """Return the object AP with an image without objects on either side counting 1; None where no class occurs."""
    if found.objects is None or not found.areas.any():
        return None
    means = [
        float(np.where(np.isnan(values), 1.0, values)[:, found.areas > 0].mean())
        for values in (found.objects.crossfit, found.objects.plain)
    ]
    return ObjectPrecision(crossfit=means[0], components=means[1])


def _vote(found: TunedSegmentation) -> AloneScore | None:
    """Return the vote before post-processing, as the members are scored; None where no image has a class."""
    tuned, present = found.tuned, found.images.present
    if not present.any():
        return None
    if tuned.crossfit is None:
        score = measured_mean(tuned.oof, present, found.images.class_weights)
        return AloneScore(score=score, low=None, high=None)
    scores = found.images.measured_means(tuned.crossfit)
    low, high = bootstrap_interval(scores, found.images.groups, seed=0)
    return AloneScore(score=float(scores.mean()), low=low, high=high)


def _honest_means(found: TunedSegmentation, values: Values) -> NDArray[np.float64]:
    """Return each unit's cross-fitted mean over the classes that occur, or the tuned one where there is none."""
    return found.images.measured_means(values.oof if values.crossfit is None else values.crossfit)


def _scores(found: TunedSegmentation, values: Values) -> Scores:
    present, groups, weights = found.images.present, found.images.groups, found.images.class_weights
    if not present.any():
        return honest_scores([], float("nan"), None, (None, None))
    per_image = _honest_means(found, values)
    gain = None
    if values.crossfit is not None:
        equal = found.images.measured_means(values.at_half)
        gain = paired_difference(mean_of(per_image), mean_of(equal), groups, seed=0)
    return honest_scores(
        [score for score in values.by_fold if not np.isnan(score)],
        measured_mean(values.oof, present, weights),
        None if values.crossfit is None else measured_mean(values.crossfit, present, weights),
        bootstrap_interval(per_image, groups, seed=0),
        gain,
    )


def reweighted_score(track: Track, per_image: NDArray[np.float64], entries: Sequence[Entry]) -> float | None:
    """Return the mean with the strata in the test's shares; print what it leaves out, or why there is none.

    Args:
        track: Its metric and the test's mix.
        per_image: (n,), whose mean is the score.
        entries: (n,), the images.
    """
    if track.test_mix is None:
        return None
    metric = metric_of_masks(track)
    if not metric.is_mean_over_images:
        say(f"no score re-weighted to the test's mix: the metric ({metric.key}) is not a plain mean over images")
        return None
    strata = [entry.stratum for entry in entries]
    if absent := [stratum for stratum in track.test_mix if stratum not in strata]:
        which = " and none ".join(absent)
        say(f"no score re-weighted to the test's mix: of {len(strata)} samples none is known to be {which}")
    elif unknown := sum(stratum not in track.test_mix for stratum in strata):
        say(f"the re-weighted score leaves out {unknown} of {len(strata)} samples whose stratum is not known")
    return reweighted_mean(per_image, strata, track.test_mix)


def _group_weights(
    classes: Sequence[str], members: Sequence[str], groups: ClassGroups, by_class: NDArray[np.int64]
) -> dict[str, ClassGroup]:
    """Return the weights of each class group; empty where all classes share theirs."""
    written = {}
    for index, name in enumerate(groups.names if groups.names != ("",) else ()):
        own = np.flatnonzero(groups.of_class == index).tolist()
        weights = dict(zip(members, by_class[own[0]].tolist(), strict=True))
        written[name] = ClassGroup(classes=tuple(classes[place] for place in own), weights=weights)
    return written


def _class_rows(track: Track, found: TunedSegmentation) -> Rows:
    chosen, values, operations, levels = found.tuned.chosen, _ranking(found), found.operations, None
    if found.reranked is not None:
        operations, levels = list(found.reranked.chosen.operations), np.array(found.reranked.chosen.levels)
    applied = threshold_of(chosen.levels if levels is None else levels)

    def mean(values: NDArray[np.float64] | None, index: int) -> float | None:
        """Return the mean of a class that occurs."""
        return None if values is None or not found.areas[index] else round(float(values[..., index].mean()), 6)

    return [
        {
            "class": name,
            "at_half": mean(values.at_half, index),
            "oof": mean(values.oof, index),
            "oof_crossfit": mean(values.crossfit, index),
            "oof_crossfit_pooled": mean(found.pooled_crossfit, index),
            "threshold": round(float(applied[index]), 4),
            "raw_threshold": round(float(threshold_of(chosen.raw)[index]), 4),
            "shrunk_threshold": round(float(threshold_of(chosen.shrunk)[index]), 4),
            "operation": operations[index],
        }
        for index, name in enumerate(track.classes)
    ]


def _tried_rows(members: Sequence[Member], search: WeightSearch) -> Rows:
    """Return what was tried, on how many images, with its mean score at its own levels; also of each class group."""
    groups, nothing = search.class_groups, frozenset[int]()
    sizes = groups.sizes()
    rows: Rows = []
    for tried in search.tried:
        for position, vector in enumerate(tried.vectors):
            scores = tried.score(position, nothing)
            row: dict[str, Any] = {m.name: weight / 1000 for m, weight in zip(members, vector, strict=True)}
            row |= {"images": len(tried.images.folds), "score": float(np.average(scores, weights=sizes))}
            if len(groups.names) > 1:
                row |= {f"score_{name}": float(score) for name, score in zip(groups.names, scores, strict=True)}
            rows.append(row)
    return sorted(rows, key=lambda row: (-row["images"], -row["score"]))


WORST = 3


def confusion_rows(
    classes: Sequence[str], owners: NDArray[np.int64], false_positives: NDArray[np.int64]
) -> list[dict[str, Any]]:
    """Return a row per class for confusions.csv: its false-positive pixels, and the share in each other class.

    ``owners`` (C, C + 1) and ``false_positives`` (C,) are of ``metrics.false_positive_owners``. Where classes overlap a
    pixel counts for each of them, so shares may sum to more than 1. A share is empty where a class has no false
    positive, and for a class against itself.
    """
    rows = []
    for index, name in enumerate(classes):
        total = int(false_positives[index])
        shares = ["" if not total else round(int(count) / total, 4) for count in owners[index]]
        by_class = {other: "" if other == name else share for other, share in zip(classes, shares, strict=False)}
        rows.append({"class": name, "false_positives": total, "no_class": shares[-1]} | by_class)
    return rows


def worst_confusions(classes: Sequence[str], owners: NDArray[np.int64], areas: NDArray[np.int64]) -> list[str]:
    """Name the classes that cover most of another's area wrongly: at most three pairs, none of 0 pixels.

    The largest share of the other's area (true pixels, (C,)) comes first: by pixels, large bones always would. Equal
    pairs are in the order of the classes. ``owners`` as for ``confusion_rows``.
    """
    pixels = owners[:, : len(classes)]
    shares = pixels / np.maximum(areas, 1)
    order = np.argsort(-shares, axis=None, kind="stable")[:WORST]
    pairs = [divmod(int(position), len(classes)) for position in order]
    return [
        f"{classes[one]} covers {shares[one, other]:.2%} of {classes[other]} wrongly ({pixels[one, other]} pixels)"
        for one, other in pairs
        if pixels[one, other]
    ]
